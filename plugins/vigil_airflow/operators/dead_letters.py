"""Shows dead letters, replays them, and tells what is left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook

if TYPE_CHECKING:
    from streaming.dead_letters.candidates import Preview
    from streaming.dead_letters.finding import Selection
    from streaming.settings import Settings

COLOUR = "#fce5cd"

REASONS_SHOWN = 20

INDEXED_WITHIN_S = 120.0
"""What is replayed is indexed in a second where nothing else waits."""


class PreviewDeadLettersOperator(BaseOperator):
    """Counts the letters that are meant and shows the first of them.

    By the run's parameters `reasons`, `topics`, `since`, `until` and `again`. Returns what the next tasks go by:
    `selection` (letters that come later are not in it), `again`, `total`, `reasons` (counts), and `body`, which tells a
    person the same in Markdown.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        AirflowSkipException: none fit.
        VigilError: Kafka or Elasticsearch does not answer, or a time cannot be read.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = COLOUR

    def __init__(self, *, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def execute(self, context: Context) -> dict[str, object]:
        """Looks."""
        from streaming.dead_letters.round import Round

        settings, params = VigilHook(self.target).settings, context["params"]
        chosen, again = _chosen(settings, params, time.time_ns() // 1_000_000), bool(params.get("again"))
        with Round(settings, _selection(chosen), again=again) as this:
            preview = this.preview()
        if not preview.total:
            raise AirflowSkipException("no dead letter fits; nothing is to be replayed")
        self.log.info("%d dead letters: %s", preview.total, dict(preview.reasons))
        return {
            "selection": chosen,
            "again": again,
            "total": preview.total,
            "reasons": dict(preview.reasons),
            "body": _body(preview),
        }


class ReplayDeadLettersOperator(BaseOperator):
    """Sends the letters that were shown through the logs once more. Killed, its next try goes on where it was.

    Args:
        preview_task: id of the task that showed them.
        target: as `infra.targets.reference` takes it (templated).

    Returns: `replay_id`, `began_ms`, and in letters `replayed`, `resumed`, `already`, `too_large`, `gone`.

    Raises:
        VigilError: Kafka or Elasticsearch does not answer; another replay was started meanwhile.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = COLOUR

    def __init__(self, *, preview_task: str, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.preview_task, self.target = preview_task, target

    def execute(self, context: Context) -> dict[str, object]:
        """Replays."""
        from streaming.dead_letters.round import Round

        settings, began_ms = VigilHook(self.target).settings, time.time_ns() // 1_000_000
        shown = context["ti"].xcom_pull(task_ids=self.preview_task)
        done = 0

        def progress(letters: int) -> None:
            nonlocal done
            done += letters
            self.log.info("%d of %d letters", done, shown["total"])

        with Round(settings, _selection(shown["selection"]), again=shown["again"]) as this:
            outcome = this.replay(progress)
            left, gone = this.left(), this.gone
        self.log.info("replay %s: %d letters replayed, %d left", outcome.replay_id, outcome.replayed, left.total())
        for name in outcome.too_large:
            self.log.warning("%s is larger than topic logs takes; `vigil dead-letters show --raw` writes it out", name)
        return {
            "replay_id": outcome.replay_id,
            "began_ms": began_ms,
            "replayed": outcome.replayed,
            "resumed": outcome.resumed,
            "already": outcome.already,
            "too_large": len(outcome.too_large),
            "gone": gone,
        }


class ReportLeftOperator(BaseOperator):
    """Waits until what was replayed is indexed, then tells what of it failed again and what was not replayed.

    Args:
        preview_task: id of the task that showed the letters.
        replay_task: id of the task that replayed them.
        target: as `infra.targets.reference` takes it (templated).

    Returns: `left` and `failed_again`, by reason; and `indexed`: whether all of it was, in time.

    Raises:
        VigilError: Kafka or Elasticsearch does not answer.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = COLOUR

    def __init__(self, *, preview_task: str, replay_task: str, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.preview_task, self.replay_task, self.target = preview_task, replay_task, target

    def execute(self, context: Context) -> dict[str, object]:
        """Waits and counts."""
        from streaming.dead_letters.round import Round, await_indexed

        settings, ti = VigilHook(self.target).settings, context["ti"]
        shown, done = ti.xcom_pull(task_ids=self.preview_task), ti.xcom_pull(task_ids=self.replay_task)
        indexed = await_indexed(settings, INDEXED_WITHIN_S)
        with Round(settings, _selection(shown["selection"])) as this:
            left, back = this.left(), this.came_back(int(done["began_ms"]))
        if not indexed:
            self.log.warning("the indexer is behind: after %.0f s not all is indexed yet", INDEXED_WITHIN_S)
        self.log.info("%s letters replayed", done["replayed"])
        self.log.info("dead letters since then: %s", dict(back) or "none")
        self.log.info("of those that were meant, not replayed: %s", dict(left) or "none")
        return {"left": dict(left), "failed_again": dict(back), "indexed": indexed}


def _chosen(settings: Settings, params: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """What the run's parameters mean now, as the tasks hand it on."""
    from streaming.elastic.query import parse_time

    since, until = params.get("since"), params.get("until")
    return {
        "reasons": list(params.get("reasons") or ()),
        "since_ms": parse_time(str(since), now_ms) if since else None,
        "until_ms": min(now_ms, parse_time(str(until), now_ms)) if until else now_ms,
        "topics": [settings.topic(str(name)) for name in params.get("topics") or ()],
    }


def _selection(chosen: Mapping[str, Any]) -> Selection:
    from streaming.dead_letters.finding import Selection

    return Selection(
        reasons=tuple(chosen["reasons"]),
        since_ms=chosen["since_ms"],
        until_ms=chosen["until_ms"],
        topics=tuple(chosen["topics"]),
    )


def _body(preview: Preview) -> str:
    """What a person is to agree to, in Markdown. Letters are what strangers wrote."""
    from vigil_airflow.markdown import code, word

    lines = ["| reason | letters |", "|---|---|"]
    lines += [f"| {word(reason)} | {count:,} |" for reason, count in preview.reasons.most_common(REASONS_SHOWN)]
    if len(preview.reasons) > REASONS_SHOWN:
        lines.append(f"| {len(preview.reasons) - REASONS_SHOWN} more reasons | |")
    lines += ["", "The first of them:"]
    for letter in preview.samples:
        lines += [
            "",
            f"{word(letter.reason)}: {word(letter.detail, 200)}",
            "",
            code(letter.value.decode("utf-8", "replace")),
        ]
    return "\n".join(lines)
