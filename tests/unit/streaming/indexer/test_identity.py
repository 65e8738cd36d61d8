"""Identity of documents: the same again for a resend, another one for another event."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.indexer import identity

DAY = 20_781  # 2026-11-24


@given(st.binary(), st.text(), st.text())
def test_with_a_log_id_the_source_does_not_matter(value: bytes, one: str, other: str) -> None:
    assert identity.document_id(value, one, "l1") == identity.document_id(value, other, "l1")


@given(st.binary(), st.binary())
def test_one_log_id_and_two_contents_are_two_documents(one: bytes, other: bytes) -> None:
    same = identity.document_id(one, "s", "l1") == identity.document_id(other, "s", "l1")
    assert same == (one == other)


@given(st.binary(), st.binary(), st.text(st.characters()), st.text(st.characters()))
def test_without_a_log_id_only_the_source_matters(value: bytes, other: bytes, one: str, two: str) -> None:
    assert identity.document_id(value, one, None) == identity.document_id(other, one, None)
    assert (identity.document_id(value, one, None) == identity.document_id(value, two, None)) == (one == two)


@given(st.binary())
def test_an_id_needs_no_escaping(value: bytes) -> None:
    assert re.fullmatch(rb"[A-Za-z0-9_-]{22}", identity.document_id(value, "", "l"))


@given(st.lists(st.binary(), max_size=5))
def test_ids_of_a_batch_are_those_of_its_records(values: list[bytes]) -> None:
    expected = [urlsafe_b64encode(blake2b(value, digest_size=16).digest())[:22].decode() for value in values]
    assert identity.content_ids(values) == expected


def test_the_index_is_of_the_receive_day_in_utc() -> None:
    assert identity.day_of(DAY * identity.NS_PER_DAY) == DAY
    assert identity.day_of((DAY + 1) * identity.NS_PER_DAY - 1) == DAY
    assert identity.index_name("vigil", DAY) == "vigil-logs-default-2026.11.24"


@given(st.integers(-(2**70), 2**70))
def test_any_receive_time_has_a_day_that_can_be_named_or_none(received_ns: int) -> None:
    day = identity.day_of(received_ns)
    if day is not None:
        assert re.fullmatch(r"vigil-logs-default-20\d\d\.\d\d\.\d\d", identity.index_name("vigil", day))
        assert identity.class_and_day("vigil", identity.index_name("vigil", day, "a-b")) == ("a-b", day)


@pytest.mark.parametrize(
    "name", ["", "vigil", "vigil-logs-default", "vigil-logs-default-2026.13.24", "other-logs-a-2026.11.24",
             "vigil-logs-default-2026.11.24-r1", "vigil-dead-letters-2026.11.24", "vigil-logs-2026.11.24"]
)  # fmt: skip
def test_other_names_are_no_log_indices(name: str) -> None:
    assert identity.class_and_day("vigil", name) is None


def test_expiry() -> None:
    assert not identity.is_expired(DAY - 30, DAY, 30)
    assert identity.is_expired(DAY - 31, DAY, 30)
