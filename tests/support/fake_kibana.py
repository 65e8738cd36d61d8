"""A Kibana that takes imports of saved objects by the rules of the real one's API (9.0).

In their order: 503 in plain text while it starts; 401 without credentials that it knows; 400 without kbn-xsrf; 404 for
a space that is not there; 415 unless multipart; 400 for a file that is missing or not called .ndjson, for a line that
is no JSON, for an object that comes twice; 422 for objects of a later Kibana. Else 200, with `success` false and a list
of errors where objects were not taken. Of references those to data views and searches alone are looked up, in the file
and in the space. Where any object conflicts or lacks a reference, none is written; otherwise those whose attributes are
refused are left out. An id that another space has is given anew, and found again by its origin.
"""

from __future__ import annotations

import base64
import email
import json
import uuid
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qs, urlsplit

from tests.support.fake_http import FakeHttp, Reply, Request
from tests.support.kibana_types import KNOWN_VERSIONS, Object, is_too_new, refusal

LOOKED_UP = ("index-pattern", "search")
RESOLVABLE = ("conflict", "missing_references")
Key = tuple[str, str]


@dataclass
class Kept:
    """An object as it is stored."""

    space: str
    origin: str
    attributes: Object
    references: list[dict[str, str]]
    written: int
    """How often."""


