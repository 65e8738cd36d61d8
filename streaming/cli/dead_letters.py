"""`vigil dead-letters`: what could not be read or indexed, and how it comes back after a fix."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.dead_letters.candidates import Preview
    from streaming.dead_letters.finding import DeadLetterSearch, Found, Selection
    from streaming.dead_letters.letters import DeadLetter
    from streaming.dead_letters.receipts import Receipts
    from streaming.dead_letters.replaying import Outcome
    from streaming.dead_letters.round import Round
    from streaming.settings import Settings

dead_letters_app = typer.Typer(
    help="What could not be read or indexed: list it, show it, replay it.", no_args_is_help=True
)

Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="only these reasons (may be repeated); `elasticsearch:*` begins so")
]
Since = Annotated[str, typer.Option(help="only what died since then: 30m, 24h, 7d ago, or a date")]
Sources = Annotated[
    list[str] | None, typer.Option("--source", help="only what came from these topics, such as logs or heartbeats")
]
FromKafka = Annotated[bool, typer.Option("--from-kafka", help="read the topic itself: while Elasticsearch is away")]

SHOWN_BYTES = 4_000
"""Of an original in a terminal; `--raw` gives all of it."""

SAMPLE_CHARACTERS = 120


@dead_letters_app.command("list")
def list_(
    reason: Reasons = None,
    since: Since = "",
    source: Sources = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="at most so many")] = 50,
    from_kafka: FromKafka = False,
    as_json: Annotated[bool, typer.Option("--json", help="whole documents, one JSON object a line")] = False,
) -> None:
    """List dead letters, the newest last, and how many there are of each reason.

    Example: vigil dead-letters list --reason not-utf8 --since 24h
    """
    import msgspec

    from streaming.settings import load_settings

    settings = load_settings()
    selection = _selection(settings, reason, since, source, [])
    if from_kafka:
        rows, left = _from_topic(settings, selection, limit)
    else:
        with _hint():
            rows, left = _from_documents(settings, selection, limit)
    if as_json:
        for row in rows:
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        return
    if rows:
        _print_table(rows)
    print(f"{_counted(left)} not replayed" if left else "No dead letters to replay", file=sys.stderr)


@dead_letters_app.command("show")
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="the id that `list` shows")],
    raw: Annotated[bool, typer.Option("--raw", help="write the original bytes, all of them, and nothing else")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the document as one JSON object")] = False,
) -> None:
    """Show one dead letter with its original.

    Example: vigil dead-letters show 3qsD2kPzVbC1xYw0aQmR5A
    """
    import msgspec

    from streaming.dead_letters.reading import LetterReader
    from streaming.errors import VigilError
    from streaming.settings import load_settings

    settings = load_settings()
    with _search(settings) as search:
        found = search.one(letter_id)
    if found is None:
        raise VigilError(f"no dead letter {letter_id}; `vigil dead-letters list` shows them")
    if as_json:
        print(msgspec.json.encode({"_index": found.index, "_id": found.id, **found.document}).decode())
        return
    with LetterReader(settings) as reader:
        letter = next((x for x in reader.at([found.place]) if _is(x, letter_id)), None)
    if raw:
        if letter is None:
            raise VigilError(f"the original of {letter_id} is no longer in Kafka; --json has the beginning of it")
        sys.stdout.buffer.write(letter.value)
        return
    _print_one(found, letter)


@dead_letters_app.command("replay")
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="only these", show_default=False)] = None,
    reason: Reasons = None,
    since: Since = "",
    source: Sources = None,
    again: Annotated[bool, typer.Option("--again", help="also what was replayed before")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be replayed")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    from_kafka: FromKafka = False,
    as_json: Annotated[bool, typer.Option("--json", help="the outcome as one JSON object; does not ask")] = False,
) -> None:
    """Send dead letters through the logs once more, after what refused them was mended.

    The original bytes go into topic logs under their first coordinates, so document and index are those they would
    have had; rules see each of them once. A replay that is broken off is taken up by the next. What fails again is a
    new dead letter.

    Example: vigil dead-letters replay --reason 'elasticsearch:*' --since 24h --dry-run
    """
    from streaming.dead_letters.round import Round
    from streaming.settings import load_settings

    settings = load_settings()
    selection = _selection(settings, reason, since, source, ids or [])
    with Round(settings, selection, again=again, from_kafka=from_kafka) as this:
        with _hint():
            preview = this.preview()
        if not as_json:
            _print_preview(preview)
        if dry_run or not _agreed(preview, yes=yes or as_json):
            if as_json:
                _print_json({"dry_run": True, "would_replay": preview.total, "reasons": dict(preview.reasons)})
            return
        with _bar(preview.total, shown=not as_json and sys.stderr.isatty()) as advance:
            outcome = this.replay(advance)
        left, gone = _left(this), this.gone
    if as_json:
        _print_json(_as_json(outcome, gone, left))
    else:
        _print_outcome(outcome, gone, left)


@contextmanager
def _hint() -> Iterator[None]:
    from streaming.errors import Unavailable

    try:
        yield
    except Unavailable as error:
        hint = "; --from-kafka reads the dead letters without it" if "Elasticsearch" in str(error) else ""
        raise Unavailable(f"{error}{hint}") from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _selection(
    settings: Settings, reasons: list[str] | None, since: str, sources: list[str] | None, ids: list[str]
) -> Selection:
    from streaming.dead_letters.finding import Selection
    from streaming.elastic.query import parse_time

    return Selection(
        reasons or (),
        parse_time(since, _now_ms()) if since else None,
        [settings.topic(name) if not name.startswith(settings.topic_prefix or " ") else name for name in sources or []],
        ids,
    )


@contextmanager
def _search(settings: Settings) -> Iterator[DeadLetterSearch]:
    from streaming.dead_letters.finding import DeadLetterSearch
    from streaming.elastic.connection import Connection

    with closing(Connection(settings.elastic)) as connection:
        yield DeadLetterSearch(connection, settings.index_prefix)


def _from_documents(
    settings: Settings, selection: Selection, limit: int
) -> tuple[list[dict[str, object]], Counter[str]]:
    with _search(settings) as search:
        hits = search.latest(selection, limit)[::-1]
        return [{"_index": hit.index, "_id": hit.id, **hit.document} for hit in hits], search.counts(selection)


def _from_topic(settings: Settings, selection: Selection, limit: int) -> tuple[list[dict[str, object]], Counter[str]]:
    from streaming.dead_letters import document
    from streaming.dead_letters.reading import LetterReader
    from streaming.dead_letters.receipts import read_receipts

    receipts = read_receipts(settings)
    rows: dict[str, DeadLetter] = {}
    left: Counter[str] = Counter()
    seen: set[str] = set()
    with LetterReader(settings) as reader:
        for letter in filter(selection.takes, reader.scan(selection.since_ms)):
            name = document.document_id(letter)
            if name in seen:
                continue
            seen.add(name)
            left[letter.reason] += not (name in receipts and receipts[name].sent)
            rows[name] = letter
            if len(rows) > limit:
                del rows[next(iter(rows))]
    return [_as_document(name, letter, receipts) for name, letter in rows.items()], +left


def _as_document(name: str, letter: DeadLetter, receipts: Receipts) -> dict[str, object]:
    from streaming.dead_letters import document
    from streaming.events.ecs import date_text

    made = document.document(letter, time.time_ns())
    receipt, vigil = receipts.get(name), made["vigil"]
    if receipt is not None and receipt.sent and isinstance(vigil, dict):
        vigil["replayed_at"], vigil["replayed_by"] = date_text(receipt.at_ms * 1_000_000), receipt.replay_id
    return {"_id": name, **made}


def _is(letter: DeadLetter, document_id: str) -> bool:
    from streaming.dead_letters.document import document_id as id_of

    return id_of(letter) == document_id


def _left(replayed: Round) -> Counter[str] | None:
    """Marks the documents and counts what is left; None while Elasticsearch is away, which changes nothing else."""
    from streaming.elastic.ensure import Refused
    from streaming.errors import Unavailable

    try:
        return replayed.left()
    except (Unavailable, Refused) as error:
        print(f"The documents could not be marked as replayed yet; the next replay does it. {error}", file=sys.stderr)
        return None


def _agreed(preview: Preview, *, yes: bool) -> bool:
    from streaming.errors import VigilError

    if yes or not preview.total:  # with nothing new there may still be a replay to be taken up, or marks to be made
        return True
    if not sys.stdin.isatty():
        raise VigilError("nobody is there to be asked; add --yes to replay them, or --dry-run to only look")
    return bool(typer.confirm(f"Replay {preview.total}?"))


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    if not shown:
        yield lambda _letters: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("replaying", total=total)
        yield lambda letters: bar.advance(task, letters)


# What is printed


def _counted(reasons: Counter[str]) -> str:
    each = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(8))
    more = f" and {len(reasons) - 8} more" if len(reasons) > 8 else ""
    return f"{reasons.total()} dead letters: {each}{more};" if reasons else "0 dead letters"


def _print_json(value: object) -> None:
    import msgspec

    print(msgspec.json.encode(value).decode())


def _print_table(rows: list[dict[str, object]]) -> None:
    from streaming.cli.terminal import one_line, one_line_table, printable
    from streaming.cli.terminal import show as show_table

    table = one_line_table("died (UTC)", "reason", "bytes", "replayed", "id", "source: detail")
    for row in rows:
        replayed = _at(row, "vigil", "replayed_at")
        table.add_row(
            _at(row, "@timestamp")[:19].replace("T", " "),
            printable(_at(row, "dead_letter", "reason")[:60]),
            _at(row, "dead_letter", "size"),
            replayed[:19].replace("T", " ") or "-",
            _at(row, "_id"),
            one_line(f"{_at(row, 'vigil', 'source')}: {_at(row, 'dead_letter', 'detail')}"),
        )
    show_table(table)


def _print_one(found: Found, letter: DeadLetter | None) -> None:
    from rich.console import Console

    from streaming.cli.terminal import printable

    console = Console(highlight=False, soft_wrap=True)
    for name, value in _flat(found.document):
        if name not in ("event.original", "dead_letter.base64"):
            console.print(printable(f"{name}: {value}"))
    original = letter.value if letter is not None else _kept(found)
    shown = original[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    whole = len(original) <= SHOWN_BYTES
    state = "" if letter is not None else " (no longer in Kafka; the beginning, from its document)"
    console.print(f"original{state}{'' if whole else f', the first {SHOWN_BYTES} bytes; --raw gives all'}:")
    console.print(printable(shown))


def _kept(found: Found) -> bytes:
    from base64 import b64decode

    return b64decode(_at(found.document, "dead_letter", "base64"))


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _at(row: object, *path: str) -> str:
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    return "" if row is None else str(row)


def _print_preview(preview: Preview) -> None:
    from rich.console import Console

    from streaming.cli.terminal import printable

    console = Console(highlight=False, soft_wrap=True)
    console.print(printable(f"{_counted(preview.reasons).rstrip(';')}"))
    for letter in preview.samples:
        beginning = letter.value[: 4 * SAMPLE_CHARACTERS].decode("utf-8", "backslashreplace")[:SAMPLE_CHARACTERS]
        console.print(printable(f"  {letter.reason}  {letter.source}  {beginning}"))


def _as_json(outcome: Outcome, gone: int, left: Counter[str] | None) -> dict[str, object]:
    return {
        "replay_id": outcome.replay_id,
        "replayed": outcome.replayed,
        "resumed": outcome.resumed,
        "already": outcome.already,
        "too_large": outcome.too_large,
        "gone": gone,
        "left": None if left is None else dict(left),
    }


def _print_outcome(outcome: Outcome, gone: int, left: Counter[str] | None) -> None:
    print(f"{outcome.replayed} replayed as {outcome.replay_id}")
    if outcome.resumed:
        print(f"{outcome.resumed} of a replay that was broken off were sent first")
    if outcome.already:
        print(f"{outcome.already} were replayed before and left out; --again replays them once more")
    if outcome.too_large:
        few = " ".join(outcome.too_large[:5])
        print(f"{len(outcome.too_large)} are larger than topic logs takes and stay: {few}; `show --raw` has them whole")
    if gone:
        print(f"{gone} are no longer in Kafka; their documents hold the beginning of each")
    if left is not None:
        print(f"Left: {_counted(left).rstrip(';')}")
