"""Kafka on this machine: writes its configuration, formats its disk once, and becomes its process.

`python -m infra.local.kafka` runs one broker that is its own controller. `--brokers 3 --node 1` (and 2, 3) runs
a cluster of three, for tests of replication: nodes 2 and 3 use the ports 2 and 4 above the configured ones.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from infra.local.claims import claim_state, refuse_taken, require_loopback
from infra.local.jars import ensure_jars
from infra.local.java import common_options, java
from streaming.errors import ConfigError, VigilError
from streaming.settings import Settings, load_settings

HEAP = ("128m", "384m")
COMPILER = ("-XX:TieredStopAtLevel=1",)
"""Java's first compiler alone: a broker mostly moves bytes. Measured after 600,000 records and 300 transactions:
188 MB instead of 231, half of the CPU time, transactions of 2.8 ms instead of 5.0 (medians)."""
PORTS_PER_NODE = 2
"""Between the ports of one node and the next: client and controller are neighbours by default."""
MIB = 1024 * 1024
MINUTES_A_YEAR = 365 * 24 * 60


def client_port(settings: Settings, node: int) -> int:
    """Port of a node's client listener; nodes count from 1."""
    return settings.kafka_port + PORTS_PER_NODE * (node - 1)


def controller_port(settings: Settings, node: int) -> int:
    """Port of a node's controller listener."""
    return settings.kafka_controller_port + PORTS_PER_NODE * (node - 1)


def bootstrap(settings: Settings, brokers: int) -> str:
    """`bootstrap.servers` of a cluster of that size on this machine."""
    return ",".join(f"{settings.bind_host}:{client_port(settings, node)}" for node in range(1, brokers + 1))


def server_properties(settings: Settings, brokers: int, node: int, data: Path) -> dict[str, str]:
    """Configuration of one node, which is broker and controller at once (KRaft)."""
    host, replicas = settings.bind_host, min(3, brokers)
    client = f"CLIENT://{host}:{client_port(settings, node)}"
    controllers = ((n, controller_port(settings, n)) for n in range(1, brokers + 1))
    properties = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{n}@{host}:{port}" for n, port in controllers),
        "listeners": f"{client},CONTROLLER://{host}:{controller_port(settings, node)}",
        "advertised.listeners": client,
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
    }
    return properties | tuning(replicas, min_isr=max(1, replicas - 1))


def tuning(replicas: int, min_isr: int) -> dict[str, str]:
    """What brokers of any deployment have in common, by Kafka's names.

    Args:
        replicas: copies of internal topics, and of topics that do not say it.
        min_isr: how many of them must be written before a record of Kafka's own topics counts as kept.
    """
    properties: dict[str, str | int] = {
        # A misspelt topic must fail, not come into being with settings that nobody chose.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": min_isr,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": min_isr,
        # Of 50 each by default; a start loads every one of them. Cannot be changed once data exists.
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.num.partitions": 2,
        # A worker that was away for weeks finds its place again (the default forgets it after 7 days).
        "offsets.retention.minutes": MINUTES_A_YEAR,
        # Members of a group start one after the other here; there is no crowd to wait for.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 2000,
        # What a killed worker left open blocks readers of committed records until this sweep (10 s by default)
        # finds that its time is over.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # Retention by size deletes whole segments: a topic may pass its limit by this much a partition.
        "log.segment.bytes": 64 * MIB,
        "log.retention.check.interval.ms": 60_000,
        # 24 bytes a key: 8 MiB hold 300,000 keys a pass, and are taken from the heap (128 MiB by default).
        "log.cleaner.dedupe.buffer.size": 8 * MIB,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "num.recovery.threads.per.data.dir": 2,
        # How soon a broker's death is noticed (9 s by default). A killed one that starts again is let in only when
        # this time is over: it answers after 5 s, after an orderly stop in 2.3 s.
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 3000,
    }
    return {key: str(value) for key, value in properties.items()}


