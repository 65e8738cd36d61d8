"""The import against a Kibana that keeps the real one's rules: what it takes and refuses, and what is said of it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from infra.kibana.access import KibanaAccess, access_of
from infra.kibana.checks import export
from infra.kibana.client import Imported, NotImported, Refused, import_objects
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings
from tests.support.certificates import Certificates
from tests.support.fake_http import Reply
from tests.support.fake_kibana import FakeKibana

ALL = export("vigil")
COUNT = len(ALL.splitlines()) - 1


@pytest.fixture
def kibana() -> Iterator[FakeKibana]:
    with FakeKibana.running() as fake:
        yield fake


def lines(*, without: str = "") -> list[dict[str, object]]:
    found = [json.loads(line) for line in ALL.splitlines()[:-1]]
    return [line for line in found if line["id"] != without]


def ndjson(objects: Sequence[Mapping[str, object]]) -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in objects)


def test_all_is_imported_and_done_twice_nothing_changes(kibana: FakeKibana) -> None:
    access = KibanaAccess(kibana.url)
    assert import_objects(access, ALL) == Imported(COUNT, 0)
    before = {key: (kept.attributes, kept.references) for key, kept in kibana.kept.items()}
    assert len(before) == COUNT
    assert import_objects(access, ALL) == Imported(COUNT, COUNT)
    assert {key: (kept.attributes, kept.references) for key, kept in kibana.kept.items()} == before
    assert {kept.written for kept in kibana.kept.values()} == {2}


def test_a_change_by_a_person_is_overwritten(kibana: FakeKibana) -> None:
    access = KibanaAccess(kibana.url)
    import_objects(access, ALL)
    kept = kibana.kept["dashboard", "vigil-dashboard-logs"]
    kept.attributes = {"title": "Mine"}
    import_objects(access, ALL)
    assert kibana.kept["dashboard", "vigil-dashboard-logs"].attributes["title"] == "[Vigil] Logs"


def test_a_missing_reference_is_named_and_nothing_is_written(kibana: FakeKibana) -> None:
    with pytest.raises(NotImported, match=r"Kibana did not import all") as raised:
        import_objects(KibanaAccess(kibana.url), ndjson(lines(without="vigil-reports")))
    assert raised.value.failures == (
        "search:vigil-search-reports ([Vigil] Error reports): missing_references index-pattern:vigil-reports",
    )
    assert kibana.kept == {}


def test_attributes_that_kibana_refuses_are_named(kibana: FakeKibana) -> None:
    objects = lines()
    for one in objects:
        if one["type"] == "search":
            one["attributes"]["colour"] = "red"  # type: ignore[index]
    with pytest.raises(NotImported) as raised:
        import_objects(KibanaAccess(kibana.url), ndjson(objects))
    assert len(raised.value.failures) == sum(one["type"] == "search" for one in objects)
    assert "search:vigil-search-errors ([Vigil] Errors of the last hour): unknown: [colour]" in str(raised.value)


def test_a_type_that_kibana_does_not_know(kibana: FakeKibana) -> None:
    objects: list[Mapping[str, object]] = [
        *lines(),
        {"type": "hologram", "id": "h", "attributes": {}, "references": []},
    ]
    with pytest.raises(NotImported, match=r"hologram:h: unsupported_type"):
        import_objects(KibanaAccess(kibana.url), ndjson(objects))


def test_many_failures_are_counted_and_not_all_named(kibana: FakeKibana) -> None:
    objects = [{"type": "x", "id": str(n), "attributes": {"title": "a\x1b[31m\nb"}} for n in range(30)]
    with pytest.raises(NotImported, match=r"30 not: .*; and 10 more$") as raised:
        import_objects(KibanaAccess(kibana.url), ndjson(objects))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("raw", "status", "said"),
    [
        (b"{\n", "HTTP 400", "Unexpected token"),
        (ALL + ALL, "HTTP 400", "Non-unique import objects detected"),
        (ALL.replace(b'"10.2.0"', b'"10.9.0"'), "HTTP 422", "belongs to a more recent version of Kibana"),
    ],
)
def test_a_file_that_kibana_refuses_whole(kibana: FakeKibana, raw: bytes, status: str, said: str) -> None:
    with pytest.raises(Refused, match=status) as raised:
        import_objects(KibanaAccess(kibana.url), raw)
    assert said in str(raised.value)


def test_a_kibana_that_starts_is_waited_for(kibana: FakeKibana) -> None:
    kibana.starting, kibana.faults.cut_before = 3, 2
    told: list[str] = []
    waits: list[float] = []
    done = import_objects(KibanaAccess(kibana.url), ALL, wait_s=600, told=told.append, pause=waits.append)
    assert done.count == COUNT
    assert len(told) == len(waits) == 5
    assert waits == sorted(waits)
    assert any("503 Kibana server is not ready yet" in line for line in told)


def test_one_that_never_starts_is_given_up(kibana: FakeKibana) -> None:
    kibana.starting = 10**9
    with pytest.raises(Unavailable, match=r"does not answer .HTTP 503 Kibana server is not ready yet"):
        import_objects(KibanaAccess(kibana.url), ALL, wait_s=0)
    with pytest.raises(Unavailable, match=r"127.0.0.1:1 does not answer \(Connection refused\)"):
        import_objects(KibanaAccess("http://127.0.0.1:1"), ALL, wait_s=0)


def test_credentials(kibana: FakeKibana) -> None:
    kibana.api_key = "c2VzYW1l"
    with pytest.raises(Refused, match=r"wants credentials. Set VIGIL_KIBANA_API_KEY"):
        import_objects(KibanaAccess(kibana.url), ALL)
    with pytest.raises(Refused, match=r"refuses the credentials") as raised:
        import_objects(KibanaAccess(kibana.url, api_key="wrong-secret"), ALL)
    assert "wrong-secret" not in str(raised.value)
    assert import_objects(KibanaAccess(kibana.url, api_key="c2VzYW1l"), ALL).count == COUNT
    kibana.api_key, kibana.user = "", ("vigil", "pass:word")
    assert import_objects(KibanaAccess(kibana.url, username="vigil", password="pass:word"), ALL).count == COUNT


def test_spaces(kibana: FakeKibana) -> None:
    with pytest.raises(Refused, match=r"has no such space"):
        import_objects(KibanaAccess(kibana.url, "ops"), ALL)
    kibana.spaces.add("ops")
    assert import_objects(KibanaAccess(kibana.url, "ops"), ALL).moved == ()
    assert {kept.space for kept in kibana.kept.values()} == {"ops"}
    # The default space gets its own copies, each with another id, and keeps them.
    first = import_objects(KibanaAccess(kibana.url, "default"), ALL)
    assert len(first.moved) == COUNT
    second = import_objects(KibanaAccess(kibana.url), ALL)
    assert (second.moved, second.overwritten) == (first.moved, COUNT)
    assert len(kibana.kept) == 2 * COUNT
    own = {key[1] for key, kept in kibana.kept.items() if kept.space == "default"}
    assert all(r["id"] in own for kept in kibana.kept.values() if kept.space == "default" for r in kept.references)


def test_what_answers_may_be_no_kibana(kibana: FakeKibana) -> None:
    page = b"<html>\x1b[31mlogin</html>"
    for reply, reason in (
        (Reply(200, body=page), "is no Kibana"),
        (Reply(302, {"Location": "/login"}), "HTTP 302 to /login"),
        (
            Reply(403, body=b'{"message":"Unable to bulk_create search"}'),
            "may not import.*Unable to bulk_create search",
        ),
        (Reply(413, body=page), "HTTP 413 <html> .31mlogin</html>"),
        (Reply(200, body=b'{"success":false,"successCount":0}'), "0 objects were taken, 0 not"),
    ):
        kibana.faults.replies = [reply]
        with pytest.raises(Refused, match=reason) as raised:
            import_objects(KibanaAccess(kibana.url), ALL)
        assert str(raised.value).isprintable()


def test_tls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server"), certificates.path("server-key"))
    fake = FakeKibana(tls=context)
    try:
        url = fake.url.replace("127.0.0.1", "localhost")
        assert import_objects(KibanaAccess(url, ca_path=certificates.path("ca"), api_key="k"), ALL).count == COUNT
        with pytest.raises(Refused, match=r"is not trusted .*VIGIL_KIBANA_CA_PATH names the file"):
            import_objects(KibanaAccess(url, api_key="k"), ALL, wait_s=600)
        with pytest.raises(Refused, match=r"is not trusted"):
            import_objects(KibanaAccess(fake.url, ca_path=certificates.path("ca")), ALL, wait_s=600)
        with pytest.raises(ConfigError, match=r"ca_path"):
            import_objects(KibanaAccess(url, ca_path=str(tmp_path / "none")), ALL)
    finally:
        fake.close()


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        ({"url": "kibana:5601"}, "is not the address of a Kibana"),
        ({"url": "http://kibana:99999"}, "is not the address of a Kibana"),
        ({"url": "http://kibana:port"}, "is not the address of a Kibana"),
        ({"url": "https://kibana", "api_key": "secret\n"}, "VIGIL_KIBANA_API_KEY: is no API key"),
        ({"url": "https://kibana", "api_key": "secretä"}, "VIGIL_KIBANA_API_KEY: is no API key"),
        ({"url": "ftp://kibana"}, "is not the address of a Kibana"),
        ({"url": "https://user:secret@kibana"}, "holds more than a host"),
        ({"url": "https://kibana?a=secret"}, "holds more than a host"),
        ({"url": "https://kibana", "space": "Ops Team"}, "is no space's id"),
        ({"url": "https://kibana", "space": "../x"}, "is no space's id"),
        ({"url": "https://kibana/s/ops", "space": "ops"}, "names a space already"),
        ({"url": "http://kibana", "api_key": "secret"}, "would travel to kibana unencrypted"),
        ({"url": "http://10.0.0.1", "username": "u", "password": "secret"}, "unencrypted"),
    ],
)
def test_addresses_that_cannot_be_used(access: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as raised:
        KibanaAccess(**access)
    assert "secret" not in str(raised.value)


def test_addresses() -> None:
    assert KibanaAccess("https://kibana/base/", "ops").base == "https://kibana/base/s/ops"
    assert KibanaAccess("https://kibana/s/ops").base == "https://kibana/s/ops"
    assert KibanaAccess("http://localhost:5601", "default", api_key="k").base == "http://localhost:5601"
    assert "secret" not in repr(KibanaAccess("https://kibana", api_key="secret", password="secret"))


def test_access_by_settings_and_what_is_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"VIGIL_KIBANA_URL: no address of Kibana"):
        access_of(Settings())
    settings = Settings(kibana_url="https://kibana", kibana_api_key="from-settings", kibana_ca_path="/ca.pem")
    found = access_of(settings, space="ops")
    assert (found.base, found.api_key, found.ca_path) == ("https://kibana/s/ops", "from-settings", "/ca.pem")
    file = tmp_path / "key"
    file.write_text("from-file\n")
    file.chmod(0o600)
    found = access_of(settings, url="https://other", api_key_file=file)
    assert (found.url, found.api_key) == ("https://other", "from-file")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"may be read by others .mode 0644."):
        access_of(settings, api_key_file=file)
    file.write_text("\n")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"is empty"):
        access_of(settings, api_key_file=file)
