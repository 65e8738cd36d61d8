"""The configuration of each packaged Elasticsearch: elasticsearch.yml, the virtual machine's options, its log. Pure.

| port | who | how it shows who it is |
|---|---|---|
| 9243 | workers, Kibana, the host through a forward | TLS; API key, service token or password |
| 9300 | nodes among themselves | TLS on both sides, certificate with the name `NODE_NAME` |

No secret is in it. Key, certificate and bootstrap password are credentials of the unit, from which
`infra.machines.elastic.serve` makes what Elasticsearch reads.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from infra.machines.inventory import ELASTICSEARCH_TLS, Inventory
from infra.machines.placement import Role

TRANSPORT = 9300
"""Port of the nodes among themselves."""

NODE_NAME = "elasticsearch.vigil.internal"
"""A name that only certificates of nodes have: another certificate of the same authority makes no node."""

DATA = "/var/lib/vigil/elasticsearch/data"
SNAPSHOTS = "/var/lib/vigil/elasticsearch/snapshots"

HEAP_MB = 1024
"""Of the 2400 MB that its unit may have (`infra.machines.units`); the rest is for Netty, threads, code and launcher."""

SEEDS, FIRST_MASTERS = "unicast_hosts.txt", "first-masters.yml"
"""Read when a node starts, and by one that runs not at all: a change of them restarts nothing."""

KEY, CHAIN, AUTHORITY, TRUST = "tls/key.pem", "tls/chain.pem", "tls/ca.pem", "trust.yml"
"""Below the folder of its configuration: Elasticsearch reads no file of TLS from elsewhere."""


def node_settings(inventory: Inventory, machine: str) -> dict[str, object]:
    """elasticsearch.yml of the node on a machine, by full names of settings.

    A node that is alone says so, and several find each other by their addresses. Which of them may form a cluster is
    said at a first start alone (`first_masters`): a node that lost its disk must join the others, and not begin anew.
    """
    found, nodes = inventory.machines[machine], inventory.having(Role.ELASTICSEARCH)
    tls = {"enabled": True, "key": KEY, "certificate": CHAIN, "certificate_authorities": [AUTHORITY]}
    settings: dict[str, object] = {
        "cluster.name": inventory.deployment,
        "node.name": machine,
        "path.data": DATA,
        "path.logs": "/var/lib/vigil/elasticsearch/logs",
        "path.repo": [SNAPSHOTS],
        "http.host": [str(found.address), "_local_"],
        "http.port": ELASTICSEARCH_TLS,
        "transport.host": str(found.address),
        "transport.port": TRANSPORT,
        # Vigil's indices are made by Vigil alone: a late bulk must not bring back an index that retention deleted.
        "action.auto_create_index": "-vigil-*,+*",
        "xpack.ml.enabled": False,
        "xpack.security.enabled": True,
        # By API keys and service tokens alone, and elastic's password: nothing is enrolled by hand.
        "xpack.security.enrollment.enabled": False,
        "xpack.security.autoconfiguration.enabled": False,
        **{f"xpack.security.http.ssl.{name}": value for name, value in tls.items()},
        **{f"xpack.security.transport.ssl.{name}": value for name, value in tls.items()},
        "xpack.security.transport.ssl.verification_mode": "full",
        "xpack.security.transport.ssl.client_authentication": "required",
        "xpack.security.transport.ssl.trust_restrictions.path": TRUST,
        "xpack.security.transport.ssl.trust_restrictions.x509_fields": ["subjectAltName.dnsName"],
    }
    if len(nodes) == 1:
        return settings | {"discovery.type": "single-node"}
    # A node that comes to them changes this file of each, and restarts none.
    return settings | {"discovery.seed_providers": "file"}


def first_masters(inventory: Inventory) -> tuple[str, ...]:
    """Nodes of which more than half must see each other to form a cluster where there is none yet; empty for one."""
    nodes = tuple(inventory.having(Role.ELASTICSEARCH))
    return nodes if len(nodes) > 1 else ()


def files(inventory: Inventory, machine: str) -> dict[str, str]:
    """What lies in /etc/vigil/elasticsearch, by name."""
    return {
        "elasticsearch.yml": as_yaml(node_settings(inventory, machine)),
        FIRST_MASTERS: as_yaml({"cluster.initial_master_nodes": list(first_masters(inventory))}),
        SEEDS: "".join(f"{one.address}:{TRANSPORT}\n" for one in inventory.having(Role.ELASTICSEARCH).values()),
        "trust.yml": as_yaml({"trust.subject_name": [NODE_NAME]}),
        "jvm.options": JVM_OPTIONS,
        "log4j2.properties": LOGGING,
    }


def as_yaml(settings: Mapping[str, object]) -> str:
    """Sorted, one setting a line; the same settings make the same bytes."""
    return yaml.dump(dict(settings), Dumper=_Plain, sort_keys=True, default_flow_style=None, width=1_000)


class _Plain(yaml.SafeDumper):
    """Writes the same list twice as two lists: Elasticsearch's parser knows no aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - its own signature
        return True


JVM_OPTIONS = f"""\
-Xms{HEAP_MB}m
-Xmx{HEAP_MB}m
-XX:+ExitOnOutOfMemoryError
-XX:-HeapDumpOnOutOfMemoryError
-XX:ErrorFile=/var/lib/vigil/elasticsearch/logs/hs_err_pid%p.log
-Djava.io.tmpdir=${{ES_TMPDIR}}
"""

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
"""
"""To standard output alone, which is the journal; that knows the time."""
