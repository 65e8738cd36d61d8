"""The systemd unit of every service: from tables, so that all units say the same of what is the same. Pure.

`systemd-analyze security` gives each at most 4.0; a test holds them to it. What a unit may say is also what
`vigil_admin.py` lets through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infra.machines.inventory import Inventory
from infra.machines.placement import TARGET_UNIT, Instance, unit_name
from infra.machines.programs import BROKERS_FILE, CONFIGURATION, Software, command

WATCHDOG_S = 60
"""A worker's round takes at most some 20 s (Elasticsearch's slowest bulk time-out); three of them is stuck."""

STOP_WITHIN_S = 15
"""Workers close within 9 s (`streaming.worker.run`), the embedded Elasticsearch within 8."""
KAFKA_STOP_WITHIN_S = 40
"""A broker first hands its partitions over, for which it waits for the controller up to three times 5 s and more."""
PACKAGED_STOP_WITHIN_S = 60
"""Elasticsearch hands its shards over and flushes; killed in the middle it reads its translog at the next start."""

START_WITHIN_S = 300
"""The manager and the monitor read their topics whole before they say that they have started."""

STARTS, STARTS_WITHIN_S = 12, 300
"""A unit that was started so often in that time is left alone, as failed.

A worker whose Kafka is away takes 30 s to say so, and is tried again at most every 32 s: 9 times. One that ends at
once is started more often: 14 times with waits that grow, and 12 times in half a minute without."""

GROWING_WAITS = 254
"""The version of systemd from which on the waits between attempts grow, from 2 s to 30; before, each is 2 s, and an
older one would complain of each unit in its journal."""

CONFIGURATION_ERROR = 78
"""EX_CONFIG: what no further attempt mends."""
JAVA_TERMINATED = 143

MEMORY_MAX: Mapping[str, int] = {
    # Measured in use (PSS, MiB) with room for what a busy hour needs; page cache in excess is given back, not counted
    # as a fault. kafka: 230 and a heap of at most 384. elasticsearch: 500 and a heap of at most 1024.
    "kafka": 900,
    "elasticsearch": 1800,
    "kibana": 1500,
    "indexer": 512,
    "matcher": 320,
    "manager": 320,
    "heartbeat-monitor": 320,
    # 35 to 60 in use; accumulators hold up to some thousand events while Kafka is away.
    "accumulator1": 320,
    "accumulator2": 320,
    "accumulator3": 320,
}
OTHERS_MEMORY_MAX = 192
PACKAGED_MEMORY_MAX: Mapping[str, int] = {
    # A heap of 1024, as much as half of it outside (Netty, Lucene), the code of all its modules, and its launcher.
    "elasticsearch": 2400,
}
"""Of those that take more where they come from packages; not measured."""

# Those that tell systemd how they are (`streaming.worker.notify`); the others count as started when they run.
_NOTIFYING = frozenset(
    {
        *("indexer", "templates", "matcher", "manager", "notifier", "heartbeat-monitor", "loadgen"),
        *("accumulator1", "accumulator2", "accumulator3", "elasticsearch-proxy"),
    }
)
# Java writes the code that it runs.
_JUST_IN_TIME = frozenset({"kafka", "elasticsearch", "kibana"})
_NEEDS_KAFKA = frozenset(
    {
        *("indexer", "templates", "matcher", "manager", "notifier", "heartbeat-monitor"),
        *("accumulator1", "accumulator2", "accumulator3"),
    }
)
_NEEDS_ACCUMULATORS = frozenset({"order", "payment", "inventory", "loadgen"})

_KAFKA_CLIENT = ("kafka_password",)
_ELASTICSEARCH_CLIENT = ("elasticsearch_api_key", "elasticsearch_key")
_FORWARD_CLIENT = ("forward_shared_key", "forward_password", "forward_key")

CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "kafka": ("keystore",),
    "elasticsearch": ("keystore", "bootstrap_password"),
    "elasticsearch-proxy": ("keystore",),
    "kibana": ("keystore", "settings"),
    "indexer": (*_KAFKA_CLIENT, *_ELASTICSEARCH_CLIENT),
    "templates": _KAFKA_CLIENT,
    "matcher": _KAFKA_CLIENT,
    "manager": (*_KAFKA_CLIENT, *_ELASTICSEARCH_CLIENT),
    "notifier": (*_KAFKA_CLIENT, "slack_bot_token", "slack_app_token"),
    "heartbeat-monitor": (*_KAFKA_CLIENT, *_ELASTICSEARCH_CLIENT),
    "accumulator1": (*_KAFKA_CLIENT, "forward_tls_key"),
    "accumulator2": (*_KAFKA_CLIENT, "forward_tls_key"),
    "accumulator3": (*_KAFKA_CLIENT, "forward_tls_key"),
    "order": _FORWARD_CLIENT,
    "payment": _FORWARD_CLIENT,
    "inventory": _FORWARD_CLIENT,
    "loadgen": _FORWARD_CLIENT,
}
"""Which secrets a service may be given, by the names under which its program finds them: those of settings are their
fields' names. On the machine the secret `kafka_password` of `indexer` is the file `indexer.kafka_password` in
/etc/vigil/credentials; a unit loads those that the machine is given (`secrets_of`)."""


@dataclass(frozen=True)
class Given:
    """What of a deployment decides its units, beside the inventory.

    `secrets` are the names of the secrets that the machine is given (`credential_file`); `niceness` is by service, 0
    where it is not named; `systemd` is the version of the machine's, Debian 12's if nothing is said.
    """

    software: Software
    secrets: frozenset[str] = frozenset()
    niceness: Mapping[str, int] | None = None
    systemd: int = 252


def credential_file(service: str, name: str) -> str:
    """Name of a secret in /etc/vigil/credentials."""
    return f"{service}.{name}"


def secrets_of(service: str, given: Given) -> tuple[str, ...]:
    """Names of a service's secrets among those that the machine is given; also such as a rule file names by a
    variable."""
    prefix = f"{service}."
    return tuple(sorted(name.removeprefix(prefix) for name in given.secrets if name.startswith(prefix)))


def units(inventory: Inventory, machine: str, given: Given) -> dict[str, str]:
    """The text of every unit of a machine, by name, and of the target that holds them together."""
    placed = inventory.instances(machine)
    here = {instance.service for instance in placed}
    found = {TARGET_UNIT: _text({"Unit": [("Description", "Vigil")], "Install": [("WantedBy", "multi-user.target")]})}
    for instance in placed:
        line = command(instance, inventory.machines[machine].address, given.software)
        if line is not None:
            found[instance.unit] = _text(_sections(instance, line, here, given))
    return found


Lines = list[tuple[str, str | int]]


def _sections(instance: Instance, line: tuple[str, ...], here: set[str], given: Given) -> dict[str, Lines]:
    name = instance.service
    wanted = [unit_name(other) for other in _wanted(name, here)]
    second = f", standby {instance.slot}" if instance.slot else ""
    return {
        "Unit": [
            ("Description", f"Vigil: {name}{second}"),
            ("PartOf", TARGET_UNIT),
            ("Wants", " ".join(["network-online.target", *wanted])),
            ("After", " ".join(["network-online.target", *wanted])),
            ("StartLimitIntervalSec", STARTS_WITHIN_S),
            ("StartLimitBurst", STARTS),
        ],
        "Service": [
            *_life(instance, line, given),
            *_environment(instance, given),
            *_limits(name, given),
            *_hardening(name, given.software),
        ],
        "Install": [("WantedBy", TARGET_UNIT)],
    }


def _wanted(service: str, here: set[str]) -> list[str]:
    """What of the same machine is started first; what is on another machine is waited for by the program itself."""
    if service in _NEEDS_KAFKA:
        return ["kafka"] if "kafka" in here else []
    if service in _NEEDS_ACCUMULATORS:
        return [other for other in ("accumulator1", "accumulator2", "accumulator3") if other in here]
    if service in ("elasticsearch-proxy", "kibana"):
        return ["elasticsearch"] if "elasticsearch" in here else []
    return []


def _life(instance: Instance, line: tuple[str, ...], given: Given) -> Lines:
    name = instance.service
    notifying: Lines = [("Type", "notify"), ("NotifyAccess", "main"), ("WatchdogSec", WATCHDOG_S)]
    packaged = given.software is Software.PACKAGES
    notifies = name in _NOTIFYING and not (packaged and name.startswith("accumulator"))  # Fluentd tells nothing
    java = {"kafka", "elasticsearch"} if packaged else {"kafka"}
    stop_within_s = {"kafka": KAFKA_STOP_WITHIN_S, **({"elasticsearch": PACKAGED_STOP_WITHIN_S} if packaged else {})}
    return [
        *(notifying if notifies else [("Type", "exec")]),
        ("ExecStart", " ".join(line)),
        ("User", "vigil"),
        ("Group", "vigil"),
        ("Restart", "on-failure"),
        ("RestartSec", 2),
        *([("RestartSteps", 5), ("RestartMaxDelaySec", 30)] if given.systemd >= GROWING_WAITS else []),
        ("RestartPreventExitStatus", CONFIGURATION_ERROR),
        *([("SuccessExitStatus", JAVA_TERMINATED)] if name in java else []),
        ("TimeoutStartSec", START_WITHIN_S),
        ("TimeoutStopSec", stop_within_s.get(name, STOP_WITHIN_S)),
        ("KillMode", "mixed"),
        ("KillSignal", "SIGTERM"),
        ("SyslogIdentifier", instance.unit.removesuffix(".service")),
    ]


def _environment(instance: Instance, given: Given) -> Lines:
    name = instance.service
    return [
        ("WorkingDirectory", f"/var/lib/vigil/{name}"),
        ("Environment", f"VIGIL_HOME=/var/lib/vigil/{name}"),
        ("Environment", "PYTHONUNBUFFERED=1"),
        ("Environment", "MALLOC_ARENA_MAX=2"),
        ("EnvironmentFile", f"{CONFIGURATION}/vigil.env"),
        ("EnvironmentFile", f"{CONFIGURATION}/{BROKERS_FILE}"),
        # What differs from service to service: its user at Kafka, where its certificates are.
        ("EnvironmentFile", f"-{CONFIGURATION}/env/{name}.env"),
        *(
            ("LoadCredential", f"{secret}:{CONFIGURATION}/credentials/{credential_file(name, secret)}")
            for secret in secrets_of(name, given)
        ),
        ("StateDirectory", f"vigil/{name}"),
        ("StateDirectoryMode", "0700"),
        ("RuntimeDirectory", f"vigil/{name}"),
        ("RuntimeDirectoryMode", "0700"),
        ("ConfigurationDirectory", "vigil"),
        ("ConfigurationDirectoryMode", "0750"),
    ]


def _limits(name: str, given: Given) -> Lines:
    return [
        ("Nice", (given.niceness or {}).get(name, 0)),
        ("MemoryMax", f"{_memory_max(name, given.software)}M"),
        ("TasksMax", 512),
        ("LimitNOFILE", 65536),
    ]


def _memory_max(name: str, software: Software) -> int:
    found = MEMORY_MAX.get(name, OTHERS_MEMORY_MAX)
    return PACKAGED_MEMORY_MAX.get(name, found) if software is Software.PACKAGES else found


def _hardening(name: str, software: Software) -> Lines:
    on = [
        *("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "PrivateMounts", "ProtectHome", "ProtectClock"),
        *("ProtectHostname", "ProtectControlGroups", "ProtectKernelTunables", "ProtectKernelModules"),
        *("ProtectKernelLogs", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality"),
        "RemoveIPC",
    ]
    if name not in _JUST_IN_TIME:
        on.append("MemoryDenyWriteExecute")
    return [
        *((directive, "yes") for directive in on),
        ("UMask", "0077"),
        ("ProtectSystem", "strict"),
        ("ProtectProc", "invisible"),
        ("CapabilityBoundingSet", ""),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
        ("SystemCallArchitectures", "native"),
        ("SystemCallFilter", "@system-service"),
        ("SystemCallFilter", "~@privileged"),
        # Lucene asks whether what it is about to read of an index is in memory; no group of systemd's has that.
        *([("SystemCallFilter", "mincore")] if name == "elasticsearch" else []),
        # The packaged one denies itself system calls before it listens, and does not start where it may not.
        *([("SystemCallFilter", "seccomp")] if name == "elasticsearch" and software is Software.PACKAGES else []),
        ("SystemCallErrorNumber", "EPERM"),
        # LoadCredential is the way to a secret; the files themselves are no program's business.
        ("InaccessiblePaths", f"-{CONFIGURATION}/credentials"),
    ]


def _text(sections: Mapping[str, Lines]) -> str:
    return "\n".join(
        "\n".join([f"[{section}]", *(f"{key}={value}" for key, value in lines), ""])
        for section, lines in sections.items()
    )
