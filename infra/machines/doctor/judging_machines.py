"""Links of one machine, from the virtual machine to its units. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from infra.machines.doctor.chain import because
from infra.machines.doctor.facts import Facts, Inside, OfMachine, Unit, Way
from infra.machines.doctor.findings import Finding, Link, Verdict
from infra.machines.placement import Instance
from infra.machines.unreachable import Trouble, plain
from infra.service_manager import RunState

GIB = 1024**3

CLOCK_NOTE_S, CLOCK_FAILED_S = 2.0, 60.0
"""Event times are held against receive times to within a minute or so; certificates stand five minutes."""
DISK_NOTE, DISK_FAILED = 0.15, 0.05
"""Elasticsearch makes its indices read-only at 5 % of a disk free, and moves nothing there below 15 %."""
DISK_FAILED_BYTES = GIB // 2
MEMORY_NOTE, MEMORY_FAILED = 0.10, 0.03

_INSIDE = (Link.FIRST_BOOT, Link.CLOCK, Link.DISK, Link.MEMORY, Link.SOFTWARE, Link.UNIT)
_OF_TROUBLE = {
    Trouble.HOST_KEY: Link.HOST_KEY,
    Trouble.AUTHENTICATION: Link.LOGIN,
}


def of_machine(facts: Facts, name: str) -> Iterator[Finding]:
    """All links of a machine up to its units; those behind a broken one are not asked."""
    asked = facts.machines[name]
    way_in = (_virtual_machine, _forward, _ssh, _host_key, _login, _answer)
    broken: Finding | None = None
    for link in way_in:
        found = link(name, asked)
        if found is not None and broken is not None:
            yield Finding(name, found.link, Verdict.NOT_ASKED, because(broken))
        elif found is not None:
            yield found
            broken = found if found.verdict is Verdict.FAILED else None
    if broken is not None or asked.inside is None:
        assert broken is not None
        yield from (Finding(name, link, Verdict.NOT_ASKED, because(broken)) for link in _INSIDE)
        return
    states = list(_states(name, asked, asked.inside))
    yield from states
    if states[-1].verdict is Verdict.FAILED:
        yield Finding(name, Link.UNIT, Verdict.NOT_ASKED, because(states[-1]))
    else:
        yield from _units(facts, name, asked)


def _ok(name: str, link: Link, text: str) -> Finding:
    return Finding(name, link, Verdict.OK, text)


def _virtual_machine(name: str, asked: OfMachine) -> Finding | None:
    virtual = asked.virtual
    if virtual is None:
        return None
    if virtual.error:
        return Finding(name, Link.VIRTUAL_MACHINE, Verdict.NOTE, f"cannot be asked: {virtual.error}")
    again = "run deploy_platform or `vigil machines deploy` again, which repairs it"
    if not virtual.state:
        text = f"{virtual.name} does not exist in VirtualBox"
        return Finding(name, Link.VIRTUAL_MACHINE, Verdict.FAILED, text, remedy=again)
    if virtual.state != "running":
        remedy = f"`VBoxManage startvm {virtual.name} --type headless`, or {again}"
        return Finding(
            name, Link.VIRTUAL_MACHINE, Verdict.FAILED, f"{virtual.name} does not run ({virtual.state})", remedy=remedy
        )
    return _ok(name, Link.VIRTUAL_MACHINE, "running")


def _forward(name: str, asked: OfMachine) -> Finding | None:
    if asked.door is None:
        return Finding(name, Link.FORWARD, Verdict.NOT_ASKED, "")
    if asked.door is Way.OPEN:
        return _ok(name, Link.FORWARD, "takes connections")
    what = "is refused" if asked.door is Way.REFUSED else "gets no answer"
    remedy = (
        "deploy again, which makes the forwards anew"
        if asked.virtual is not None
        else "is the machine on, its network up, and its SSH server started?"
    )
    return Finding(name, Link.FORWARD, Verdict.FAILED, f"to SSH: a connection {what}", remedy=remedy)


def _ssh(name: str, asked: OfMachine) -> Finding | None:
    login = asked.login
    if login is None:
        return Finding(name, Link.SSH, Verdict.NOT_ASKED, "")
    if login.trouble is None or login.trouble in _OF_TROUBLE:
        return _ok(name, Link.SSH, "answers")
    return Finding(name, Link.SSH, Verdict.FAILED, login.reason, remedy=_lower(login.remedy))


def _host_key(name: str, asked: OfMachine) -> Finding | None:
    login = asked.login
    if login is not None and login.trouble is Trouble.HOST_KEY:
        return Finding(name, Link.HOST_KEY, Verdict.FAILED, login.reason, remedy=_lower(login.remedy))
    return _ok(name, Link.HOST_KEY, "as pinned")


def _login(name: str, asked: OfMachine) -> Finding | None:
    login = asked.login
    if login is not None and login.trouble is Trouble.AUTHENTICATION:
        return Finding(name, Link.LOGIN, Verdict.FAILED, login.reason, remedy=_lower(login.remedy))
    return _ok(name, Link.LOGIN, "our key is taken")


def _answer(name: str, asked: OfMachine) -> Finding | None:
    """Shown only where it is the link that is broken."""
    if asked.login is None or asked.login.trouble is not None or not asked.inside_error:
        return None
    return Finding(
        name,
        Link.ANSWER,
        Verdict.FAILED,
        f"tells nothing of itself: {asked.inside_error}",
        remedy="is its disk full, or the machine out of memory? Its console says more",
    )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _states(name: str, asked: OfMachine, inside: Inside) -> Iterator[Finding]:
    """The last one is of the software, without which no unit can run."""
    yield _first_boot(name, inside)
    yield _clock(name, asked, inside)
    yield _disk(name, inside)
    yield _memory(name, inside)
    if inside.software:
        yield _ok(name, Link.SOFTWARE, "installed")
    else:
        yield Finding(
            name, Link.SOFTWARE, Verdict.FAILED, "is not installed (/opt/vigil/venv is missing)", remedy="deploy again"
        )


def _first_boot(name: str, inside: Inside) -> Finding:
    match inside.first_boot:
        case "done" | "degraded done":
            return _ok(name, Link.FIRST_BOOT, "done")
        case "" | "disabled" | "not run":
            return _ok(name, Link.FIRST_BOOT, "no cloud-init here")
        case "running" | "not started":
            remedy = "wait for `cloud-init status --wait` on the machine"
            return Finding(name, Link.FIRST_BOOT, Verdict.FAILED, "is not over yet", remedy=remedy)
    return Finding(
        name,
        Link.FIRST_BOOT,
        Verdict.FAILED,
        f"ended as {plain(inside.first_boot, 40)}",
        remedy="/var/log/cloud-init-output.log on the machine has the reason",
    )


def clock_skew(asked: OfMachine, inside: Inside) -> float:
    """Seconds by which a machine's clock is at least ahead (above 0) or behind: what the time of the question and of
    its answer leaves no other explanation for."""
    if inside.ended > asked.answered_at:
        return inside.ended - asked.answered_at
    return min(0.0, inside.began - asked.asked_at)


def _clock(name: str, asked: OfMachine, inside: Inside) -> Finding:
    skew = clock_skew(asked, inside)
    if abs(skew) < CLOCK_NOTE_S:
        return _ok(name, Link.CLOCK, "as here")
    text = f"is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this host's"
    verdict = Verdict.FAILED if abs(skew) >= CLOCK_FAILED_S else Verdict.NOTE
    remedy = "set it (`timedatectl`), and give both a time server, or VirtualBox's guest additions"
    return Finding(name, Link.CLOCK, verdict, text, remedy=remedy)


def _disk(name: str, inside: Inside) -> Finding:
    worst = min(inside.disks, key=lambda place: _share(inside.disks[place]), default=None)
    if worst is None:
        return _ok(name, Link.DISK, "not known")
    free = inside.disks[worst][1]
    text = f"{free / GIB:.1f} GiB of {inside.disks[worst][0] / GIB:.1f} are free at {worst}"
    share = _share(inside.disks[worst])
    remedy = "make room, or give the machine a larger disk (disk_gb)"
    if share < DISK_FAILED or free < DISK_FAILED_BYTES:
        return Finding(name, Link.DISK, Verdict.FAILED, f"is nearly full: {text}", remedy=remedy)
    if share < DISK_NOTE:
        return Finding(name, Link.DISK, Verdict.NOTE, text, remedy=remedy)
    return _ok(name, Link.DISK, text)


def _memory(name: str, inside: Inside) -> Finding:
    total, available = inside.memory
    text = f"{available / GIB:.1f} GiB of {total / GIB:.1f} are available"
    remedy = "give the machine more (memory_mb), or fewer roles"
    if total and _share(inside.memory) < MEMORY_FAILED:
        return Finding(name, Link.MEMORY, Verdict.FAILED, f"is used up: {text}", remedy=remedy)
    if total and _share(inside.memory) < MEMORY_NOTE:
        return Finding(name, Link.MEMORY, Verdict.NOTE, text, remedy=remedy)
    return _ok(name, Link.MEMORY, text)


def _share(of: tuple[int, int]) -> float:
    return of[1] / of[0] if of[0] else 1.0


def _units(facts: Facts, name: str, asked: OfMachine) -> Iterator[Finding]:
    placed = [one for one in facts.instances if one.machine == name]
    if asked.units is None:
        yield Finding(
            name, Link.UNIT, Verdict.FAILED, "cannot be asked: systemctl gives no answer", remedy="look at its console"
        )
        return
    for instance in placed:
        yield _unit(instance, asked.units.get(instance))


def _unit(instance: Instance, unit: Unit | None) -> Finding:
    def found(verdict: Verdict, text: str, remedy: str = "") -> Finding:
        return Finding(instance.machine, Link.UNIT, verdict, text, instance.service, remedy)

    if unit is None:
        return found(Verdict.FAILED, "is not known to systemd", "deploy again")
    restarts = f", restarted {unit.restarts} times by itself" if unit.restarts else ""
    start = "deploy again, which starts what does not run"
    match unit.status.state:
        case RunState.RUNNING:
            return found(Verdict.NOTE if unit.restarts else Verdict.OK, f"runs{restarts}")
        case RunState.STARTING:
            detail = f": {plain(unit.status.detail, 300)}" if unit.status.detail else ""
            journal = f"`journalctl -u {instance.unit}` on {instance.machine} says more"
            return found(Verdict.FAILED, f"does not come up{detail}{restarts}", journal)
        case RunState.STOPPED:
            return found(Verdict.FAILED, "is stopped", start)
        case _:
            return found(
                Verdict.FAILED, f"failed: {plain(unit.status.detail, 300)}{restarts}", f"mend that, then {start}"
            )
