"""`natnetwork`, as VBoxManageNATNetwork.cpp and NATNetworkImpl.cpp of VirtualBox 7 behave."""

from __future__ import annotations

import re

from tests.support.virtualbox import boot, model
from tests.support.virtualbox.boot import Rule
from tests.support.virtualbox.failures import Failed, argument, com, syntax
from tests.support.virtualbox.model import Network, State
from tests.support.virtualbox.options import Parsed, yes

_VALUES = {
    **dict.fromkeys(("netname", "network", "ipv4-prefix", "dhcp", "ipv6", "ipv6-enable", "ipv6-prefix"), 1),
    **dict.fromkeys(("ipv6-default", "port-forward-4", "port-forward-6", "loopback-4", "loopback-6"), 1),
    **dict.fromkeys(("enable", "disable"), 0),
}
_NAME_LENGTH = 64
_RULE = re.compile(r"([^:]*):(tcp|udp):\[([^\]]*)\]:(\d+):\[([^\]]*)\]:(\d+)")


def run(state: State, arguments: list[str]) -> str:
    """One `natnetwork` command."""
    if not arguments:
        raise syntax("Not enough parameters")
    verb, *rest = arguments
    if verb == "list":
        return listed(state, rest[0] if rest else "*")
    if verb not in ("add", "modify", "remove", "start", "stop"):
        raise syntax(f"Invalid parameter '{verb}'")
    if len(rest) < 1:
        raise syntax("Not enough parameters")
    parsed = _parse(rest, verb)
    name = parsed.get("netname")
    if name is None:
        raise syntax("You need to specify the --netname option")
    if verb == "add":
        _add(state, name, parsed)
        return ""
    network = state.networks.get(name)
    if network is None:
        raise argument("NATNetwork server does not exist")
    if verb == "modify":
        _change(network, parsed)
    elif verb == "remove":
        del state.networks[name]
        if network.started:
            network.rules.clear()
            boot.call("forwards", model.boot_network(network))
    elif verb == "start":
        start(network)
    else:
        stop(network)
    return ""


def start(network: Network) -> None:
    """Starts its service; one that runs goes on."""
    if not network.started:
        network.started = True
        boot.call("forwards", model.boot_network(network))


def stop(network: Network) -> None:
    """Stops its service, and with it its forwards."""
    if network.started:
        network.started = False
        boot.call("forwards", boot.BootNetwork(network.name, network.cidr))


def listed(state: State, pattern: str) -> str:
    """`natnetwork list`: an absent one is no error."""
    wanted = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))
    found = [network for name, network in state.networks.items() if wanted.fullmatch(name)]
    text = "NAT Networks:\n\n" + "".join(shown(network, whole=True) for network in found)
    return text + f"{len(found)} {'network' if len(found) == 1 else 'networks'} found\n"


def shown(network: Network, *, whole: bool) -> str:
    """One network, as both lists show it."""
    gateway = f"{network.cidr.partition('/')[0].rpartition('.')[0]}.1"
    lines = [
        f"Name:         {network.name}",
        *([f"Enabled:      {_said(network.enabled)}"] if whole else []),
        f"Network:      {network.cidr}",
        f"Gateway:      {gateway}",
        f"DHCP Server:  {_said(network.dhcp)}",
        f"IPv6:         {_said(network.ipv6)}",
        f"IPv6 Prefix:  {network.prefix}",
        "IPv6 Default: No",
    ]
    if whole and network.rules:
        lines += ["Port-forwarding (ipv4)", *(f"        {written(rule)}" for rule in network.rules.values())]
    if whole:
        lines += ["loopback mappings (ipv4)", "        127.0.0.1=2"]
    return "\n".join(lines) + "\n\n"


def written(rule: Rule) -> str:
    """A rule as it is given and listed."""
    host = f"[{rule.host_address}]:{rule.host_port}"
    return f"{rule.name}:{rule.protocol}:{host}:[{rule.guest_address}]:{rule.guest_port}"


def _said(value: bool) -> str:
    return "Yes" if value else "No"


