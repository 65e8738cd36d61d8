"""Messages of made-up systems, in the manner of Java, Python, Go and Kubernetes, with the statement each came from."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

_FIRST_NAMES = (
    "alice bob carol dave erin frank grace heidi ivan judy mallory niaj olivia peggy rupert sybil trent victor walter "
    "yolanda zoe anders birgit chandra dmitri elif fatima gustavo hiro ingrid"
)
NAMES = tuple(_FIRST_NAMES.split())
GOODS = ("lamp", "chair", "table", "kettle", "rug", "clock", "mirror", "shelf", "candle", "basket", "vase", "stool")
_LOWER = string.ascii_lowercase + string.digits


def _pod(rnd: random.Random) -> str:
    return f"{rnd.choice(['web', 'cart', 'search'])}-{_letters(rnd, 9, _LOWER)}-{_letters(rnd, 5, _LOWER)}"


def _letters(rnd: random.Random, count: int, among: str = string.ascii_letters + string.digits) -> str:
    return "".join(rnd.choices(among, k=count))


_PARAMETERS: dict[str, Callable[[random.Random], str]] = {
    "n": lambda rnd: str(rnd.choice([0, 1, rnd.randrange(100), rnd.randrange(10**9)])),
    "signed": lambda rnd: str(rnd.randrange(-50, 50)),
    "real": lambda rnd: f"{rnd.random() * 10 ** rnd.randrange(4):.{rnd.randrange(1, 7)}f}",
    "ip": lambda rnd: ".".join(str(rnd.randrange(256)) for _ in range(4)),
    "port": lambda rnd: str(rnd.randrange(1024, 65536)),
    "uuid": lambda rnd: "-".join(f"{rnd.getrandbits(4 * n):0{n}x}" for n in (8, 4, 4, 4, 12)),
    "hex": lambda rnd: f"{rnd.getrandbits(160):040x}",
    "pointer": lambda rnd: f"0x{rnd.getrandbits(48):x}",
    "trace": lambda rnd: f"{rnd.getrandbits(128):032x}",
    "name": lambda rnd: rnd.choice(NAMES),
    "goods": lambda rnd: rnd.choice(GOODS),
    "size": lambda rnd: f"{rnd.random() * 900:.1f} {rnd.choice(['B', 'KB', 'MB', 'GiB'])}",
    "took": lambda rnd: f"{rnd.random() * 900:.2f}{rnd.choice(['ms', 's', 'us'])}",
    "path": lambda rnd: "/" + "/".join(rnd.choice(NAMES) for _ in range(rnd.randrange(1, 6))),
    "url": lambda rnd: f"https://{rnd.choice(NAMES)}.example.com/{rnd.choice(GOODS)}?page={rnd.randrange(9)}",
    "mail": lambda rnd: f"{rnd.choice(NAMES)}.{rnd.choice(NAMES)}@example.org",
    "iso": lambda rnd: f"2026-{rnd.randrange(1, 13):02}-{rnd.randrange(1, 29):02}T{rnd.randrange(24):02}:59:07Z",
    "pod": _pod,
    "token": lambda rnd: _letters(rnd, 24),
    "ids": lambda rnd: ", ".join(str(rnd.randrange(10**6)) for _ in range(rnd.randrange(1, 12))),
}

STATEMENTS = """
User {name} logged in from {ip}
User {name} logged out
User {name} changed the password of account {n}
Failed login for {name} from {ip} port {port}
Order {n} of customer {name} was placed: {goods} for {real} EUR
Order {n} of customer {name} was cancelled: {goods} for {real} EUR
reserved {n} of {goods} for order {n}
Added {goods} to the cart of {name}
Removed {goods} from the cart of {name}
GET {path} took {took} with status=200
POST {path} took {took} with status=200
Task tasks.send_mail[{uuid}] received
Task tasks.send_mail[{uuid}] succeeded in {took}: None
Task tasks.send_mail[{uuid}] raised unexpected: ValueError('{name}')
Sent mail to {mail} with message id <{token}@mail.example.org>
Connection to {ip}:{port} established
Connection to {ip}:{port} refused
Connection to {ip}:{port} timed out after {took}
retry {n}/{n} in {took}
Pool exhausted: active={n} idle={n} max={n}
com.example.orders.OrderNotFoundException: no order with id {n}
java.net.SocketTimeoutException: Read timed out after {n} ms
java.lang.OutOfMemoryError: Java heap space
Started OrderApplication in {real} seconds (process running for {real})
GC pause (young) {size}->{size}({size}), {real} secs
Created pod: {pod}
Deleted pod: {pod}
Back-off restarting failed container {pod} in pod {pod}_default({uuid})
Successfully pulled image registry.example.com/{name}:{n} in {took}
Readiness probe failed: HTTP probe failed with statuscode: {n}
leader election lost, term {n}
leader election won, term {n}
state changed from STARTING to RUNNING
state changed from RUNNING to STOPPED
committed offsets for partitions [{ids}]
deleted segments {ids}
Loaded certificate {hex} valid until {iso}
checkpoint {n} written to {path} ({size})
fetching {url} failed after {n} attempts
cache hit key=user:{name} ttl={n}
cache miss key=user:{name} ttl={n}
goroutine {n} [running] at {pointer}
temperature of sensor {n} is {signed} degrees
trace={trace} span={token} sampled=true
trace={trace} span={token} sampled=false
shutdown requested
shutdown complete
config reloaded
""".strip().splitlines()


def messages(count: int, seed: int) -> list[tuple[str, str]]:
    """So many messages, each with its statement."""
    rnd = random.Random(seed)
    found = []
    for _ in range(count):
        statement = rnd.choice(STATEMENTS)
        text = statement
        while "{" in text:
            before, _, rest = text.partition("{")
            name, _, after = rest.partition("}")
            text = before + _PARAMETERS[name](rnd) + after
        found.append((text, statement))
    return found
