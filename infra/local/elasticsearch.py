"""Elasticsearch on this machine: a node hosted in this Python process, from the published jars.

The distribution is not among the published jars, but the server and its HTTP transport are; what its launcher
would do is done here: a home is laid out, the node is made from settings and started, `GET /` is registered (in
the distribution a module of its own, which is not published either). The Java calls are those of exactly the
locked version; they change between minor versions.

`python -m infra.local.elasticsearch` runs it in the foreground.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from infra.local.claims import claim_state, refuse_taken, require_loopback
from infra.local.jars import ensure_jars
from infra.local.java import common_options, libjvm
from streaming.errors import Unavailable, VigilError
from streaming.settings import Settings, load_settings

if TYPE_CHECKING:
    from typing import Any

HEAP = ("256m", "1g")
NAME = "vigil"
"""Of the node and of its cluster."""
STOP = {signal.SIGTERM, signal.SIGINT}
CLOSE_WITHIN_S = 8.0
"""A supervisor kills after 10 s. What is cut off then is in the translog, and is read back at the next start."""

NETTY = "transport-netty4"
# Descriptor of the transport, within its jar.
DESCRIPTOR = f"META-INF/es-plugins/{NETTY}/plugin-descriptor.properties"

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.node.name = org.elasticsearch.node.Node
logger.node.level = info
# Native compression and vector instructions are not among the published jars: Java's own do the work.
logger.native.name = org.elasticsearch.nativeaccess
logger.native.level = off
logger.vector.name = org.apache.lucene.internal.vectorization
logger.vector.level = error
logger.esvector.name = org.elasticsearch.simdvec
logger.esvector.level = error
"""


def node_settings(settings: Settings, home: Path) -> dict[str, str]:
    """Elasticsearch's own settings of the node whose state is in `home` (an absolute path)."""
    return {
        "cluster.name": NAME,
        "node.name": NAME,
        "discovery.type": "single-node",
        "path.home": str(home / "run" / "elasticsearch"),
        "path.data": str(home / "data" / "elasticsearch"),
        "path.logs": str(home / "logs"),
        # Where snapshot repositories may lie.
        "path.repo": str(home / "snapshots"),
        "http.type": "netty4",
        "http.host": settings.bind_host,
        "http.port": str(settings.elasticsearch_port),
        "transport.type": "netty4",
        "transport.host": settings.bind_host,
        "transport.port": str(settings.elasticsearch_transport_port),
        # Vigil's indices are made by Vigil alone: a late bulk must not bring back an index that retention deleted.
        "action.auto_create_index": "-vigil-*,+*",
        # By default new shards are refused from 85 % and all is read-only from 95 % full, which stops a laptop
        # with 50 GB free. At 200 MB left, indices become read-only, and writable again above 500 MB.
        "cluster.routing.allocation.disk.watermark.low": "1gb",
        "cluster.routing.allocation.disk.watermark.high": "500mb",
        "cluster.routing.allocation.disk.watermark.flood_stage": "200mb",
    }


def lay_out(home: Path, jars: tuple[Path, ...]) -> list[Path]:
    """Makes the folders that the node expects, anew but for its data; returns the jars of the class path.

    The transport must lie in a module's folder, with its Netty and its descriptor; a module has a class loader of
    its own, so these jars stay off the class path.
    """
    own = home / "run" / "elasticsearch"
    shutil.rmtree(own, ignore_errors=True)
    module = own / "modules" / NETTY
    for folder in (own / "config", own / "plugins", own / "tmp", module):
        folder.mkdir(parents=True)
    for folder in (home / "data" / "elasticsearch", home / "logs", home / "snapshots"):
        folder.mkdir(parents=True, exist_ok=True)
    (own / "config" / "elasticsearch.yml").touch()
    (own / "config" / "log4j2.properties").write_text(LOGGING, encoding="utf-8")

    transport = next(jar for jar in jars if jar.name.startswith(NETTY))
    apart = [jar for jar in jars if jar.name.startswith("netty-") or jar == transport]
    for jar in apart:
        (module / jar.name).symlink_to(jar.resolve())
    with zipfile.ZipFile(transport) as archive:
        lines = archive.read(DESCRIPTOR).decode("utf-8").splitlines()
    # With a module name Java's module system would be used, for which the class path is no place.
    kept = [line for line in lines if not line.startswith("modulename")]
    (module / "plugin-descriptor.properties").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return [jar for jar in jars if jar not in apart]


def run(settings: Settings) -> None:
    """Runs the node until TERM or INT.

    Raises:
        ConfigError: the address is not loopback.
        Unavailable: a port is taken, the node runs already, it does not start, or a jar cannot be had.
    """
    require_loopback(settings)
    refuse_taken(settings.bind_host, settings.elasticsearch_port, "VIGIL_ELASTICSEARCH_PORT")
    refuse_taken(settings.bind_host, settings.elasticsearch_transport_port, "VIGIL_ELASTICSEARCH_TRANSPORT_PORT")
    home = settings.home.resolve()
    claim_state(home, "elasticsearch")
    class_path = lay_out(home, ensure_jars(settings.jars, lambda line: print(line, flush=True)).elasticsearch)

    # Blocked before Java's threads begin, which inherit it, and waited for below: so TERM has one place to go.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    start_java(class_path, home)
    node = start_node(node_settings(settings, home))
    print(f"Elasticsearch listens on {settings.bind_host}:{settings.elasticsearch_port}", flush=True)
    caught = signal.sigwait(STOP)
    print(f"{signal.Signals(caught).name}: closing", flush=True)
    closed = _within(CLOSE_WITHIN_S, node.close)
    print("closed" if closed else f"not closed within {CLOSE_WITHIN_S} s: left to recovery", flush=True)
    # Java's exit hooks have nothing left to do, and a thread of a library must not hold the end up.
    os._exit(0 if closed else 1)


