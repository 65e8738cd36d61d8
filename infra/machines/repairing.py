"""Puts right what was lost with a machine's disk, in three steps of a deployment (`repair` decides what is due).

1. `prepare`, when all machines are reachable and before any is configured: if Kafka's cluster is lost, everything that
   still runs is stopped and the next configuration is that of a new cluster.
2. `restore_kafka`, when topics are made and before any worker is started: the newest backup is put into a new cluster.
3. `index_again`, when templates are made: indexers begin at the oldest record of an Elasticsearch that came back empty.

Each does nothing where nothing is due, and may be cut off and called again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import msgspec
from confluent_kafka import KafkaError, KafkaException
from msgspec.structs import replace

from infra import backups
from infra.machines import standing
from infra.machines.placement import Role
from infra.machines.repair import is_cluster_lost, losses, must_index_again, must_restore
from infra.machines.target import Machines
from infra.service_manager import RunState
from streaming import decoding
from streaming.backup.load import restore
from streaming.elastic.connection import Connection
from streaming.errors import Unavailable
from streaming.kafka import clients
from streaming.kafka.clients import SESSION_MS
from streaming.verify import state as verified

DOCUMENT_GROUPS = ("indexer", "dead-letter-indexer", "history-indexer")
"""Whose committed offsets say that there is a document of each record before them."""

WITHOUT_KAFKA = frozenset({"elasticsearch", "elasticsearch-proxy", "kibana"})

LEAVES_WITHIN_S = SESSION_MS / 1000 + 20.0
"""A member of a group that has ended is in it until its session is over."""
ANSWER_WITHIN_S = 10.0

Report = Callable[[str], None]


def prepare(machines: Machines, report: Report) -> tuple[str, ...]:
    """Looks whether Kafka's cluster is lost; if so, stops what runs, says what is lost, and gives the next cluster
    another id. What was lost, a line for each; empty: it is not.

    Raises:
        Unavailable: a machine cannot be reached, or a service does not stop.
        ConfigError: what is remembered cannot be read.
    """
    kept, store = standing.load(machines.folder), machines.store
    hosts = [one.machine for one in machines.inventory.placement if one.service == "kafka"]
    disks = {name: machines.administration.kafka_disk(name) for name in hosts}
    if not is_cluster_lost(machines.inventory, store.cluster_id, kept, disks):
        return ()
    gone = [name for name in hosts if disks[name] != store.cluster_id]
    lost = losses(machines.inventory, gone, backups.newest(machines.folder), datetime.now(UTC))
    report(f"Kafka's cluster is lost with the disk of {', '.join(gone)}; another one is made")
    for line in lost:
        report(f"lost: {line}")
    _stop_users_of_kafka(machines)
    if not kept.kafka:
        standing.save(machines.folder, replace(kept, kafka=store.cluster_id))
    store.forget_cluster()
    return lost


def _stop_users_of_kafka(machines: Machines) -> None:
    """And it itself at last: a worker that is started again meanwhile would want it back."""
    running = [
        seen.instance
        for seen in machines.manager.survey()
        if not isinstance(seen.status, Unavailable)
        and seen.status.state in (RunState.RUNNING, RunState.STARTING)
        and seen.instance.service not in WITHOUT_KAFKA
    ]
    for servers in (False, True):
        stopped = [str(one) for one in running if (one.service == "kafka") is servers]
        if stopped:
            with ThreadPoolExecutor(len(stopped)) as pool:
                list(pool.map(machines.manager.stop, stopped))


def restore_kafka(machines: Machines, report: Report) -> None:
    """Puts the newest backup into a cluster that was made in the place of another. No worker may run yet.

    At least once: where an earlier attempt was cut off, work that was under way at the time of the backup may be in the
    topics twice, and is then done twice (a match is counted again).

    Raises:
        Unavailable: Kafka does not answer or does not confirm.
        streaming.backup.load.RestoreRefused: workers are running.
        ConfigError: the backup cannot be used; move it away, and the one before it is taken.
    """
    kept, cluster = standing.load(machines.folder), machines.store.cluster_id
    if must_restore(cluster, kept):
        backup = backups.newest(machines.folder)
        if backup is None:
            report("there is no backup to put into the new cluster: its topics begin empty")
        else:
            file = backups.folder_of(machines.folder) / backup.name
            summary = restore(machines.client_settings(), file, force=True)
            report(f"{sum(summary.records.values()):,} records put back from {backup.name}")
        # What was proven of the cluster before says nothing of this one.
        verified.path_of(machines.settings.model_copy(update={"home": machines.folder})).unlink(missing_ok=True)
    if kept.kafka != cluster:
        standing.save(machines.folder, replace(kept, kafka=cluster))


def index_again(machines: Machines, report: Report) -> None:
    """Lets the indexers begin at the oldest record of Kafka where Elasticsearch has lost its documents. They are
    stopped for it, and started by who starts all services.

    Documents that are there already stay as they are: each has the same name again.

    Raises:
        Unavailable: Elasticsearch or Kafka does not answer, or the indexers' groups do not end.
    """
    kept, found = standing.load(machines.folder), elasticsearch_uuid(machines)
    if must_index_again(found, kept):
        report("Elasticsearch is another one than before: all that Kafka still has is indexed again")
        elastic = list(machines.inventory.having(Role.ELASTICSEARCH))
        for line in losses(machines.inventory, elastic, None, datetime.now(UTC)):
            if line.startswith("documents"):
                report(f"lost: {line}")
        machines.manager.stop("indexer")
        forget_offsets(machines)
    if kept.elasticsearch != found:
        standing.save(machines.folder, replace(kept, elasticsearch=found))


class _Root(msgspec.Struct):
    cluster_uuid: str


def elasticsearch_uuid(machines: Machines) -> str:
    """The id that Elasticsearch gave itself when it was made.

    Raises:
        Unavailable: it does not answer, or not as one.
    """
    with closing(Connection(machines.client_settings().elastic, ANSWER_WITHIN_S)) as connection:
        answer = connection.request("GET", "/")
    try:
        found = decoding.decode(answer.body, _Root).cluster_uuid
    except msgspec.DecodeError:
        raise Unavailable(f"Elasticsearch does not say who it is: {answer.error()}") from None
    if found == "_na_":  # before its first election
        raise Unavailable("Elasticsearch has no cluster yet")
    return found


def forget_offsets(machines: Machines) -> None:
    """Deletes the groups that say which records are documents already; their members must have been stopped.

    Raises:
        Unavailable: a member is still there after its session, or Kafka does not answer.
    """
    settings = machines.client_settings()
    client = clients.admin(settings.kafka)
    left = {settings.group(name) for name in DOCUMENT_GROUPS}
    deadline = time.monotonic() + LEAVES_WITHIN_S
    while True:
        asked = client.delete_consumer_groups(sorted(left), request_timeout=ANSWER_WITHIN_S)
        why = ""
        for group, future in asked.items():
            try:
                future.result()
                left.discard(group)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                    left.discard(group)
                why = error.args[0].str()
        if not left:
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"the places of {', '.join(sorted(left))} are not given up: {why}. Does an indexer run?")
        time.sleep(0.5)
