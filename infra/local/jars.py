"""The servers' jars: exactly those of the committed lock, each checked against its sha256."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.errors import Unavailable, VigilError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

LOCK = Path(__file__).with_name("servers.lock.toml")

ROOTS: dict[str, tuple[str, ...]] = {
    "kafka": (
        "org.apache.kafka:kafka_2.13:4.4.0",
        # Kafka logs through SLF4J and brings no binding: without this one it is silent.
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5",
    ),
    "elasticsearch": (
        "org.elasticsearch:elasticsearch:9.5.3",
        "org.elasticsearch.plugin:transport-netty4:9.5.3",
    ),
}
"""What is asked for; the lock holds these and all that they need."""

TIMEOUT_S = 60
"""Of one request. jgo's own 10 s are too few for a busy mirror's 10 MB jar."""
ATTEMPTS = 4
"""Of one jar, with pauses of 1, 2 and 4 s between them."""
PARALLEL = 8
"""Downloads at a time: the time goes into round trips (two a jar), not into bandwidth."""


class JarMismatch(VigilError):
    """A jar whose content is not what the lock says: a damaged download, or not the jar that was locked."""


@dataclass(frozen=True)
class LockedJar:
    """One line of the lock. `coordinate` is `group:artifact:version[:classifier]`, `size` is in bytes."""

    coordinate: str
    sha256: str
    size: int

    def path(self, cache: Path) -> Path:
        """Where it lies in a cache, which is laid out as Maven's local repository is."""
        group, artifact, version, *classifier = self.coordinate.split(":")
        name = "-".join([artifact, version, *classifier])
        return cache.joinpath(*group.split("."), artifact, version, f"{name}.jar")


@dataclass(frozen=True)
class Jars:
    """The jars of both servers on this disk, in class path order."""

    kafka: tuple[Path, ...]
    elasticsearch: tuple[Path, ...]


def ensure_jars(cache: Path, report: Callable[[str], None], lock: Path = LOCK) -> Jars:
    """Makes sure that all locked jars are in `cache`, and fetches and checks what is not.

    With all there it costs a few milliseconds: a stamp remembers which lock was checked, and only presence
    and size are looked at again. Processes that call it at the same time wait for each other.

    Repositories are Maven Central and those that the user's jgo configuration names (`[repositories]` of
    jgo.conf; one named `central` takes Maven Central's place); proxies are those of the environment.

    Raises:
        Unavailable: a jar cannot be had.
        JarMismatch: a jar is not what the lock says; it is deleted.
    """
    servers = read_lock(lock)
    every = sorted({jar for jars in servers.values() for jar in jars}, key=lambda jar: jar.coordinate)
    stamp, mark = cache / "checked", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not _all_checked(every, cache, stamp, mark):
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache):
            if not _all_checked(every, cache, stamp, mark):
                _fetch(every, cache, report)
                stamp.write_text(mark, encoding="ascii")
    return Jars(**{server: tuple(jar.path(cache) for jar in jars) for server, jars in servers.items()})


def read_lock(lock: Path = LOCK) -> dict[str, list[LockedJar]]:
    """The locked jars of each server, in class path order."""
    tables = tomllib.loads(lock.read_text(encoding="utf-8"))
    return {
        server: [LockedJar(coordinate, entry["sha256"], entry["size"]) for coordinate, entry in tables[server].items()]
        for server in ROOTS
    }


