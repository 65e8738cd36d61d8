"""The context as text: within its bounds, nothing lost for another, and no log that looks like ours."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.context.documents import document_of
from streaming.alerting.context.model import Context, Deed, Found, LogLine, NodeLine, Related
from streaming.alerting.context.rendering import note_of, whole_text
from streaming.alerting.messages import NOTE_LIMIT
from tests.support.hostile import NASTY_TEXTS
from tests.support.incidents import AT_MS, an_incident


def a_line(number: int, text: str = "gateway timed out") -> LogLine:
    return LogLine(AT_MS - 60_000 + number, "ERROR", "payment", "payment-1", f"{number}: {text}", f"s{number}")


def a_context(logs: int = 3, text: str = "gateway timed out") -> Context:
    return Context(
        incident=an_incident(),
        gathered_ms=AT_MS + 5_000,
        logs=Found(tuple(a_line(n, text) for n in range(logs)), by="Elasticsearch"),
        trace=Found(away="Elasticsearch is away"),
        deeds=Found((Deed(AT_MS - 3_600_000, "started: payment", "deploy_platform of manual__1"),)),
        nodes=Found((NodeLine("payment-1", "payment", "DOWN", AT_MS - 5_000, "silent for 9 s", 9_000),)),
        related=Found((Related("KLMNOPQRST", "error", "firing", "order broke", AT_MS, "same trace"),)),
    )


def test_what_it_says() -> None:
    assert (
        note_of(a_context(), "What is to be done: http://127.0.0.1:8080/x")
        == """\
What was found around it, as of 2026-09-21 14:13:25 UTC; all times are UTC.

Last logs of payment on payment-1 until it opened (Elasticsearch)
    14:12:20.000 ERROR payment/payment-1 0: gateway timed out
    14:12:20.001 ERROR payment/payment-1 1: gateway timed out
    14:12:20.002 ERROR payment/payment-1 2: gateway timed out

More logs of its trace 4bf92f3577b34da6a3ce929d0e0e4736
(not known: Elasticsearch is away)

Done to the platform in the hours before and since
    13:13:20 started: payment (deploy_platform of manual__1)

Nodes
    payment-1 DOWN since 14:13:15, silent for 9 s: silent for 9 s

Other open incidents
    KLMNOPQRST error firing since 14:13:20 (same trace): order broke

Run book: https://wiki.example/gateway

What is to be done: http://127.0.0.1:8080/x"""
    )


def test_a_note_of_many_logs_has_the_latest_and_all_else() -> None:
    note = note_of(a_context(50, "x" * 500))
    assert len(note) <= NOTE_LIMIT
    assert "49: xxx" in note
    assert "… 3" in note, "how many are left out"
    for kept in ("payment-1 DOWN", "KLMNOPQRST", "started: payment", "Run book", "not known: Elasticsearch is away"):
        assert kept in note
    assert whole_text(a_context(50)).count("gateway timed out") == 50


def test_another_day_is_named() -> None:
    context = msgspec.structs.replace(an_incident(), opened_ms=AT_MS + 86_400_000)
    assert "2026-09-21 14:12:20" in note_of(Context(context, AT_MS, logs=Found((a_line(0),))))


_TEXT = st.sampled_from(NASTY_TEXTS) | st.text(max_size=120)
_TIME = st.sampled_from([0, -1, AT_MS, 10**18]) | st.integers(-(2**60), 2**60)
_CONTEXTS = st.builds(
    Context,
    incident=st.builds(
        lambda text, at_ms: an_incident(
            title=text,
            runbook=text,
            opened_ms=at_ms,
            sample=msgspec.structs.replace(an_incident().sample, service=text),
        ),
        _TEXT,
        _TIME,
    ),
    gathered_ms=_TIME,
    logs=st.builds(
        lambda items, away, by: Found(tuple(items), away, by),
        st.lists(st.builds(LogLine, _TIME, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT), max_size=60),
        _TEXT,
        _TEXT,
    ),
    deeds=st.builds(lambda items: Found(tuple(items)), st.lists(st.builds(Deed, _TIME, _TEXT, _TEXT), max_size=20)),
)


@settings(max_examples=60, deadline=None)
@given(_CONTEXTS, _TEXT)
def test_whatever_is_in_it(context: Context, closing: str) -> None:
    note = note_of(context, closing)
    assert 0 < len(note) <= NOTE_LIMIT
    titles = [line for line in whole_text(context).split("\n") if line and not line.startswith("    ")]
    known = ("What was found", "Last logs of", "More logs of its", "Done to", "Nodes", "Other open", "(not", "Run book")
    assert all(title.startswith(known) for title in titles), "no log begins a line of ours"
    msgspec.json.encode(document_of(context)["@timestamp"])
