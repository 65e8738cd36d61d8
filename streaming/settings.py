"""Every setting of Vigil, typed, with its default: from the environment (`VIGIL_*`), else `vigil.toml`, else here.

Secrets may also be files that systemd gives a unit (`streaming.credentials`).
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from streaming.credentials import CredentialsSource
from streaming.elastic.access import ElasticAccess
from streaming.errors import ConfigError
from streaming.forward.access import Access, Tls
from streaming.forward.handshake import Credentials
from streaming.kafka.access import KafkaAccess, Mechanism, Protocol

CHECKOUT = Path(__file__).resolve().parent.parent

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _given(value: object) -> object:
    if value == "":
        # Path("") is the folder one happens to be in.
        raise ValueError("is empty; give a path, or leave it away")
    return value


GivenPath = Annotated[Path, BeforeValidator(_given)]

# A worker's health port is health_port_base + its place here + SLOT_STRIDE * its slot (0 for the first of
# its kind), so that several of one kind and all kinds together have ports of their own.
WORKERS: tuple[str, ...] = (
    "indexer",
    "matcher",
    "manager",
    "notifier",
    "heartbeat-monitor",
    "alerting-system",
    "loadgen",
    "accumulator1",
    "accumulator2",
    "accumulator3",
    "templates",
)
SLOT_STRIDE = 20


class Settings(BaseSettings):
    """All settings. Field `kafka_port` is `VIGIL_KAFKA_PORT` in the environment and `kafka_port` in `vigil.toml`."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_", extra="forbid", frozen=True)

    home: GivenPath = Field(CHECKOUT / ".vigil", description="all state: data, logs, spools, generated passwords")
    jars_path: str = Field("", description="folder of the servers' jars; empty: `jars` in the home, fetched if needed")
    bind_host: str = Field("127.0.0.1", description="address that everything listens on")

    kafka_port: Port = Field(9092, description="Kafka's client listener")
    kafka_controller_port: Port = Field(9093, description="Kafka's KRaft controller listener")
    kafka_bootstrap: str = Field("", description="brokers; empty: this machine's, at kafka_port")
    kafka_security_protocol: Protocol = Field(Protocol.PLAINTEXT, description="Kafka's security.protocol")
    kafka_sasl_mechanism: Mechanism = Field(Mechanism.SCRAM_SHA_512, description="Kafka's sasl.mechanism")
    kafka_username: str = Field("", description="this process's user at Kafka, with SASL")
    kafka_password: SecretStr = Field(SecretStr(""), description="that user's password")
    kafka_ca_path: str = Field("", description="PEM file of the authority of the brokers; empty: the system's")
    kafka_cert_path: str = Field("", description="PEM file of Kafka clients' own certificate, if brokers ask for one")
    kafka_key_path: str = Field("", description="PEM file of its key, without a passphrase")
    elasticsearch_port: Port = Field(9200, description="Elasticsearch's HTTP port")
    elasticsearch_transport_port: Port = Field(9300, description="Elasticsearch's transport port")
    elasticsearch_url: str = Field("", description="address of Elasticsearch; empty: this machine's")
    elasticsearch_api_key: SecretStr = Field(SecretStr(""), description="API key, encoded, for Elasticsearch")
    elasticsearch_ca_path: str = Field(
        "", description="PEM file of the authority of Elasticsearch's certificate; empty: the system's"
    )
    elasticsearch_cert_path: str = Field("", description="PEM file of its clients' own certificate, if it asks for one")
    elasticsearch_key_path: str = Field("", description="PEM file of its key, without a passphrase")
    topic_prefix: str = Field(
        "", pattern=r"^[a-zA-Z0-9._-]*$", description="before every topic and group, to share one Kafka"
    )
    index_prefix: str = Field(
        "vigil", pattern=r"^vigil[a-z0-9._-]*$", description="before every index, to share one Elasticsearch"
    )
    index_mode: str = Field(
        "standard",
        pattern="^(standard|logsdb)$",
        description="mode of new log indices. logsdb is smaller and slower; the embedded Elasticsearch cannot do it",
    )
    machines_firewall: str = Field(
        "optional",
        pattern="^(required|optional|none)$",
        description="firewall of machines: required, optional (without, where nftables is missing) or none",
    )
    airflow_port: Port = Field(8080, description="Airflow's UI and API")
    accumulator1_port: Port = Field(24224, description="fluent1.conf, Forward protocol")
    accumulator2_port: Port = Field(24225, description="fluent2.conf, Forward protocol")
    accumulator3_port: Port = Field(24226, description="fluent3.conf, Forward protocol")
    order_port: Port = Field(8001, description="HTTP port of the example service")
    payment_port: Port = Field(8002, description="HTTP port of the example service")
    inventory_port: Port = Field(8003, description="HTTP port of the example service")
    health_port_base: int = Field(
        9400, ge=1, le=65535 - 2 * SLOT_STRIDE, description="first of the workers' health and metrics ports"
    )

    rules_path: GivenPath = Field(CHECKOUT / "rules", description="folder (or one file) of alert rules")
    fluentd_path: GivenPath = Field(CHECKOUT / "fluentd", description="folder of fluent1.conf to fluent3.conf")
    accumulator_engine: str = Field(
        "builtin", pattern="^(builtin|fluentd)$", description="builtin, or fluentd to run a real one"
    )

    accumulator_latency_target_s: float = Field(
        0.3,
        ge=0,
        allow_inf_nan=False,
        description="how long an event may wait in an accumulator behind others while Kafka takes events; what comes "
        "faster waits with its senders, by turns of tag. 0: everything is spooled as it comes",
    )

    forward_tls: bool = Field(False, description="services, replay and canary reach the accumulators by TLS")
    forward_ca_path: str = Field(
        "", description="PEM file of the authority of the accumulators' certificates; empty: the system's"
    )
    forward_cert_path: str = Field("", description="PEM file of the senders' own certificate, if they need one")
    forward_key_path: str = Field("", description="PEM file of its key, without a passphrase")
    forward_server_name: str = Field(
        "", description="name in the accumulators' certificates; empty: the host that is connected to"
    )
    forward_shared_key: SecretStr = Field(
        SecretStr(""), description="shared key of the accumulators' <security>; empty: they have none"
    )
    forward_username: str = Field("", description="user of their <security>, where it has user_auth")
    forward_password: SecretStr = Field(SecretStr(""), description="that user's password")

    retention_days: int = Field(
        30, ge=1, description="days that logs of class `default` and dead letters are kept, from their receipt on"
    )
    snapshot_repository: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="repository, as Elasticsearch knows it, into which finished indices are copied; empty: none",
    )
    fingerprints: bool = Field(
        True, description="documents carry the fingerprint of their message, by which templates count and find them"
    )
    dead_letter_halt_ratio: float = Field(
        0.5,
        gt=0,
        le=1,
        description="an indexer that dead-letters more than this share of 1,000 records or more stops",
    )
    dead_letter_halt_run: int = Field(
        200,
        ge=0,
        description="an indexer stops when so many records in a row, of several nodes, fail for one reason; 0: never",
    )
    heartbeat_interval_s: Seconds = Field(1.0, description="how often a node beats")
    heartbeat_deadline_s: Seconds = Field(10.0, description="silence after which a node is DOWN")
    pipeline_interval_s: Seconds = Field(
        5.0, description="how often the lag of the workers is measured, for rules of kind pipeline-health"
    )

    manager_session_s: Seconds = Field(
        3.0,
        description="how long a killed manager or heartbeat monitor is waited for before its standby takes over; at "
        "least the broker's group.min.session.timeout.ms",
    )
    fall_back_after_s: Seconds = Field(
        300.0,
        description="a receiver of alerts that failed for so long, with nothing delivered, has others told instead",
    )

    report_zone: str = Field(
        "UTC", description="time zone (IANA, such as Europe/Berlin) whose days and weeks the error reports are of"
    )
    report_late_h: float = Field(
        1.0,
        gt=0,
        le=24,
        description="hours after a report's period within which its logs must have been received to be counted in it",
    )
    report_price_per_gb: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="what a GB of stored logs costs, for reports; 0: no cost is shown"
    )
    report_currency: str = Field("", max_length=8, description="currency of that price, such as EUR")
    report_mail_receiver: str = Field(
        "",
        description="receiver of kind email in the rule files by whose server reports are mailed; empty: they are not",
    )
    report_mail_to: str = Field(
        "", description="addresses that get reports, parted by commas; empty: those of that receiver"
    )

    slack_bot_token: SecretStr = Field(
        SecretStr(""), validation_alias="SLACK_BOT_TOKEN", description="xoxb-...; none: alerts go to the console"
    )
    slack_channel: str = Field("", validation_alias="SLACK_CHANNEL", description="channel id")
    slack_app_token: SecretStr = Field(
        SecretStr(""),
        validation_alias="SLACK_APP_TOKEN",
        description="xapp-...: buttons that acknowledge and silence; empty: no buttons",
    )
    slack_api_url: str = Field(
        "https://slack.com/api/", validation_alias="SLACK_API_URL", description="base URL of the Web API"
    )

    slack_messages_per_s: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="new messages a second; Slack takes one a second for each channel, others may take more",
    )
    ui_url: str = Field(
        "",
        pattern=r"^(https?://[^\s<>|]+[^\s<>|/])?$",
        description="address of Vigil's UI as people reach it, without a slash at its end; empty: no links to it",
    )
    kibana_url: str = Field(
        "",
        pattern=r"^(https?://[^\s<>|]+[^\s<>|/])?$",
        description="address of Kibana as people reach it, with its space if it has one; empty: no links to it",
    )
    kibana_api_key: SecretStr = Field(
        SecretStr(""), description="API key, encoded, with which `vigil kibana import` writes into Kibana"
    )
    kibana_username: str = Field("", description="user instead of an API key")
    kibana_password: SecretStr = Field(SecretStr(""), description="that user's password")
    kibana_ca_path: str = Field(
        "", description="PEM file of the authority of Kibana's certificate; empty: the system's"
    )

    @field_validator("report_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError("is no time zone; write a name of the IANA data base, such as Europe/Berlin") from None
        return value

    @classmethod
    def variable(cls, name: str) -> str:
        """Environment variable of a field."""
        alias = cls.model_fields[name].validation_alias
        return alias if isinstance(alias, str) else f"VIGIL_{name.upper()}"

    @property
    def bootstrap(self) -> str:
        """Kafka's brokers, as `bootstrap.servers` wants them."""
        return self.kafka_bootstrap or f"{self.bind_host}:{self.kafka_port}"

    @property
    def kafka(self) -> KafkaAccess:
        """How this process reaches Kafka."""
        return KafkaAccess(
            self.bootstrap,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_username,
            self.kafka_password.get_secret_value(),
            self.kafka_ca_path,
            self.kafka_cert_path,
            self.kafka_key_path,
        )

    @property
    def elastic(self) -> ElasticAccess:
        """How this process reaches Elasticsearch."""
        return ElasticAccess(
            self.elasticsearch,
            self.elasticsearch_ca_path,
            self.elasticsearch_cert_path,
            self.elasticsearch_key_path,
            self.elasticsearch_api_key.get_secret_value(),
        )

    @property
    def elasticsearch(self) -> str:
        """Base URL of Elasticsearch."""
        return self.elasticsearch_url or f"http://{self.bind_host}:{self.elasticsearch_port}"

    @property
    def forward_access(self) -> Access:
        """How senders reach the accumulators, and what they show of themselves."""
        tls = Tls(
            self.forward_ca_path or None,
            self.forward_cert_path or None,
            self.forward_key_path or None,
            self.forward_server_name or None,
        )
        key, password = self.forward_shared_key.get_secret_value(), self.forward_password.get_secret_value()
        credentials = Credentials(key, self.forward_username, password) if key else None
        return Access(tls if self.forward_tls else None, credentials)

    def topic(self, name: str) -> str:
        """A topic of the catalogue as this installation calls it."""
        return self.topic_prefix + name

    def group(self, worker: str) -> str:
        """Consumer group (and stem of transactional ids) of a worker."""
        return f"{self.topic_prefix}vigil-{worker}"

    @property
    def jars(self) -> Path:
        """Folder of the jars of Kafka and Elasticsearch."""
        return Path(self.jars_path).resolve() if self.jars_path else self.home.resolve() / "jars"

    @property
    def log_dir(self) -> Path:
        """Where processes log: `NAME.jsonl` holds JSON lines, `NAME.out` plain text."""
        return self.home / "logs"

    def health_port(self, worker: str, slot: int = 0) -> int:
        """Port of a worker's `/health` and `/metrics`."""
        return self.health_port_base + WORKERS.index(worker) + SLOT_STRIDE * slot

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then systemd's credentials (secrets alone), then the file."""
        return (
            init_settings,
            env_settings,
            CredentialsSource(settings_cls),
            TomlConfigSettingsSource(settings_cls, toml_file=config_file()),
        )


def config_file() -> Path:
    """`VIGIL_CONFIG`, else `vigil.toml` in the checkout; it need not exist."""
    return Path(os.environ.get("VIGIL_CONFIG", CHECKOUT / "vigil.toml"))


def load_settings() -> Settings:
    """Reads and checks all settings.

    Raises:
        ConfigError: names the file and line, or the environment variable, and the reason.
    """
    file = config_file()
    unknown = sorted(k for k in os.environ if k.startswith("VIGIL_") and k not in _known_variables())
    if unknown:
        raise ConfigError("no such setting", field=unknown[0], remedy=_nearest(unknown[0], _known_variables()))
    if file.is_dir():
        raise ConfigError("is a folder", file=file, remedy="VIGIL_CONFIG names a file")
    try:
        return Settings()
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise ConfigError(str(error), file=file, line=int(found[1]) if found else None) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=file, remedy="See VIGIL_CONFIG") from error
    except ValidationError as error:
        raise _as_config_error(error, file) from error


