"""A webhook that verifies what Standard Webhooks 1.0.0 asks to verify, and keeps each id once.

It answers 401 to a signature that does not fit or a time that is too far off, 400 to a body that is no JSON object,
422 to a known id that comes with another body, and 200 to one that it knows, without doing anything again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

from tests.support.fake_http import FakeHttp, Reply, Request

TOLERANCE_S = 300


class FakeWebhook(FakeHttp):
    """`secret` as it is given to senders; None: signatures are not looked at. `kept` are bodies by id."""

    def __init__(self, secret: str | None = None) -> None:
        super().__init__()
        self.secret = secret
        self.kept: dict[str, bytes] = {}

    def decide(self, request: Request) -> Reply:
        if not self._is_signed(request):
            return Reply(401)
        try:
            content = json.loads(request.body)
        except ValueError:
            return Reply(400)
        key = request.headers.get("webhook-id")
        if not isinstance(content, dict) or key is None or request.headers.get("Idempotency-Key") != key:
            return Reply(400)
        if request.headers.get("Content-Type") != "application/json":
            return Reply(415)
        if self.kept.setdefault(key, request.body) != request.body:
            return Reply(422)
        return Reply(200, body=b'{"ok":true}')

    def reset(self) -> None:
        super().reset()
        self.kept.clear()
        self.secret = None

    def _is_signed(self, request: Request) -> bool:
        if self.secret is None:
            return True
        key = (
            base64.b64decode(self.secret.removeprefix("whsec_"))
            if self.secret.startswith("whsec_")
            else self.secret.encode()
        )
        at = request.headers.get("webhook-timestamp") or ""
        if not at.isdecimal() or abs(time.time() - int(at)) > TOLERANCE_S:
            return False
        signed = f"{request.headers.get('webhook-id')}.{at}.".encode() + request.body
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        given = (request.headers.get("webhook-signature") or "").split(" ")
        return any(hmac.compare_digest(f"v1,{wanted}", one) for one in given)