def _parse(arguments: list[str], verb: str) -> Parsed:
    """Options; `--port-forward-4 delete NAME` takes one word more."""
    parsed = Parsed()
    left = list(arguments)
    known = _VALUES if verb != "remove" else {"netname": 1}
    while left:
        word = left.pop(0)
        name = word.lstrip("-").lower()
        if not word.startswith("-"):
            raise syntax(f"Invalid parameter '{word}'")
        if name not in known:
            raise syntax(f"Unknown option: {word}")
        if known[name] and not left:
            raise syntax(f"Missing argument to option: {word}")
        value = left.pop(0) if known[name] else ""
        if name == "port-forward-4" and value == "delete":
            if verb != "modify":
                raise syntax("Port-forward could be deleted on modify\n")
            if not left:
                raise syntax("Not enough parameters\n")
            name, value = "delete", left.pop(0)
        parsed.options.append((name, value))
    return parsed


def _add(state: State, name: str, parsed: Parsed) -> None:
    if parsed.get("network") is None and parsed.get("ipv4-prefix") is None:
        raise syntax("You need to specify the --network option")
    if name in state.networks:
        raise argument("NATNetwork server already exists")
    # Made first and then set up: what cannot be set up stays behind, as in the real one.
    network = state.networks[name] = Network(name, "10.0.2.0/24")
    _change(network, parsed)


def _change(network: Network, parsed: Parsed) -> None:
    if cidr := parsed.get("network") or parsed.get("ipv4-prefix"):
        _set_cidr(network, cidr)
    if (dhcp := parsed.get("dhcp")) is not None:
        network.dhcp = yes(dhcp)
    if (prefix := parsed.get("ipv6-prefix")) is not None:
        _set_prefix(network, prefix)
    if (ipv6 := parsed.get("ipv6") or parsed.get("ipv6-enable")) is not None:
        network.ipv6 = yes(ipv6)
    for option, value in parsed.options:
        if option == "delete" and network.rules.pop(value, None) is None:
            raise _set_failed("Code NS_ERROR_INVALID_ARG (0x80070057) - Invalid argument value", "Failed to delete pf")
    for option, value in parsed.options:
        if option == "port-forward-4":
            _add_rule(network, value)
    if parsed.get("disable") is not None:
        network.enabled = False
    if network.started:
        boot.call("forwards", model.boot_network(network))


def _set_cidr(network: Network, cidr: str) -> None:
    import ipaddress

    if network.started:
        raise _set_failed("NAT network is already running", "Failed to set configuration")
    try:
        network.cidr = str(ipaddress.IPv4Network(cidr, strict=False))
    except ValueError:
        raise _set_failed(f"{cidr} is not a valid IPv4 CIDR notation", "Failed to set configuration") from None


def _set_prefix(network: Network, prefix: str) -> None:
    import ipaddress

    if network.started:
        raise _set_failed("NAT network is already running", "Failed to set configuration")
    try:
        found = ipaddress.IPv6Network(prefix)
    except ValueError:
        raise _set_failed(f"{prefix} is not a valid IPv6 prefix", "Failed to set configuration") from None
    if found.prefixlen != 64:
        raise _set_failed(f"Invalid IPv6 prefix length {found.prefixlen}, must be 64", "Failed to set configuration")
    if not (found.network_address.packed[0] & 0xE0 == 0x20 or found.network_address.packed[0] & 0xFE == 0xFC):
        raise _set_failed(f"IPv6 prefix {found} is not unicast", "Failed to set configuration")
    network.prefix = str(found)


def _add_rule(network: Network, text: str) -> None:
    match = _RULE.fullmatch(text)
    if match is None or len(match[1]) >= _NAME_LENGTH:
        raise syntax(f"Invalid port-forward rule {text}\n")
    name, protocol, host, port, guest, guest_port = match.groups()
    for other in network.rules.values():
        if other.name == name:
            raise _set_failed("A NAT rule of this name already exists", "Failed to add pf")
        if (other.host_address, other.host_port, other.protocol) == (host, int(port), protocol):
            raise _set_failed("A NAT rule for this host port and this host IP already exists", "Failed to add pf")
    network.rules[name] = Rule(name, protocol, host, int(port), guest, int(guest_port))


def _set_failed(message: str, last: str) -> Failed:
    """VirtualBox's own reason, then VBoxManage's line, exit 2."""
    failed = com(message, "NS_ERROR_INVALID_ARG", "NATNetworkWrap", "INATNetwork", last)
    failed.status = 2
    return failed
