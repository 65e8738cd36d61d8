"""Brings Elasticsearch's templates and existing log indices to what is declared, and says what was not so.

`python -m streaming.elastic.ensure [--json]`
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from typing import cast

import msgspec

from streaming.elastic import bulk, mapping
from streaming.elastic.connection import NDJSON, Connection, Response
from streaming.elastic.mapping import Object
from streaming.errors import Unavailable, VigilError
from streaming.settings import Settings, load_settings


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
    """Creates or repairs the templates of logs and dead letters and what can be mended in the indices that exist.

    Safe to call at any time and from several processes; changes nothing where all is as declared.

    Raises:
        Unavailable: Elasticsearch does not answer, or answers that it is busy or starting.
        Refused: it will not take the template (its text is passed on), or cannot keep indices of the wanted mode.
    """
    own = connection or Connection(settings.elasticsearch, timeout_s=10.0)
    try:
        prefix = settings.index_prefix
        report = TemplateReport(mapping.template_name(prefix))
        logs = mapping.template(prefix, settings.index_mode)
        if settings.index_mode == mapping.LOGSDB and not _is_there(own, mapping.template_name(prefix), logs):
            _try_logsdb(own, prefix, logs)
        _ensure_template(own, mapping.template_name(prefix), logs, report)
        _ensure_indices(own, mapping.logs_pattern(prefix), mapping.mappings(), report)
        dead_letters = mapping.dead_letters_template_name(prefix)
        _ensure_template(own, dead_letters, mapping.dead_letters_template(prefix), report)
        _ensure_indices(own, mapping.dead_letters_pattern(prefix), mapping.dead_letters_mappings(), report)
        return report
    finally:
        if connection is None:
            own.close()


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
    answer = msgspec.json.decode(checked(response, f"reading template {name}").body, type=_Templates)
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


def _ensure_template(connection: Connection, name: str, wanted: Object, report: TemplateReport) -> None:
    path = f"/_index_template/{name}"
    response = connection.request("GET", path)
    if response.status == 404:
        report.created = True
    else:
        answer = msgspec.json.decode(checked(response, f"reading template {name}").body, type=_Templates)
        drift = [*mapping.differences(wanted, _object(answer.index_templates[0].index_template))]
        if not drift:
            return
        report.drift += [f"template {name}: {line}" for line in drift]
    checked(connection.json("PUT", path, wanted), f"writing template {name}")


def _ensure_indices(connection: Connection, pattern: str, wanted: Object, report: TemplateReport) -> None:
    """An index keeps the mapping that it was made with: fields that it lacks are added, types cannot be changed."""
    response = checked(connection.request("GET", f"/{pattern}/_mapping"), f"reading the mappings of {pattern}")
    for index, found in msgspec.json.decode(response.body, type=dict[str, _Mappings]).items():
        drift = [f"index {index}: {line}" for line in mapping.differences(wanted, _object(found.mappings))]
        if not drift:
            continue
        if connection.json("PUT", f"/{index}/_mapping", wanted).status < 400:
            report.drift += drift
        else:
            report.unrepairable += drift


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