_NOT_SETTINGS = {
    "VIGIL_CONFIG",
    "VIGIL_SUPERVISED",
    "VIGIL_LOG_DIR",
    "VIGIL_SPOOL_DIR",
    "VIGIL_LOGHUB",
    "VIGIL_TEST_KAFKA_PORT",
    "VIGIL_TEST_ELASTICSEARCH_PORT",
    "VIGIL_TERRAFORM",
    "VIGIL_VBOXMANAGE",
}
"""Variables that Vigil reads otherwise: the settings file, the supervisor's mark, the folders of logs and spools
(which the Fluentd files read), the tests' data folder and the running servers they may use, and where Terraform and
VBoxManage are."""


def _known_variables() -> set[str]:
    return {f"VIGIL_{name}".upper() for name in Settings.model_fields} | _NOT_SETTINGS


def _nearest(name: str, among: set[str]) -> str | None:
    import difflib

    close = difflib.get_close_matches(name, among, n=1)
    return f"Did you mean {close[0]}?" if close else "`vigil config` lists all settings"


def _as_config_error(error: ValidationError, file: Path) -> ConfigError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    variable = name if name.isupper() else f"VIGIL_{name}".upper()
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return ConfigError(
            "no such setting",
            file=file,
            line=_line_of(file, name),
            field=name,
            remedy=_nearest(name, set(Settings.model_fields)),
        )
    if variable in os.environ:
        return ConfigError(f"{reason}, not {os.environ[variable]!r}", field=variable)
    return ConfigError(reason, file=file, line=_line_of(file, name), field=name)


def _line_of(file: Path, key: str) -> int | None:
    if not file.is_file():
        return None
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return None
