from __future__ import annotations

from pathlib import Path

import pytest

from infra.intent import Intent, Order, intent_file, last_order, record_order
from streaming.errors import ConfigError
from streaming.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_nothing_was_ordered_on_a_new_platform(settings: Settings) -> None:
    assert last_order(settings.home) is None


def test_the_last_order_counts(settings: Settings) -> None:
    up = Order(intent=Intent.UP, since_ms=1, by="deploy_platform a")
    down = Order(intent=Intent.DOWN, since_ms=2, by="teardown_platform b")
    record_order(settings.home, up)
    assert last_order(settings.home) == up
    record_order(settings.home, down)
    assert last_order(settings.home) == down
    assert [file.name for file in intent_file(settings.home).parent.iterdir()] == ["intent.json"]


@pytest.mark.parametrize("content", [b"", b"up", b'{"intent":"sideways","since_ms":1,"by":"x"}'])
def test_a_broken_file_is_named_with_its_remedy(settings: Settings, content: bytes) -> None:
    file = intent_file(settings.home)
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"intent\.json.*Delete it"):
        last_order(settings.home)