def start_java(class_path: list[Path], home: Path) -> None:
    """Starts the virtual machine in this process; once in a process's life."""
    import jpype

    jpype.startJVM(
        str(libjvm()),
        *common_options("elasticsearch", HEAP, home / "logs", home / "run" / "elasticsearch" / "tmp"),
        "-Xrs",  # Java leaves TERM, INT and HUP alone
        classpath=[str(jar) for jar in class_path],
    )


class Node(Protocol):
    """The part of `org.elasticsearch.node.Node` that is used here."""

    def start(self) -> Any: ...
    def close(self) -> None: ...
    def injector(self) -> Any: ...  # a Java object: its type is known to Java alone


def start_node(options: dict[str, str]) -> Node:
    """A started node that answers `GET /`; needs `start_java` before.

    Raises:
        Unavailable: Elasticsearch refused to start; its stack trace has gone to standard output.
    """
    import jpype
    import jpype.imports
    from java.nio.file import Path as JavaPath
    from java.util import Map, Set
    from org.elasticsearch.common.logging import LogConfigurator
    from org.elasticsearch.common.settings import Settings as NodeSettings
    from org.elasticsearch.node import InternalSettingsPreparer
    from org.elasticsearch.node import Node as JavaNode
    from org.elasticsearch.plugins import PluginsLoader

    @jpype.JImplements("java.util.function.Supplier")
    class Name:
        @jpype.JOverride  # type: ignore[untyped-decorator]
        def get(self) -> str:
            return NAME

    builder = NodeSettings.builder()
    for key, value in options.items():
        builder.put(key, value)
    home = options["path.home"]
    try:
        environment = InternalSettingsPreparer.prepareEnvironment(
            builder.build(), Map.of(), JavaPath.of(home, "config"), Name()
        )
        LogConfigurator.setNodeName(NAME)
        LogConfigurator.configure(environment, True)  # True: to the console too
        modules = PluginsLoader.loadModulesBundles(JavaPath.of(home, "modules"), False)
        loader = PluginsLoader.createPluginsLoader(modules, Set.of(), Map.of(), False)
        node: Node = JavaNode(environment, loader)
        node.start()
    except jpype.JException as error:
        print(error.stacktrace(), flush=True)
        raise Unavailable(f"Elasticsearch did not start: {_root_cause(error)}") from None
    _answer_root(node)
    return node


def _root_cause(error: Any) -> str:
    while error.getCause() is not None:
        error = error.getCause()
    return f"{error.getClass().getSimpleName()}: {error.getMessage()}"


def _answer_root(node: Node) -> None:
    """Registers `GET /` and `HEAD /`, by which clients tell that this is Elasticsearch, and which."""
    import jpype
    from org.elasticsearch import Build
    from org.elasticsearch.cluster.service import ClusterService
    from org.elasticsearch.index import IndexVersion
    from org.elasticsearch.rest import RestController, RestResponse, RestStatus

    build, cluster = Build.current(), node.injector().getInstance(ClusterService)
    fixed = {
        "number": str(build.version()),
        "build_flavor": str(build.flavor()),
        "build_type": str(build.type().displayName()),
        "build_hash": str(build.hash()),
        "build_date": str(build.date()),
        "build_snapshot": bool(build.isSnapshot()),
        "lucene_version": str(IndexVersion.current().luceneVersion()),
        "minimum_wire_compatibility_version": str(build.minWireCompatVersion()),
        "minimum_index_compatibility_version": str(build.minIndexCompatVersion()),
    }

    @jpype.JImplements("org.elasticsearch.rest.RestHandler")
    class Root:
        @jpype.JOverride  # type: ignore[untyped-decorator]
        def handleRequest(self, _request: object, channel: Any, _client: object) -> None:  # noqa: N802
            body = {
                "name": NAME,
                "cluster_name": NAME,
                "cluster_uuid": str(cluster.state().metadata().clusterUUID()),
                "version": fixed,
                "tagline": "You Know, for Search",
            }
            channel.sendResponse(RestResponse(RestStatus.OK, "application/json", json.dumps(body)))

    route, method = (
        jpype.JClass("org.elasticsearch.rest.RestHandler$Route"),
        jpype.JClass("org.elasticsearch.rest.RestRequest$Method"),
    )
    controller = node.injector().getInstance(RestController)
    for verb in (method.GET, method.HEAD):
        controller.registerHandler(route(verb, "/"), Root())


def _within(seconds: float, act: Callable[[], None]) -> bool:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def main() -> None:
    """Entry point of `python -m infra.local.elasticsearch`."""
    argparse.ArgumentParser(
        prog="python -m infra.local.elasticsearch", description="Runs Elasticsearch in the foreground."
    ).parse_args()
    try:
        run(load_settings())
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr, flush=True)
        # Java's threads may run already, and would keep an ordinary exit waiting.
        os._exit(error.exit_code)


if __name__ == "__main__":
    main()
