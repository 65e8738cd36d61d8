"""What a client of Kafka is told of TLS and users, and what nobody reads of its password."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from streaming.errors import ConfigError
from streaming.kafka import clients
from streaming.kafka.access import KafkaAccess, Mechanism, Protocol
from streaming.settings import Settings, load_settings

SECURE = KafkaAccess("k:9093", Protocol.SASL_SSL, Mechanism.SCRAM_SHA_512, "indexer", "hush", "/ca.pem")


def test_without_security_the_brokers_are_all() -> None:
    assert KafkaAccess("a:1,b:2").options() == {"bootstrap.servers": "a:1,b:2"}


@pytest.mark.parametrize("protocol", list(Protocol))
def test_what_is_said_follows_from_the_protocol(protocol: Protocol) -> None:
    options = KafkaAccess("k:1", protocol, Mechanism.PLAIN, "me", "hush", "/ca", "/cert", "/key").options()
    assert ("ssl.ca.location" in options) == ("ssl.key.location" in options) == protocol.tls
    assert ("sasl.password" in options) == ("sasl.username" in options) == protocol.sasl
    assert options.get("security.protocol", "PLAINTEXT") == protocol


def test_librdkafka_takes_these_words(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []

    def made(config: dict[str, object]) -> Producer:
        given.append(config)
        return Producer({key: value for key, value in config.items() if key != "ssl.ca.location"})

    monkeypatch.setattr(clients, "Producer", made)
    clients.producer(SECURE)
    assert given[0]["sasl.mechanism"] == "SCRAM-SHA-512"
    assert given[0]["ssl.ca.location"] == "/ca.pem"


def test_the_password_is_in_no_text() -> None:
    assert str(SECURE) == "k:9093"
    assert "hush" not in f"{SECURE!r}{SECURE}{[SECURE]}"


def test_by_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("BOOTSTRAP", "k:9093"),
        ("SECURITY_PROTOCOL", "SASL_SSL"),
        ("USERNAME", "indexer"),
        ("PASSWORD", "hush"),
        ("CA_PATH", "/ca.pem"),
    ):
        monkeypatch.setenv(f"VIGIL_KAFKA_{name}", value)
    settings = load_settings()
    assert settings.kafka == SECURE
    assert "hush" not in repr(settings)
    monkeypatch.setenv("VIGIL_KAFKA_SECURITY_PROTOCOL", "TLS")
    with pytest.raises(ConfigError, match=r"VIGIL_KAFKA_SECURITY_PROTOCOL.*SASL_SSL"):
        load_settings()


def test_without_settings_it_is_this_machine() -> None:
    assert Settings().kafka == KafkaAccess("127.0.0.1:9092")
