"""SSH to a real OpenSSH server: pinned keys, connections that break, commands, uploads and forwards."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from infra.machines.host_keys import pin
from infra.machines.keys import ensure_key
from infra.machines.ssh import Connections
from infra.machines.unreachable import CommandFailed, MachineUnavailable, Server, Trouble
from streaming.errors import ConfigError
from tests.support.listening import free_port
from tests.support.sshd import PYTHON, QUICK, Sshd, sshd, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def machines(server: Sshd) -> Iterator[Connections]:
    with server.connections() as connections:
        yield connections


def echo(machines: Connections, *words: str) -> str:
    return machines.check("producer", ["printf", "%s\n", *words])


def test_arguments_arrive_as_they_were_given(machines: Connections) -> None:
    words = ["two words", "$HOME", "`id`", "a;b", "'", '"', "\\", "*", "", "--", "line\nbreak", "ü"]
    assert echo(machines, *words) == "".join(f"{word}\n" for word in words)


def test_a_command_has_to_be_a_list_without_nul(machines: Connections) -> None:
    for bad in ([], ["echo", "a\0b"]):
        with pytest.raises(ValueError, match="NUL"):
            machines.run("producer", bad)


def test_status_and_output_are_told_apart_and_a_failure_is_readable(machines: Connections) -> None:
    done = machines.run("producer", ["sh", "-c", "echo out; echo no good >&2; exit 3"])
    assert (done.status, done.text, done.said, done.cut) == (3, "out\n", "no good", False)
    with pytest.raises(CommandFailed, match=r"machine producer: `sh -c .*` ended with status 3: no \[2Jgood") as caught:
        machines.check("producer", ["sh", "-c", "printf 'no \\033[2Jgood' >&2; exit 3"])
    assert "\033" not in str(caught.value)
    assert machines.run("producer", ["sh", "-c", "kill -KILL $$"]).status is None


def test_connections_are_kept(machines: Connections, server: Sshd) -> None:
    first, second = (machines.check("producer", ["sh", "-c", "echo $SSH_CONNECTION"]) for _ in range(2))
    assert first == second


def test_threads_share_a_connection(machines: Connections) -> None:
    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(lambda n: echo(machines, str(n)), range(12)))
    assert said == [f"{n}\n" for n in range(12)]


def test_a_secret_goes_by_standard_input_and_is_in_no_command_line(machines: Connections, tmp_path: Path) -> None:
    secret, ready, leave = "hunter2-hunter2", tmp_path / "ready", tmp_path / "leave"
    ready.touch()
    program = "import sys,pathlib,time\nsecret=sys.stdin.read()\npathlib.Path(sys.argv[1]).write_text(secret)\n"
    program += "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)"
    seen: list[str] = []

    def look() -> None:
        wait_for(lambda: ready.read_text() == secret)
        for process in psutil.process_iter(["cmdline", "environ"]):
            seen.extend([*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()])
        leave.touch()

    watcher = threading.Thread(target=look)
    watcher.start()
    done = machines.run(
        "producer", [PYTHON, "-c", program, str(ready), str(leave)], stdin=secret.encode(), timeout_s=100
    )
    watcher.join()
    assert done.status == 0
    assert str(ready) in seen
    assert not any(secret in text for text in seen)


def test_output_is_bounded_and_the_command_ends_all_the_same(machines: Connections) -> None:
    done = machines.run("producer", ["head", "-c", "5000000", "/dev/zero"], most_bytes=1000)
    assert (done.status, done.out, done.cut) == (0, b"\0" * 1000, True)


def test_a_command_that_does_not_read_its_input_is_no_failure(machines: Connections) -> None:
    assert machines.run("producer", ["true"], stdin=b"x" * 3_000_000).status == 0


def test_a_command_that_does_not_end_is_left_with_the_reason(machines: Connections, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(MachineUnavailable, match=r"machine producer at 127.0.0.1:\d+: `sh .*` did not end") as caught:
        machines.run("producer", ["sh", "-c", f"echo $$ >{pid_file}; exec sleep 60"], timeout_s=3)
    assert caught.value.trouble is Trouble.TIMED_OUT
    # OpenSSH passes signals on for all users but root, as whom tests may run.
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(pid_file.read_text())).kill()


def test_a_broken_connection_is_made_again(machines: Connections, server: Sshd) -> None:
    before = machines.check("producer", ["sh", "-c", "echo $SSH_CONNECTION"])
    server.break_connections()
    wait_for(lambda: not server.sessions())
    after = machines.check("producer", ["sh", "-c", "echo $SSH_CONNECTION"], repeatable=True)
    assert before != after


def test_a_connection_that_breaks_meanwhile_is_told_unless_the_command_may_be_repeated(
    machines: Connections, server: Sshd, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    # The first run waits to be cut off; the second finds that it is not the first.
    command = ["sh", "-c", f"echo run >>{runs}; [ $(wc -l <{runs}) -gt 1 ] || exec sleep 200"]

    def cut() -> None:
        wait_for(runs.exists)
        server.break_connections()

    for repeatable in (False, True):
        runs.unlink(missing_ok=True)
        cutter = threading.Thread(target=cut)
        cutter.start()
        if repeatable:
            assert machines.run("producer", command, timeout_s=100, repeatable=True).status == 0
        else:
            with pytest.raises(MachineUnavailable, match="connection broke") as caught:
                machines.run("producer", command, timeout_s=100)
            assert caught.value.trouble is Trouble.LOST
        cutter.join()


def test_a_server_that_is_restarted_is_reached_again(tmp_path: Path) -> None:
    with sshd(tmp_path) as server, server.connections() as machines:
        echo(machines, "one")
        server.stop()
        with pytest.raises(MachineUnavailable, match="refused") as caught:
            echo(machines, "two")
        assert caught.value.trouble is Trouble.REFUSED
        server.start()
        assert echo(machines, "three") == "three\n"


def test_another_host_key_is_refused(tmp_path: Path) -> None:
    with sshd(tmp_path) as server:
        server.stop()
        server.new_host_key()
        server.start()
        with server.connections() as machines, pytest.raises(MachineUnavailable, match="not the one pinned") as caught:
            echo(machines, "secret")
        assert caught.value.trouble is Trouble.HOST_KEY
        assert str(server.known_hosts) in str(caught.value)
        assert "serial console" in str(caught.value)


def test_nothing_is_trusted_because_it_comes_first(server: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    # Of the same host at its usual port: another server.
    pin(known_hosts, {("127.0.0.1", 22): [server.host_key]})
    with Connections({"producer": server.server}, server.key_file, known_hosts, QUICK) as machines:
        with pytest.raises(MachineUnavailable, match="no host key of it is pinned") as caught:
            echo(machines)
        assert caught.value.trouble is Trouble.HOST_KEY
        pin(known_hosts, {("127.0.0.1", server.port): [server.host_key]})
        assert echo(machines, "now") == "now\n"


def test_a_key_that_the_machine_does_not_take_is_told(server: Sshd, tmp_path: Path) -> None:
    stranger = tmp_path / "key"
    ensure_key(stranger, "stranger")
    with (
        Connections({"producer": server.server}, stranger, server.known_hosts, QUICK) as machines,
        pytest.raises(MachineUnavailable, match="does not accept our key for") as caught,
    ):
        echo(machines)
    assert caught.value.trouble is Trouble.AUTHENTICATION


def test_a_key_that_others_may_read_is_not_used(server: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "key"
    ensure_key(key, "mine")
    key.chmod(0o640)
    with (
        Connections({"producer": server.server}, key, server.known_hosts, QUICK) as machines,
        pytest.raises(ConfigError, match=f"chmod 600 {key}"),
    ):
        echo(machines)


def test_a_forward_to_a_machine_that_is_off_is_told_as_such(server: Sshd, tmp_path: Path) -> None:
    """It takes connections and closes them: VirtualBox does so."""
    known_hosts = tmp_path / "known_hosts"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        pin(known_hosts, {("127.0.0.1", port): [server.host_key]})
        attempts = []

        def close_each() -> None:
            for _ in range(QUICK.attempts):
                connection, _peer = listener.accept()
                attempts.append(connection)
                connection.close()

        closer = threading.Thread(target=close_each)
        closer.start()
        with (
            Connections({"p": Server("p", "127.0.0.1", port, "x")}, server.key_file, known_hosts, QUICK) as machines,
            pytest.raises(MachineUnavailable, match="closed again before SSH begins") as caught,
        ):
            machines.run("p", ["true"])
        closer.join()
    assert caught.value.trouble is Trouble.SILENT
    assert len(attempts) == QUICK.attempts


def test_several_machines_are_asked_at_once_and_one_that_is_away_is_an_answer(server: Sshd, tmp_path: Path) -> None:
    known_hosts, port = tmp_path / "known_hosts", free_port()
    pin(known_hosts, {("127.0.0.1", p): [server.host_key] for p in (server.port, port)})
    away = Server("consumer", "127.0.0.1", port, "x")
    both = {"producer": server.server, "consumer": away}
    with Connections(both, server.key_file, known_hosts, QUICK) as machines:
        found = machines.run_each({name: ["echo", "here"] for name in both})
    answered, refused = found["producer"], found["consumer"]
    assert not isinstance(answered, MachineUnavailable)
    assert answered.text == "here\n"
    assert isinstance(refused, MachineUnavailable)
    assert refused.trouble is Trouble.REFUSED


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "plain.txt").write_text("plain")
    (folder / "deep" / "er" / "run me").write_text("#!/bin/sh\n")
    (folder / "deep" / "er" / "run me").chmod(0o755)
    (folder / "-odd 'name'").write_text("odd")
    return folder


def inodes(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_ino for p in folder.rglob("*") if p.is_file()}


def test_folders_are_brought_up_to_date_and_what_is_the_same_is_not_sent(
    machines: Connections, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    everything = ["-odd 'name'", "deep/er/run me", "plain.txt"]
    assert sorted(machines.upload_folder("producer", source, str(target))) == everything
    assert (target / "deep" / "er" / "run me").stat().st_mode & 0o777 == 0o755
    assert (target / "plain.txt").stat().st_mode & 0o777 == 0o644
    before = inodes(target)
    assert machines.upload_folder("producer", source, str(target)) == []
    (source / "plain.txt").write_text("other")
    (target / "more").write_text("of somebody else")
    assert machines.upload_folder("producer", source, str(target)) == ["plain.txt"]
    changed = {name for name, inode in inodes(target).items() if before.get(name, inode) != inode}
    assert changed == {"plain.txt"}
    assert (target / "plain.txt").read_text() == "other"
    assert machines.upload_folder("producer", source, str(target), only_these=True) == ["more"]
    assert sorted(inodes(target)) == everything


def test_a_file_is_replaced_whole_and_leftovers_of_a_broken_upload_vanish(
    machines: Connections, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "plain.txt").write_text("before")
    (target / ".plain.txt.0123abcd.vigil-part").write_text("half of")
    with (target / "plain.txt").open() as reader:
        assert machines.upload_file("producer", source / "plain.txt", str(target / "plain.txt"))
        assert reader.read() == "before"
    assert not machines.upload_file("producer", source / "plain.txt", str(target / "plain.txt"))
    machines.upload_folder("producer", source, str(target))
    assert sorted(inodes(target)) == ["-odd 'name'", "deep/er/run me", "plain.txt"]


def test_an_upload_that_the_machine_refuses_leaves_what_was_there(
    machines: Connections, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    (target / "plain.txt").mkdir(parents=True)
    with pytest.raises(CommandFailed, match=f"upload to {target}"):
        machines.upload_file("producer", source / "plain.txt", str(target / "plain.txt"))
    assert [path.name for path in target.iterdir()] == ["plain.txt"]
    (source / "link").symlink_to("plain.txt")
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        machines.upload_folder("producer", source, str(target))


def test_a_port_of_the_machines_loopback_is_reached_through_a_forward(machines: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        thread = threading.Thread(target=answer)
        thread.start()
        with machines.forward("producer", listener.getsockname()[1]) as port:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(b"hello")
                assert client.recv(100) == b"HELLO"
            thread.join(5)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), 5)


def test_a_forked_process_connects_by_itself(machines: Connections) -> None:
    mine = machines.check("producer", ["sh", "-c", "echo $SSH_CONNECTION"])
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, machines.check("producer", ["sh", "-c", "echo $SSH_CONNECTION"]).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answers:
        theirs = answers.read()
    os.waitpid(child, 0)
    assert theirs.startswith("127.0.0.1 ")
    assert theirs != mine
