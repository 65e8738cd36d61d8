"""What a person reads of a plan."""

from __future__ import annotations

import json

import pytest

from infra.virtualbox.changes import Action, Change, lines, read, table
from streaming.errors import VigilError


def resource(name: str, actions: list[str], index: str | None = None, **more: object) -> dict[str, object]:
    """As `terraform show -json` says it."""
    change = {"actions": actions, "before": more.pop("before", None), "after": more.pop("after", None)}
    return {"address": f"terraform_data.{name}", "name": name, "index": index, "change": change, **more}


def plan(*resources: dict[str, object]) -> bytes:
    return json.dumps({"format_version": "1.2", "resource_changes": resources, "errored": False}).encode()


def test_a_first_deployment() -> None:
    found = read(
        plan(
            resource("machine", ["create"], "producer"),
            resource("machine", ["create"], "consumer"),
            resource("image", ["create"]),
            resource("network", ["create"]),
            resource("forwards", ["create"], "producer"),
        )
    )
    assert [one.what for one in found.changes] == [
        "NAT network", "port forwards of producer", "disk image", "machine consumer", "machine producer",
    ]  # fmt: skip
    assert {one.action for one in found.changes} == {Action.MAKE}
    assert not [one for one in found.changes if one.lost]


def test_what_is_made_anew_says_why_and_what_is_lost() -> None:
    before, after = ({"triggers_replace": {"memory_mb": n, "image": "sha256:" + str(n) * 64}} for n in (4096, 8192))
    (change,) = read(plan(resource("machine", ["delete", "create"], "producer", before=before, after=after))).changes
    assert change == Change(
        Action.REMAKE,
        "machine producer",
        "memory_mb 4096 becomes 8192, image differs",
        "its disk, with all that is on it",
    )


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("replace_by_request", "is not there any more, or was asked for"),
        ("replace_because_tainted", "was made only half the last time"),
    ],
)
def test_why_terraform_makes_it_anew(reason: str, said: str) -> None:
    (change,) = read(plan(resource("network", ["delete", "create"], action_reason=reason))).changes
    assert (change.why, change.lost) == (said, "")


def test_what_stays_is_no_change() -> None:
    assert read(plan(resource("network", ["no-op"]), resource("image", ["read"]))).changes == ()
    assert table(()) == "Nothing is changed.\n"
    assert lines(()) == ["nothing is changed"]


def test_as_a_table_and_as_lines() -> None:
    changes = [Change(Action.DESTROY, "machine a|b", "is not\namong", "its disk")]
    assert table(changes).splitlines() == [
        "|  | what | why | what is lost |",
        "| --- | --- | --- | --- |",
        "| **destroy** | machine a\\|b | is not among | its disk |",
    ]
    assert lines(changes) == ["destroy   machine a|b (is not\namong); lost: its disk"]


def test_what_is_no_plan_is_named() -> None:
    with pytest.raises(VigilError, match="the plan cannot be read"):
        read(b'{"resource_changes": {}}')