LOGGING = """\
<Configuration status="WARN">
  <Appenders>
    <Console name="out" target="SYSTEM_OUT">
      <PatternLayout pattern="%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1}: %m%n"/>
    </Console>
  </Appenders>
  <Loggers>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
    <Logger name="org.apache.kafka.common.utils.AppInfoParser" level="ERROR"/>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""


def run(settings: Settings, brokers: int, node: int) -> None:
    """Prepares a node and turns this process into it: its supervisor's pid is Java's, and signals reach Java.

    Never returns. TERM stops it in order; after a SIGKILL it recovers at the next start.

    Raises:
        ConfigError: the disk belongs to a cluster of another size, or the address is not loopback.
        Unavailable: a port is taken, the node runs already, or a jar cannot be had.
    """
    require_loopback(settings)
    refuse_taken(settings.bind_host, client_port(settings, node), "VIGIL_KAFKA_PORT")
    refuse_taken(settings.bind_host, controller_port(settings, node), "VIGIL_KAFKA_CONTROLLER_PORT")
    name, home = f"kafka-{node}", settings.home.resolve()
    claim_state(home, name)
    jars = ensure_jars(settings.jars, lambda line: print(line, flush=True)).kafka

    state = home / "data" / "kafka"
    cluster, data = cluster_id(state, brokers), state / f"node-{node}"
    command = prepared(name, home, jars, data)
    configuration = home / "run" / name / "server.properties"
    configuration.write_text(as_properties(server_properties(settings, brokers, node, data)), encoding="utf-8")
    if not (data / "meta.properties").exists():
        format_disk(command, configuration, cluster)
    os.execv(command[0], [*command, "kafka.Kafka", str(configuration)])  # noqa: S606 - no shell is meant


def prepared(name: str, home: Path, jars: Sequence[Path], data: Path) -> list[str]:
    """Makes the folders of a node anew, but for its data, and returns Java's command line up to the class path."""
    own = home / "run" / name
    shutil.rmtree(own, ignore_errors=True)  # with the native libraries that a killed forerunner left unpacked
    for folder in (data, own / "tmp", home / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    logging = own / "log4j2.xml"
    logging.write_text(LOGGING, encoding="utf-8")
    options = [*common_options(name, HEAP, home / "logs", own / "tmp"), f"-Dlog4j2.configurationFile={logging}"]
    return [str(java()), *options, *COMPILER, "-cp", ":".join(map(str, jars))]


def cluster_id(state: Path, brokers: int) -> str:
    """The id that all nodes of the cluster at `state` share; whichever node comes first makes it.

    Raises:
        ConfigError: it was made for another number of brokers; its topics are not replicated as asked for.
    """
    state.mkdir(parents=True, exist_ok=True)
    place, mine = state / "cluster", state / f".cluster-{uuid.uuid4().hex}"
    mine.write_text(f"{random_id()} {brokers}\n", encoding="ascii")
    try:
        os.link(mine, place)  # whole or not at all, and never over another's
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    found, size = place.read_text(encoding="ascii").split()
    if int(size) != brokers:
        raise ConfigError(
            f"this Kafka has {size} broker{'s' if size != '1' else ''}, not {brokers}",
            file=place,
            remedy="Keep the number, or use another VIGIL_HOME",
        )
    return found


def random_id() -> str:
    """16 random bytes in base64, as Kafka writes its ids; a leading "-" would be read as an option."""
    made = "-"
    while made.startswith("-"):
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
    return made


def format_disk(command: list[str], configuration: Path, cluster: str) -> None:
    """Formats the disk that a configuration names, for the cluster of this id; `command` is Java with its class path.

    Raises:
        VigilError: Kafka refuses; all that it says goes to standard output.
    """
    tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c", str(configuration)]
    done = subprocess.run([*command, *tool], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr, flush=True)  # the whole of it goes into the log
        said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("\t")]
        raise VigilError(f"Kafka's disk cannot be formatted: {said[-1] if said else f'exit code {done.returncode}'}")


def as_properties(properties: dict[str, str]) -> str:
    """Java's properties format, where a backslash escapes."""
    return "".join(f"{key}={value}\n" for key, value in properties.items()).replace("\\", "\\\\")


def main() -> None:
    """Entry point of `python -m infra.local.kafka`."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local.kafka", description="Runs Kafka in the foreground.", epilog="Example: --brokers 3"
    )
    parser.add_argument("--brokers", type=int, default=1, help="size of the cluster (1)")
    parser.add_argument("--node", type=int, default=1, help="which of its nodes this one is, from 1 (1)")
    arguments = parser.parse_args()
    if not 1 <= arguments.node <= arguments.brokers:
        parser.error(f"--node must be 1 to {arguments.brokers}")
    try:
        run(load_settings(), arguments.brokers, arguments.node)
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
