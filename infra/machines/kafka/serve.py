"""Runs a machine's Kafka: formats its disk once, and becomes its process.

`python -m infra.machines.kafka.serve FOLDER` reads `server.properties` and `cluster.id` of that folder, as the
deployment wrote them, `creation.properties` beside, and `forgotten.ids` where there is one: clusters that are no more.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection
from pathlib import Path

from infra.local.jars import ensure_jars
from infra.local.kafka import format_disk, prepared
from streaming.errors import ConfigError, VigilError
from streaming.settings import Settings, load_settings


def run(settings: Settings, folder: Path) -> None:
    """Never returns: this process becomes Java. TERM stops it in order; after a SIGKILL it recovers at the next start.

    Raises:
        ConfigError: the folder lacks a file, or names no `log.dirs`.
        VigilError: the disk cannot be formatted, or belongs to another cluster.
        Unavailable: a jar cannot be had.
    """
    configuration = folder / "server.properties"
    cluster = _text(folder / "cluster.id").strip()
    data = Path(_property(configuration, "log.dirs"))
    jars = ensure_jars(settings.jars, lambda line: print(line, flush=True)).kafka
    set_aside(data, forgotten_in(folder))
    command = prepared("kafka", settings.home.resolve(), jars, data)
    if not (data / "meta.properties").exists():
        format_disk(command, configuration, cluster)
    elif (found := _property(data / "meta.properties", "cluster.id")) != cluster:
        raise ConfigError(
            f"the disk at {data} belongs to cluster {found}, not to {cluster}",
            file=folder / "cluster.id",
            remedy="It was deployed anew beside old state. Move that folder away, or put the old id back",
        )
    os.execv(command[0], [*command, "kafka.Kafka", str(configuration), *overrides(folder)])  # noqa: S606 - no shell


def overrides(folder: Path) -> list[str]:
    """What `creation.properties` says beside the configuration, as Kafka's command line takes it."""
    file = folder / "creation.properties"
    lines = _text(file).splitlines() if file.exists() else []
    return [word for line in lines for word in ("--override", line)]


def forgotten_in(folder: Path) -> frozenset[str]:
    """Ids of the clusters that were given up."""
    file = folder / "forgotten.ids"
    return frozenset(_text(file).split()) if file.exists() else frozenset()


def set_aside(data: Path, forgotten: Collection[str]) -> Path | None:
    """Moves a disk of a cluster that was given up out of the way, whole; returns where it is now.

    A broker cannot take it into another cluster, and what is on it may be all that is left of some records.
    """
    written = data / "meta.properties"
    if not written.exists() or (found := _property(written, "cluster.id")) not in forgotten:
        return None
    place = data.with_name(f"{data.name}-of-{found}")
    data.rename(place)
    print(f"the disk of the cluster {found}, which is no more, was set aside: {place}", flush=True)
    return place


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file, remedy="Deploy the platform anew") from error


def _property(file: Path, name: str) -> str:
    for line in _text(file).splitlines():
        key, _, value = line.partition("=")
        if key == name:
            return value
    raise ConfigError("is not there", file=file, field=name, remedy="Deploy the platform anew")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m infra.machines.kafka.serve", description=__doc__)
    parser.add_argument("folder", type=Path, help="with server.properties and cluster.id, such as /etc/vigil/kafka")
    arguments = parser.parse_args()
    try:
        run(load_settings(), arguments.folder)
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
