"""The Slack hook against a Slack that keeps Slack's rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from vigil_airflow.slack import WAIT_AT_MOST_S, Upload, VigilSlackHook

from streaming.errors import ConfigError, Unavailable, VigilError
from streaming.settings import Settings
from tests.support.fake_slack import CHANNEL, CHANNEL_NAME, OTHER_CHANNEL, TOKEN, FakeSlack


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    server = FakeSlack()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "none.toml"))
    for variable in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL", "SLACK_API_URL"):
        monkeypatch.delenv(variable, raising=False)


def connect(monkeypatch: pytest.MonkeyPatch, slack: FakeSlack, token: str = TOKEN, **extra: object) -> None:
    connection = {"conn_type": "slack", "password": token, "extra": {"base_url": slack.url, **extra}}
    monkeypatch.setenv("AIRFLOW_CONN_VIGIL_SLACK", json.dumps(connection))


class Waits:
    """What was slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_posts_by_the_connection_and_replies_in_its_thread(monkeypatch: pytest.MonkeyPatch, slack: FakeSlack) -> None:
    connect(monkeypatch, slack, channel=CHANNEL)
    hook = VigilSlackHook()
    assert hook.configured
    first = hook.post("down", [{"type": "section", "text": {"type": "mrkdwn", "text": "down", "verbatim": True}}])
    hook.post("since 10:00 UTC", thread_ts=first.ts)
    assert (first.channel, first.ts) == (CHANNEL, slack.messages[0].ts)
    assert [reply.text for reply in slack.replies] == ["since 10:00 UTC"]
    assert not any(message.links for message in slack.posted)


def test_falls_back_to_the_settings_of_the_installation(slack: FakeSlack) -> None:
    settings = Settings(SLACK_BOT_TOKEN=TOKEN, SLACK_CHANNEL=CHANNEL_NAME, SLACK_API_URL=slack.url)
    assert VigilSlackHook(settings=settings).post("x").channel == CHANNEL


def test_a_connection_takes_the_channel_from_the_settings_if_it_names_none(
    monkeypatch: pytest.MonkeyPatch, slack: FakeSlack
) -> None:
    connect(monkeypatch, slack)
    monkeypatch.setenv("SLACK_CHANNEL", OTHER_CHANNEL)
    assert VigilSlackHook().post("x").channel == OTHER_CHANNEL


def test_a_complete_connection_works_while_the_settings_are_broken(
    monkeypatch: pytest.MonkeyPatch, slack: FakeSlack, tmp_path: Path
) -> None:
    (tmp_path / "broken.toml").write_text("kafka_port = 'many'\n")
    monkeypatch.setenv("VIGIL_CONFIG", str(tmp_path / "broken.toml"))
    connect(monkeypatch, slack, channel=CHANNEL)
    VigilSlackHook().post("still told")
    assert slack.messages[0].text == "still told"
    connect(monkeypatch, slack)
    with pytest.raises(ConfigError, match=r"broken\.toml:1"):
        VigilSlackHook().post("x")


def test_is_not_configured_without_either_and_says_how_to() -> None:
    hook = VigilSlackHook()
    assert not hook.configured
    with pytest.raises(ConfigError, match=r"connection vigil_slack .* SLACK_BOT_TOKEN"):
        hook.post("x")


@pytest.mark.parametrize(
    ("token", "extra", "words"),
    [
        ("", {"channel": CHANNEL}, "token is missing"),
        ("xoxb-secret\nline", {"channel": CHANNEL}, "no token has"),
        (TOKEN, {}, "no channel is named"),
    ],
)
def test_a_connection_that_lacks_something_says_what(
    monkeypatch: pytest.MonkeyPatch, slack: FakeSlack, token: str, extra: dict[str, object], words: str
) -> None:
    connect(monkeypatch, slack, token, **extra)
    hook = VigilSlackHook()
    assert hook.configured
    with pytest.raises(ConfigError, match=words) as told:
        hook.post("x")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("invalid_auth", "current token"),
        ("channel_not_found", "Invite the bot"),
        ("missing_scope", r"missing_scope \(chat:write\).*install it again"),
    ],
)
def test_a_misconfiguration_names_the_remedy_and_not_the_token(
    monkeypatch: pytest.MonkeyPatch, slack: FakeSlack, error: str, words: str
) -> None:
    channel = "C0000000000" if error == "channel_not_found" else CHANNEL
    connect(monkeypatch, slack, "xoxb-wrong" if error == "invalid_auth" else TOKEN, channel=channel)
    if error == "missing_scope":
        slack.scopes.clear()
    with pytest.raises(ConfigError, match=words) as told:
        VigilSlackHook().post("x")
    assert "xoxb-wrong" not in str(told.value)
    assert "connection vigil_slack" in str(told.value)