def _all_checked(jars: list[LockedJar], cache: Path, stamp: Path, mark: str) -> bool:
    try:
        return stamp.read_text(encoding="ascii") == mark and all(
            jar.path(cache).stat().st_size == jar.size for jar in jars
        )
    except FileNotFoundError:
        return False


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Holds the cache against other processes; the kernel lets go of it when this one ends, however it ends."""
    with (cache / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(jars: list[LockedJar], cache: Path, report: Callable[[str], None]) -> None:
    missing = [jar for jar in jars if not _is_good(jar, cache)]
    if not missing:
        return
    megabytes = sum(jar.size for jar in missing) / 1e6
    report(f"fetching {len(missing)} of the servers' {len(jars)} jars ({megabytes:.0f} MB)")
    context, begun, done, counting = _context(cache), time.monotonic(), 0, threading.Lock()

    def one(jar: LockedJar) -> None:
        nonlocal done
        _fetch_one(jar, cache, context)
        with counting:
            done += 1
            if done % 10 == 0 or done == len(missing):
                report(f"{done} of {len(missing)} jars after {time.monotonic() - begun:.0f} s")

    with ThreadPoolExecutor(PARALLEL) as pool:
        # The big ones first, so that none is left to run alone at the end.
        futures = [pool.submit(one, jar) for jar in sorted(missing, key=lambda jar: -jar.size)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_good(jar: LockedJar, cache: Path) -> bool:
    path = jar.path(cache)
    return path.is_file() and path.stat().st_size == jar.size and _sha256(path) == jar.sha256


def _fetch_one(jar: LockedJar, cache: Path, context: MavenContext) -> None:
    """jgo writes straight to the final name, so what a broken attempt left is deleted before and after each."""
    group, artifact, version, *classifier = jar.coordinate.split(":")
    wanted = context.project(group, artifact).at_version(version).artifact(*classifier)
    path, trouble = jar.path(cache), ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2 ** (attempt - 1))
        path.unlink(missing_ok=True)
        try:
            wanted.resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors, jgo's own RuntimeErrors
            trouble = f"{type(error).__name__}: {error}"
            continue
        found = _sha256(path)
        if found == jar.sha256:
            return
        trouble = ""
    path.unlink(missing_ok=True)
    if trouble:
        raise Unavailable(f"{jar.coordinate}: cannot be fetched: {trouble}. A mirror can be named in jgo.conf")
    raise JarMismatch(
        f"{jar.coordinate}: its sha256 is {found}, the lock says {jar.sha256}. It was deleted; check the mirror "
        f"in use, or renew {LOCK.name} with `python -m infra.local.jars lock` if the jar is meant to differ"
    )


def _context(cache: Path) -> MavenContext:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    repositories = {"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories
    return MavenContext(repo_cache=cache, remote_repos=repositories, timeout=TIMEOUT_S)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def renew_lock(cache: Path, lock: Path = LOCK) -> int:
    """Resolves `ROOTS` anew and writes the lock; returns how many jars it names."""
    context, lines, count = _context(cache), [_HEADER], 0
    for server, roots in ROOTS.items():
        # "!": only the dependencies of the roots themselves. jgo would else let what their build manages (log4j's
        # tests run against an old Kafka) set versions for all, as Maven never does.
        inputs, transitive = context.resolver.resolve([context.create_dependency(f"{root}!") for root in roots])
        artifacts = [d.artifact for d in [*inputs, *(d for d in transitive if d.scope in ("compile", "runtime"))]]
        with ThreadPoolExecutor(PARALLEL) as pool:
            paths = list(pool.map(lambda artifact: artifact.resolve(), artifacts))
        lines.append(f"\n[{server}]")
        for artifact, path in zip(artifacts, paths, strict=True):
            parts = (artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier)
            coordinate = ":".join(part for part in parts if part)
            size = path.stat().st_size
            lines.append(f'{json.dumps(coordinate)} = {{ sha256 = "{_sha256(path)}", size = {size} }}')
            count += 1
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return count


_HEADER = """\
# Jars of the two servers: group:artifact:version[:classifier], sha256 and size in bytes, in class path order.
# Written by `python -m infra.local.jars lock`; what is asked for stands in infra/local/jars.py."""


def main() -> None:
    """`python -m infra.local.jars [lock]`: fetches what the lock names, or writes the lock anew."""
    from streaming.settings import load_settings

    parser = argparse.ArgumentParser(prog="python -m infra.local.jars", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["fetch", "lock"], default="fetch")
    arguments = parser.parse_args()
    try:
        cache = load_settings().jars
        if arguments.what == "lock":
            print(f"locked {renew_lock(cache)} jars")
        else:
            jars = ensure_jars(cache, print)
            print(f"{len(jars.kafka)} jars of Kafka and {len(jars.elasticsearch)} of Elasticsearch are there")
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
