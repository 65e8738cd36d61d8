"""Receivers, routes, people and rotations in rule files: what is refused, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.alerting.rules.loading import load_texts
from streaming.errors import ConfigError

GOOD = """\
people:
  - {name: ann, slack: U024BE7LH, email: ann@example.com}
rotations:
  - {name: ops, people: [ann], starts: 2026-03-02T09:00:00+01:00, timezone: Europe/Berlin}
receivers:
  - {name: pager, kind: pagerduty, routing_key: {env: PAGER_KEY}}
  - {name: mail, kind: email, host: localhost, sender: vigil@example.com, to: [ops@example.com]}
  - {name: switch, kind: webhook, url: {file: ~/.vigil/switch-url}}
routes:
  - name: default
    receivers: [pager]
    on_call: ops
    escalate:
      - {after: 5m, to: [console], on_call: ops}
dead_man: {receiver: switch, every: 1m}
"""


def load(text: str) -> None:
    load_texts([(Path("x.yaml"), text)])


def test_the_example_is_good() -> None:
    load(GOOD)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("receiver: switch", "receiver: pager", "dead_man.receiver: receiver 'pager' cannot show life"),
        ("receiver: switch", "receiver: slack", "cannot show life"),
        ("receiver: switch", "receiver: swich", "there is no receiver 'swich'. Did you mean switch?"),
        ("name: default", "name: canary", "'canary' is a route already. It is built in"),
        ("env: PAGER_KEY", "env: VIGIL_KEY", "are for settings; take another"),
        ("file: ~/.vigil/switch-url", "file: switch-url", "receivers[2].url"),
        ("2026-03-02T09:00:00+01:00", "2026-03-02T09:00:00", "rotations[0].starts"),
        ("2026-03-02T09:00:00+01:00", "0001-01-01T00:00:00+01:00", "outside the years 1970 to 2999"),
        ("Europe/Berlin", "Europe/Berlim", "is no time zone"),
        ("people: [ann]", "people: [ann, anne]", "there is no person 'anne'. Did you mean ann?"),
        ("to: [console]", "to: [consol]", "there is no receiver 'consol'. Did you mean console?"),
        ("after: 5m, to: [console], on_call: ops", "after: 5m, on_call: op", "there is no rotation 'op'"),
        ("ann@example.com", "jörg@example.com", "people[0].email: has other characters than ASCII"),
        ("vigil@example.com", "vigil@exämple.com", "receivers[1].sender: has other characters than ASCII"),
        ("ops@example.com", "öps@example.com", "receivers[1].to[0]: has other characters than ASCII"),
        ("every: 1m", "every: 1s", "dead_man.every"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(good: str, bad: str, said: str) -> None:
    assert good in GOOD
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace(good, bad))
    assert str(caught.value).startswith("x.yaml:")
    assert said in str(caught.value)
