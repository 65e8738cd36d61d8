"""Health gates: does a service do its work, and if not, what does a person read about it."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import dataclass

from infra.services import GateKind, Service
from streaming.elastic.access import ElasticAccess
from streaming.elastic.connection import Connection
from streaming.errors import VigilError
from streaming.kafka.access import KafkaAccess
from streaming.settings import Settings


@dataclass(frozen=True)
class Probe:
    """One answer of a gate. `reason` says what is wrong and what to do about it, or what was found where `ok`."""

    ok: bool
    reason: str


def probe(service: Service, settings: Settings, timeout_s: float = 2.0) -> Probe:
    """Asks a service once, waiting at most about `timeout_s` for each answer; whatever happens becomes a `Probe`."""
    match service.gate:
        case GateKind.KAFKA:
            return _kafka(settings.kafka, timeout_s)
        case GateKind.ELASTICSEARCH:
            return _elasticsearch(settings.elastic, timeout_s)
        case GateKind.HTTP:
            return _health(f"http://{settings.bind_host}:{service.port}/health", timeout_s)
        case GateKind.PORT:
            refusal = _refusal(f"{settings.bind_host}:{service.port}", timeout_s)
            return Probe(not refusal, refusal or "takes connections")


def _kafka(kafka: KafkaAccess, timeout_s: float) -> Probe:
    # A refused connection shows at once; librdkafka would try again until the time-out and log each attempt.
    brokers = kafka.bootstrap.split(",")
    closed = [why for broker in brokers if (why := _refusal(broker, timeout_s))]
    if len(closed) == len(brokers):
        return Probe(False, "Kafka: " + "; ".join(closed))

    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        found = AdminClient({**kafka.options(), "log_level": 0}).list_topics(timeout=timeout_s).brokers
    except KafkaException as error:
        return Probe(False, f"Kafka at {kafka} accepts connections but gives no metadata: {error.args[0].str()}")
    return Probe(True, f"{len(found)} broker{'' if len(found) == 1 else 's'}")


def _refusal(broker: str, timeout_s: float) -> str | None:
    """Why a broker's port takes no connection; None where it does."""
    host, _, port = broker.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except ValueError:
        return f"{broker!r} is not HOST:PORT; correct VIGIL_KAFKA_BOOTSTRAP"
    except OSError as error:
        return f"nothing answers at {broker} ({_words(error)}); {_NOT_THERE}"
    return None


_NOT_THERE = "not started yet, or it has ended: see `vigil status`"


def _elasticsearch(elastic: ElasticAccess, timeout_s: float) -> Probe:
    path = "/_cluster/health"
    try:
        with closing(Connection(elastic, timeout_s)) as connection:
            answer = connection.request("GET", path)
    except VigilError as error:
        return Probe(False, str(error))
    found = _json_object(answer.body)
    colour = found.get("status")
    if answer.status != 200 or not isinstance(colour, str):
        return Probe(False, f"{connection.address}{path} answered {answer.status}: {_excerpt(answer.body)}")
    if colour not in ("yellow", "green"):
        unassigned = found.get("unassigned_shards", "?")
        return Probe(False, f"cluster is {colour}, {unassigned} shards unassigned; free disk and its log say why")
    return Probe(True, f"cluster {colour}")


def _health(url: str, timeout_s: float) -> Probe:
    answer = _get(url, timeout_s)
    if isinstance(answer, Probe):
        return answer
    status, body = answer
    if status == 200:
        return Probe(True, "healthy")
    failing = failing_checks(_json_object(body))
    return Probe(False, "; ".join(failing) if failing else f"{url} answered {status}: {_excerpt(body)}")


def failing_checks(health: dict[str, object]) -> list[str]:
    """The failing checks of a worker's health answer (`streaming.worker.health.Answer`, alone or under `workers`).

    A process with several workers names the worker of each.
    """
    workers = health.get("workers")
    answers = [a for a in (workers if isinstance(workers, list) else [health]) if isinstance(a, dict)]
    lines = []
    for answer in answers:
        checks = answer.get("checks")
        prefix = f"{answer.get('worker')}: " if len(answers) > 1 else ""
        for name, check in (checks if isinstance(checks, dict) else {}).items():
            if isinstance(check, dict) and not check.get("ok"):
                detail = check.get("detail")
                lines.append(f"{prefix}not {name}" + (f" ({detail})" if detail else ""))
    return lines


# Services here listen on loopback or a private network: a proxy of the environment must not see the request.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _get(url: str, timeout_s: float) -> tuple[int, bytes] | Probe:
    try:
        with _DIRECT.open(url, timeout=timeout_s) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except TimeoutError:
        return Probe(False, f"{url} did not answer within {timeout_s:g} s; it hangs or is overloaded: see its log")
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            return Probe(False, f"{url} did not answer within {timeout_s:g} s; it hangs or is overloaded: see its log")
        return Probe(False, f"nothing answers at {url} ({_words(error.reason)}); {_NOT_THERE}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Probe(
            False, f"{url}: no HTTP answer ({type(error).__name__}: {error}); does another program use the port?"
        )


def _words(error: BaseException | str) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:]


def _json_object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _excerpt(body: bytes) -> str:
    return " ".join(body[:200].decode("utf-8", "replace").split()) or "nothing"
