"""Brings Elasticsearch's templates and existing indices to what is declared, and says what was not so.

`python -m streaming.elastic.ensure [--json]`
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from typing import cast

import msgspec

from streaming import decoding
from streaming.elastic import bulk, mapping
from streaming.elastic.connection import NDJSON, Connection, Response
from streaming.elastic.mapping import Object
from streaming.errors import Unavailable, VigilError
from streaming.settings import Settings, load_settings
from streaming.worker.logs import logger

log = logger(__name__)


class Refused(VigilError):
    """Elasticsearch answers, but will not have what was asked for; trying again does not help."""


@dataclass
class TemplateReport:
    """What `ensure_templates` found. `drift` was repaired; `unrepairable` holds for existing indices only."""

    template: str
    created: bool = False
    drift: list[str] = field(default_factory=list)
    unrepairable: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Something was created or repaired."""
        return self.created or bool(self.drift)


def ensure_templates(settings: Settings, connection: Connection | None = None) -> TemplateReport:
    """Creates or repairs the templates of logs, dead letters, incidents and nodes, and what can be mended in the
    indices that exist.

    Safe to call at any time and from several processes; changes nothing where all is as declared.

    Raises:
        Unavailable: Elasticsearch does not answer, or answers that it is busy or starting.
        Refused: it will not take the template (its text is passed on), or cannot keep indices of the wanted mode.
    """
    own = connection or Connection(settings.elastic, timeout_s=10.0)
    try:
        prefix = settings.index_prefix
        logs = mapping.template(prefix, settings.index_mode)
        if settings.index_mode == mapping.LOGSDB and not _is_there(own, mapping.template_name(prefix), logs):
            _try_logsdb(own, prefix, logs)
        return _Compared(own, settings, repair=True).report
    finally:
        if connection is None:
            own.close()


def find_drift(settings: Settings, connection: Connection) -> TemplateReport:
    """What `ensure_templates` would create (told as drift too) or repair; changes nothing.

    Raises:
        Unavailable: Elasticsearch does not answer, or answers that it is busy or starting.
    """
    return _Compared(connection, settings, repair=False).report


class _Compared:
    """Templates and mappings held against what is declared, and repaired where that is wanted."""

    def __init__(self, connection: Connection, settings: Settings, *, repair: bool) -> None:
        prefix = settings.index_prefix
        self._connection, self._repair = connection, repair
        self.report = TemplateReport(mapping.template_name(prefix))
        self._template(mapping.template_name(prefix), mapping.template(prefix, settings.index_mode))
        self._indices(mapping.logs_pattern(prefix), mapping.mappings())
        self._template(mapping.dead_letters_template_name(prefix), mapping.dead_letters_template(prefix))
        self._indices(mapping.dead_letters_pattern(prefix), mapping.dead_letters_mappings())
        for history in mapping.HISTORIES:
            self._template(history.template_name(prefix), history.template(prefix))
            pattern = f"{history.events_pattern(prefix)},{history.last_pattern(prefix)}"
            self._indices(pattern, history.mappings())

    def _template(self, name: str, wanted: Object) -> None:
        path = f"/_index_template/{name}"
        response = self._connection.request("GET", path)
        if response.status == 404:
            self.report.created = self._repair
            if not self._repair:
                self.report.drift.append(f"template {name} is missing")
        else:
            answer = decoding.decode(checked(response, f"reading template {name}").body, _Templates)
            drift = [*mapping.differences(wanted, _object(answer.index_templates[0].index_template))]
            if not drift:
                return
            self.report.drift += [f"template {name}: {line}" for line in drift]
        if self._repair:
            checked(self._connection.json("PUT", path, wanted), f"writing template {name}")

    def _indices(self, pattern: str, wanted: Object) -> None:
        """An index keeps the mapping that it was made with: fields that it lacks are added, types cannot be changed."""
        path = f"/{pattern}/_mapping?ignore_unavailable=true"
        response = checked(self._connection.request("GET", path), f"reading the mappings of {pattern}")
        for index, found in decoding.decode(response.body, dict[str, _Mappings]).items():
            differences = [*mapping.differences(wanted, _object(found.mappings))]
            drift = [f"index {index}: {line}" for line in differences]
            if not drift:
                continue
            if self._repair:
                mended = self._connection.json("PUT", f"/{index}/_mapping", wanted).status < 400
            else:
                # What is missing can be added, and what holds for the whole index can be changed; fields cannot.
                mended = all(line.endswith(" is missing") or line.startswith("dynamic ") for line in differences)
            if mended:
                self.report.drift += drift
            else:
                self.report.unrepairable += drift