class FakeKibana(FakeHttp):
    """`kept` holds what was imported, by type and id. `api_key`, or `user` and password, let in; without, all may."""

    api_key = ""
    user = ("", "")
    starting = 0
    """So many requests are answered that it is not ready yet."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.kept: dict[Key, Kept] = {}
        self.spaces = {"default"}

    def decide(self, request: Request) -> Reply:
        if self.starting:
            self.starting -= 1
            return Reply(503, {"Content-Type": "text/plain"}, b"Kibana server is not ready yet")
        if not self._knows(request.headers.get("Authorization")):
            return _problem(401, "Unauthorized")
        if not request.headers.get("kbn-xsrf"):
            return _problem(400, "Request must contain a kbn-xsrf header.")
        parts = urlsplit(request.path)
        space, path = _space(parts.path)
        if space not in self.spaces or path != "/api/saved_objects/_import":
            return _problem(404, "Not Found")
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if unknown := options.keys() - {"overwrite", "createNewCopies", "compatibilityMode"}:
            return _problem(400, f"[request query.{unknown.pop()}]: definition for this key is missing")
        return self._import(request, space, overwrite=options.get("overwrite") == "true")

    def _knows(self, shown: str | None) -> bool:
        known = []
        if self.api_key:
            known.append(f"ApiKey {self.api_key}")
        if self.user[0]:
            known.append("Basic " + base64.b64encode(":".join(self.user).encode()).decode())
        return not known or shown in known

    def _import(self, request: Request, space: str, overwrite: bool) -> Reply:
        if not (request.headers.get("Content-Type") or "").startswith("multipart/form-data"):
            return _problem(415, "Unsupported Media Type")
        part = _file(request)
        if part is None:
            return _problem(400, "[request body.file]: expected value of type [Stream] but got [undefined]")
        name = part.get_filename() or ""
        if not name.lower().endswith(".ndjson"):
            return _problem(400, f"Invalid file extension {name[name.rfind('.') :] if '.' in name else ''}")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        try:
            lines = [json.loads(line) for line in content.decode().split("\n") if line.strip()]
        except ValueError as error:
            return _problem(400, f"Unexpected token in JSON: {error}")
        objects = [line for line in lines if "exportedCount" not in line]
        keys = [(one["type"], one["id"]) for one in objects]
        if twice := sorted({f"{kind}:{name}" for kind, name in keys if keys.count((kind, name)) > 1}):
            return _problem(400, f"Non-unique import objects detected: [{','.join(twice)}]")
        for one in objects:
            if one["type"] in KNOWN_VERSIONS and is_too_new(one["type"], one.get("typeMigrationVersion", "")):
                return _problem(422, f'Document "{one["id"]}" belongs to a more recent version of Kibana')
        return Reply(200, body=json.dumps(_Import(self, objects, space, overwrite).done()).encode())


class _Import:
    """One import, step by step as Kibana does it."""

    def __init__(self, kibana: FakeKibana, objects: list[Object], space: str, overwrite: bool) -> None:
        self._kept, self._space, self._overwrite = kibana.kept, space, overwrite
        self._errors: list[Object] = []
        self._objects = [one for one in objects if self._is_supported(one)]
        self._ids: dict[Key, str] = {}
        self._there: set[Key] = set()

    def done(self) -> Object:
        self._look_up_references()
        for one in self._objects:
            self._find_place(one)
        written: list[Object] = []
        failed = {(str(e["type"]), str(e["id"])) for e in self._errors}
        may_write = not any(_type(e) in RESOLVABLE for e in self._errors)
        for one in self._objects:
            if _key(one) in failed:
                continue
            # What could be written is told as written, also where nothing is because of others.
            if not may_write or self._write(one):
                written.append(self._result(one))
        answer: Object = {"successCount": len(written), "success": not self._errors, "warnings": []}
        return (
            answer
            | ({"successResults": written} if written else {})
            | ({"errors": self._errors} if self._errors else {})
        )

    def _is_supported(self, one: Object) -> bool:
        if one["type"] in KNOWN_VERSIONS:
            return True
        self._fail(one, {"type": "unsupported_type"})
        return False

    def _look_up_references(self) -> None:
        given = {_key(one) for one in self._objects}
        for one in self._objects:
            missing: list[dict[str, str]] = []
            for reference in _references(one):
                key = (reference["type"], reference["id"])
                stored = self._kept.get(key)
                found = key in given or (stored is not None and stored.space == self._space)
                named = {"type": key[0], "id": key[1]}
                if key[0] in LOOKED_UP and not found and named not in missing:
                    missing.append(named)
            if missing:
                self._fail(one, {"type": "missing_references", "references": missing})

    def _find_place(self, one: Object) -> None:
        kind, name = _key(one)
        stored = self._kept.get((kind, name))
        if stored is not None and stored.space != self._space:
            same = (k for k, v in self._kept.items() if v.space == self._space and (k[0], v.origin) == (kind, name))
            known = next(same, None)
            self._ids[kind, name] = known[1] if known else str(uuid.uuid4())
            stored = self._kept.get(known) if known else None
        else:
            self._ids[kind, name] = name
        if stored is None:
            return
        if self._overwrite:
            self._there.add((kind, name))
        else:
            self._fail(one, {"type": "conflict"})

    def _write(self, one: Object) -> bool:
        attributes = one["attributes"]
        assert isinstance(attributes, dict)
        if why := refusal(str(one["type"]), attributes):
            self._fail(one, {"type": "unknown", "statusCode": 400, "error": "Bad Request", "message": why})
            return False
        kind, name = _key(one)
        target = (kind, self._ids[kind, name])
        before = self._kept.get(target)
        references = [
            {**reference, "id": self._ids.get((reference["type"], reference["id"]), reference["id"])}
            for reference in _references(one)
        ]
        self._kept[target] = Kept(self._space, name, attributes, references, 1 + (before.written if before else 0))
        return True

    def _result(self, one: Object) -> Object:
        kind, name = _key(one)
        found: Object = {"type": kind, "id": name, "meta": {"title": _title(one)}, "managed": False}
        if (kind, name) in self._there:
            found["overwrite"] = True
        if self._ids[kind, name] != name:
            found["destinationId"] = self._ids[kind, name]
        return found

    def _fail(self, one: Object, error: Object) -> None:
        self._errors.append({"type": one["type"], "id": one["id"], "meta": {"title": _title(one)}, "error": error})


def _space(path: str) -> tuple[str, str]:
    if not path.startswith("/s/"):
        return "default", path
    name, _, rest = path.removeprefix("/s/").partition("/")
    return name, f"/{rest}"


def _file(request: Request) -> Message | None:
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    whole = email.message_from_bytes(head + request.body)
    parts = whole.get_payload() if whole.is_multipart() else []
    assert isinstance(parts, list)
    for part in parts:
        assert isinstance(part, Message)
        if part.get_param("name", header="content-disposition") == "file" and part.get_filename() is not None:
            return part
    return None


def _problem(status: int, message: str) -> Reply:
    names = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 415: "Unsupported Media Type"}
    body = {"statusCode": status, "error": names.get(status, "Unprocessable Entity"), "message": message}
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _key(one: Object) -> Key:
    return str(one["type"]), str(one["id"])


def _type(error: Object) -> object:
    inner = error["error"]
    assert isinstance(inner, dict)
    return inner["type"]


def _references(one: Object) -> list[dict[str, str]]:
    found = one.get("references", [])
    assert isinstance(found, list)
    return found


def _title(one: Object) -> object:
    attributes = one["attributes"]
    assert isinstance(attributes, dict)
    return attributes.get("title", "")
