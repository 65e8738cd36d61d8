"""What a real Fluentd is given on a machine, so that it does what the built-in accumulator does there. Pure.

The same files are read, but for one: in `common/kafka.conf`, which every Kafka output includes, the deployment adds how
Kafka is reached. The password stands in no file: Fluentd reads its unit's credential when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra.machines.kafka.rights import user_of
from infra.machines.programs import AUTHORITY
from streaming.accumulator.environment import variables
from streaming.errors import ConfigError
from streaming.settings import Settings

BROKERS = Settings.variable("kafka_bootstrap")
KAFKA = "common/kafka.conf"
"""The file of Kafka's outputs, below the folder of the configuration."""


def configuration(texts: Mapping[str, str], accumulator: str) -> dict[str, str]:
    """The files of a machine's Fluentd, by their paths.

    Raises:
        ConfigError: none of them is `common/kafka.conf`.
    """
    if KAFKA not in texts:
        raise ConfigError(
            "is not there",
            file=KAFKA,
            field=Settings.variable("fluentd_path"),
            remedy="Let the Kafka outputs include it: there a deployment says how Kafka is reached",
        )
    return {**texts, KAFKA: texts[KAFKA].rstrip("\n") + "\n" + access(accumulator)}


def access(accumulator: str) -> str:
    """How Kafka is reached, in the words of fluent-plugin-kafka's `kafka2`."""
    return f"""\
# Written by the deployment: TLS, and the accumulators' user, whose password is a credential of the unit.
ssl_ca_cert ["{AUTHORITY}"]
sasl_over_ssl true
scram_mechanism sha512
username {user_of(accumulator)}
password "#{{File.read(File.join(ENV.fetch('CREDENTIALS_DIRECTORY'), 'kafka_password')).strip}}"
"""


def environment(settings: Settings, accumulator: str) -> dict[str, str]:
    """The variables that its files ask for; the brokers' addresses are in a file that all units read."""
    home = Path("/var/lib/vigil") / accumulator
    found = variables(settings.model_copy(update={"home": home, "bind_host": "127.0.0.1"}))
    return {name: value for name, value in found.items() if name != BROKERS}
