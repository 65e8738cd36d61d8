"""What is masked, what is not, and that no message costs more than its head."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.fingerprint.masking import HEAD, MARK, WORDS, head, mask


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("order 4711 took 35 ms", "order <*> took <*>"),
        ("used 1.2 KB, free 900 B", "used <*>, free <*>"),
        ("used 64172MB of 5%", "used <*> of <*>"),
        ("waited for 1 second", "waited for <*>"),
        ("waited for 30 seconds", "waited for <*>"),
        ("delta -17 or +4 or 1.5e-07", "delta <*> or <*> or <*>"),
        ("session 0x14ed93111f20027 closed", "session <*> closed"),
        ("commit a489c868f0c37da93b76227c91bb03908ac0e742 pushed", "commit <*> pushed"),
        ("instance b9000564-fe1a-409b-b8cc-1e88b294cd1d up", "instance <*> up"),
        ("instance abcdefab-cdef-4bcd-abcd-abcdefabcdef up", "instance <*> up"),
        ("token=eyJhbGciOiJIUzI1NiIsInR5cCI6 rejected", "token=<*> rejected"),
        ("block blk_-1608999687919862906 and blk_38 lost", "block blk_<*> and blk_<*> lost"),
        ("deleting blk_1 blk_2, blk_3", "deleting blk_<*>"),
        ("from 10.0.0.7:5044 via 10.0.0.1", "from <*> via <*>"),
        ("from /10.0.0.7:5044", "from <*>"),
        ("from fe80::1ff:fe23:4567:890a on eth0", "from <*> on eth<*>"),
        ("from 00:1b:44:11:3a:b7", "from <*>"),
        ("from ns.example.com. to n219076184117.netvigator.com", "from <*>. to <*>"),
        ("mail to jane.doe+x@mail.example.org sent", "mail to <*> sent"),
        ("GET https://example.com/a?b=1&c=2 failed", "GET <*> failed"),
        ('"GET /orders/17?full=true HTTP/1.1" 200', '"GET <*> HTTP/<*>" <*>'),
        ('"POST /orders HTTP/1.1" 201', '"POST <*> HTTP/<*>" <*>'),
        ("cannot open /var/log/messages: no such file", "cannot open <*>: no such file"),
        (r"cannot open C:\Users\jane\x.txt", "cannot open <*>"),
        ("user 'alice' is unknown", "user '<*>' is unknown"),
        ('user="alice", role="admin"', 'user="<*>", role="<*>"'),
        ("at Fri Jun 17 07:07:00 2005 it began", "at <*> it began"),
        ("at 2026-11-25T21:01:56.123+01:00 it began", "at <*> it began"),
        ("at 2026-11-25 21:01:56,123 it began", "at <*> it began"),
        ("on 25 November 2026 at 9:01 PM UTC", "on <*> at <*>"),
        ("it may take 5 tries", "it may take <*> tries"),
        ("sizes [1, 2, 3] and ()", "sizes [<*>] and (<*>)"),
        ("1234 bytes (1.2 KB) sent, 17 bytes received", "<*> sent, <*> received"),
        ("from 10.0.0.7 (a.example.org) or 10.0.0.7 () at", "from <*> or <*> at"),
        ("lifetime <1 sec and >20 bytes", "lifetime <*> and <*>"),
        ("proxy.cse.example.hk:5070 close", "<*> close"),
        ("main() done", "main() done"),
        ("state=UP user=root uid=0", "state=UP user=root uid=<*>"),
        ("com.example.v2.Orders$Line: java.io.IOException: closed", None),
        ("java.lang.IllegalStateException: pool 3 is shut", "java.lang.IllegalStateException: pool <*> is shut"),
        ("com.example.v2.Orders failed", "com.example.v<*>.Orders failed"),
        ("switched from NEW to RUNNING", None),
        ("", ""),
        ("nothing to mask here", None),
        ("\x1b[32mINFO\x1b[0m took \x1b[1;31m5 ms\x1b[0m", "INFO took <*>"),
        ("  two   spaces\tand a tab ", "two spaces and a tab"),
    ],
)
def test_masks(message: str, masked: str | None) -> None:
    expected = "com.example.v<*>.Orders$Line: java.io.IOException: closed" if "Line" in message else message
    assert mask(message) == (expected if masked is None else masked)


def test_a_long_message_is_not_parted_by_the_length_of_its_values() -> None:
    """Which a cut by characters alone would do."""
    long, longer = (f"copied {'x' * length} to " + "block and so on " * 100 for length in (3, 70))
    assert len(mask(long).split()) == len(mask(longer).split()) == WORDS


def test_only_the_first_line_counts() -> None:
    trace = "KeyError: 'colour' in order 7\n  File \"/srv/a.py\", line 3, in main\n    raise"
    assert mask(trace) == mask("KeyError: 'size' in order 123\r\nelse") == "KeyError: '<*>' in order <*>"
    assert mask("\n\n  \nsecond 2\nthird") == "second <*>"


def test_the_head_ends_with_a_whole_word() -> None:
    words = "word " * 300
    assert head(words) == ("word " * (HEAD // 5)).strip()
    assert head("x" * 3000) == "x" * HEAD
    assert head("y" * HEAD + " z") == "y" * HEAD


@given(st.text(max_size=700))
def test_any_text_is_masked(message: str) -> None:
    masked = mask(message)
    assert not any(digit in masked for digit in "0123456789")
    assert masked == mask(message)
    masked.encode()


@given(
    st.text(alphabet="ab-_.:/@ ,=\"'()[]\\0", max_size=80), st.lists(st.integers(0, 10**12), min_size=80, max_size=80)
)
def test_which_number_it_is_does_not_matter(shape: str, numbers: list[int]) -> None:
    separated = shape.replace("00", "0a0")
    renumbered = "".join(str(n) if c == "0" else c for c, n in zip(separated, numbers * 2, strict=False))
    if len(renumbered) <= HEAD:
        assert mask(renumbered) == mask(separated[: len(separated)])


_PIECES = ["a", "0", "a0", "0:", "/", '"', '"a', "a.", "A0.", "a-", "a@", "<*>", "<*> ", "a0 ", "()", "a-0f-", "Jan "]


@pytest.mark.parametrize(
    "piece", [*_PIECES, "Mon Jan 1 ", "a+", "'", "\\", "C:\\", "a://", "0-", "a_", "[", "\u00e9", "\U0001f600"]
)
def test_no_message_takes_long(piece: str) -> None:
    """Nothing that backtracks: twice the text takes about twice the time, and beyond the head none."""
    hostile = [piece * (2_000_000 // len(piece)), piece * (HEAD // len(piece)) + "!", "!" + piece * HEAD]
    began = time.process_time()
    for message in hostile:
        for _ in range(10):
            assert len(mask(message)) <= 4 * HEAD
    # 30 messages; the worst was measured at 0.3 ms each. What backtracks takes seconds.
    assert time.process_time() - began < 0.6


def test_the_mark_stands_for_itself() -> None:
    assert mask(f"left {MARK} right 5") == f"left {MARK} right {MARK}"