def test_waits_as_long_as_slack_asks_and_no_longer_than_its_bound(
    monkeypatch: pytest.MonkeyPatch, slack: FakeSlack
) -> None:
    connect(monkeypatch, slack, channel=CHANNEL)
    waits = Waits()
    slack.faults.retry_after_s = 7
    VigilSlackHook(sleep=waits).post("x")
    assert waits.slept == [7]
    slack.faults.retry_after_s = int(WAIT_AT_MOST_S) + 1
    with pytest.raises(Unavailable, match="61 s"):
        VigilSlackHook(sleep=waits).post("y")
    assert waits.slept == [7]
    assert [message.text for message in slack.messages] == ["x"]


def test_a_lost_answer_is_not_tried_again_but_told(monkeypatch: pytest.MonkeyPatch, slack: FakeSlack) -> None:
    connect(monkeypatch, slack, channel=CHANNEL)
    slack.faults.cut_after = 1
    with pytest.raises(Unavailable, match="may have arrived"):
        VigilSlackHook().post("x")
    assert len(slack.messages) == 1


def test_no_server_and_refused_content(monkeypatch: pytest.MonkeyPatch, slack: FakeSlack) -> None:
    connect(monkeypatch, slack, channel=CHANNEL)
    with pytest.raises(VigilError, match="invalid_blocks"):
        VigilSlackHook().post("x", [{"type": "section", "text": {"type": "mrkdwn", "text": "y" * 3001}}])
    slack.close()
    with pytest.raises(Unavailable, match=f"Address: {slack.url}"):
        VigilSlackHook().post("x")


def test_uploads_files_into_a_thread_by_the_name_of_the_channel(
    monkeypatch: pytest.MonkeyPatch, slack: FakeSlack, tmp_path: Path
) -> None:
    connect(monkeypatch, slack, channel=CHANNEL_NAME)
    report = tmp_path / "report.html"
    report.write_bytes(b"<html>")
    picture = Upload("chart.png", b"\x89PNG", title="Errors", alt_text="a chart " * 200)
    hook = VigilSlackHook()
    thread = VigilSlackHook().post("The report")
    ids = hook.upload([report, picture], "of yesterday", thread.ts)
    assert [(f.id, f.name, f.title, f.content) for f in slack.files.shared] == [
        (ids[0], "report.html", "report.html", b"<html>"),
        (ids[1], "chart.png", "Errors", b"\x89PNG"),
    ]
    assert {(f.channel, f.thread_ts, f.comment) for f in slack.files.shared} == {(CHANNEL, thread.ts, "of yesterday")}
    assert len(slack.files.shared[1].alt_text) == 1000


def test_an_upload_waits_for_429_and_is_shared_once(monkeypatch: pytest.MonkeyPatch, slack: FakeSlack) -> None:
    connect(monkeypatch, slack, channel=CHANNEL)
    waits = Waits()
    slack.faults.retry_after_s = 3
    VigilSlackHook(sleep=waits).upload([Upload("a.txt", b"a")])
    assert (waits.slept, len(slack.files.shared)) == ([3], 1)


def test_an_upload_that_fails_says_why_and_shares_nothing(
    monkeypatch: pytest.MonkeyPatch, slack: FakeSlack, tmp_path: Path
) -> None:
    connect(monkeypatch, slack, channel=CHANNEL)
    hook = VigilSlackHook()
    with pytest.raises(ConfigError, match=r"empty\.txt: is empty"):
        hook.upload([Upload("empty.txt", b"")])
    with pytest.raises(ConfigError, match=r"gone\.txt: cannot be read: No such file"):
        hook.upload([tmp_path / "gone.txt"])
    slack.files.largest = 3
    with pytest.raises(VigilError, match=r"file_upload_size_restricted.*a smaller one"):
        hook.upload([Upload("large.bin", b"1234")])
    slack.files.status = 500
    with pytest.raises(Unavailable, match="did not answer"):
        hook.upload([Upload("a.txt", b"a")])
    slack.scopes.discard("files:write")
    with pytest.raises(ConfigError, match=r"missing_scope \(files:write\)"):
        hook.upload([Upload("a.txt", b"a")])
    assert slack.files.shared == []
    assert hook.upload([]) == ()