def make_index(connection: Connection, name: str) -> None:
    """Makes an index of which a template says all; harmless where another has just made it.

    Raises:
        Unavailable: it is not made. Its documents have nowhere to go until it is: wait for it as for the server itself.
    """
    response = connection.request("PUT", f"/{name}")
    if response.status < 400:
        log.info("index made", index=name)
    elif response.error_type != "resource_already_exists_exception":
        raise Unavailable(f"Elasticsearch does not make index {name}: {response.error()}")


def checked(response: Response, doing: str) -> Response:
    """Raises `Unavailable` or `Refused` where the answer is an error."""
    if response.status < 400:
        return response
    if response.status in (429, 503, 504, 502):
        raise Unavailable(f"Elasticsearch is not ready: {response.error()}")
    raise Refused(f"Elasticsearch refused while {doing}: {response.error()}")


def _is_there(connection: Connection, name: str, wanted: Object) -> bool:
    response = connection.request("GET", f"/_index_template/{name}")
    if response.status == 404:
        return False
    answer = decoding.decode(checked(response, f"reading template {name}").body, _Templates)
    return not [*mapping.differences(wanted, _object(answer.index_templates[0].index_template))]


def _try_logsdb(connection: Connection, index_prefix: str, logs: Object) -> None:
    """One document into an index of this mode that lives for the moment.

    A server may take such an index and then fail at every document of it: the modules of Elasticsearch that are
    published as jars lack libzstd, in which logsdb compresses. Each log would become a dead letter.
    """
    index, body = f"{index_prefix}-trial-of-logsdb", cast(Object, logs["template"])
    connection.request("DELETE", f"/{index}?ignore_unavailable=true")
    checked(connection.json("PUT", f"/{index}", body), "making an index of mode logsdb")
    try:
        # With labels: their doc values are compressed by other code than the source.
        document = b'{"@timestamp":"2026-01-01T00:00:00.000000001Z","labels":{"a":["b"]}}'
        lines = bulk.item(bulk.create_line(index), b"1", document)
        # `_bulk`, since a lone document would be tried again for the whole time-out.
        response = connection.request("POST", f"{bulk.PATH}&refresh=true&timeout=5s", lines, NDJSON)
        answer = bulk.read_answer(checked(response, "trying logsdb"), 1, bulk.UNEXPLAINED_LIMIT)
    finally:
        connection.request("DELETE", f"/{index}?ignore_unavailable=true")
    if answer is not None:
        why = answer.reason if isinstance(answer, bulk.Whole) else f"{answer[0].reason}: {answer[0].detail}"
        raise Refused(
            f"this Elasticsearch cannot keep indices of mode logsdb: {why}. "
            f"Set {Settings.variable('index_mode')}=standard, or use an Elasticsearch that is installed whole"
        )


def _object(raw: msgspec.Raw) -> Object:
    return cast(Object, msgspec.json.decode(raw))


class _Template(msgspec.Struct):
    index_template: msgspec.Raw


class _Templates(msgspec.Struct):
    index_templates: list[_Template]


class _Mappings(msgspec.Struct):
    mappings: msgspec.Raw


def main() -> None:
    """Command line; exit code 0 also where something was repaired."""
    parser = argparse.ArgumentParser(prog="python -m streaming.elastic.ensure", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    try:
        report = ensure_templates(load_settings())
    except VigilError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(cast(dict[str, object], vars(report))).decode() + "\n")
        return
    sys.stdout.write(f"template {report.template}: {'created' if report.created else 'there'}\n")
    sys.stdout.writelines(f"repaired: {line}\n" for line in report.drift)
    sys.stdout.writelines(f"cannot be repaired in place: {line}\n" for line in report.unrepairable)


if __name__ == "__main__":
    main()
