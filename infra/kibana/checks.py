"""The objects of an installation, made and checked: what is exported and imported has passed."""

from __future__ import annotations

from contextlib import closing

from infra.kibana.asking import Answered, answers
from infra.kibana.checking.form import problems_of_form
from infra.kibana.checking.mapping import problems_of_mapping
from infra.kibana.checking.problems import Problem
from infra.kibana.content.all import saved_objects
from infra.kibana.indices import indices
from infra.kibana.questions import questions
from infra.kibana.stored.objects import SavedObject, read_ndjson, to_ndjson
from streaming.elastic.connection import Connection
from streaming.errors import VigilError
from streaming.settings import Settings


class Faulty(VigilError):
    """Objects that do not fit Kibana's format or the indices: a fault of this version of Vigil."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("objects for Kibana are faulty: " + "; ".join(map(str, problems)))


def checked(index_prefix: str) -> tuple[list[SavedObject], list[Problem]]:
    """All objects, as they are read back from their own export, and what is wrong with them.

    Raises:
        Unfit: one of them is not of Kibana's form at all.
    """
    objects = read_ndjson(to_ndjson(saved_objects(index_prefix)))
    return objects, [*problems_of_form(objects), *problems_of_mapping(objects, indices(index_prefix).by_pattern())]


def export(index_prefix: str) -> bytes:
    """All objects as a file that Kibana imports.

    Raises:
        Faulty: something is wrong with them.
    """
    objects, problems = checked(index_prefix)
    if problems:
        raise Faulty(problems)
    return to_ndjson(objects)


def asked(settings: Settings, objects: list[SavedObject]) -> list[Answered]:
    """What the installation's Elasticsearch answers to all that Kibana will ask it.

    Raises:
        Unavailable: it does not answer.
    """
    by_pattern = indices(settings.index_prefix).by_pattern()
    with closing(Connection(settings.elastic)) as connection:
        return answers(connection, questions(objects, by_pattern))
