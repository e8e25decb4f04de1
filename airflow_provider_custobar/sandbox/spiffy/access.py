"""Who may call, and in which form (P2)."""

from __future__ import annotations

import hashlib
import hmac

from werkzeug import Request

from airflow_provider_custobar.sandbox.spiffy.answers import RefusedError
from airflow_provider_custobar.sandbox.spiffy.settings import SpiffyStoresSettings

_JSON = "application/json"


class Credentials:
    """A private app's key and password, and an OAuth token; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.key, self.password, self.access_token = (
            hashlib.sha256(f"spiffy:{seed}:{name}".encode()).hexdigest()[:32] for name in ("key", "password", "token")
        )

    def caller(self, request: Request, settings: SpiffyStoresSettings) -> str:
        """Return what the log shows of the caller: the key, or the token's beginning; refuse others with 401."""
        given = request.authorization
        if given is not None and given.type in settings.auth_schemes:
            if given.type == "bearer" and _same(given.token, self.access_token):
                return f"{self.access_token[:4]}..."
            if given.type == "basic" and _same(given.username, self.key) and _same(given.password, self.password):
                return self.key
        headers = {"WWW-Authenticate": 'Basic realm="Application"'}
        style = settings.auth_failure_body
        text = "HTTP Basic: Access denied." if style == "text" else "Invalid API key or access token."
        raise RefusedError(401, text, headers=headers, style=style)


def check_forms(request: Request, settings: SpiffyStoresSettings) -> None:
    """Refuse a request that does not say it wants JSON with 406, one that does not say it sends JSON with 415."""
    accepted = request.accept_mimetypes
    named = any(value == _JSON and quality > 0 for value, quality in accepted)
    if settings.accept != "off" and not named:
        matches = not accepted.provided or accepted.quality(_JSON) > 0
        if settings.accept == "strict" or not matches:
            raise RefusedError(406, "The header Accept must be application/json.")
    has_body = request.method in ("POST", "PUT")
    if settings.content_type == "off" or (settings.content_type == "body" and not has_body):
        return
    if request.mimetype != _JSON:
        raise RefusedError(415, "The header Content-Type must be application/json.")


def _same(given: str | None, expected: str) -> bool:
    return hmac.compare_digest((given or "").encode(), expected.encode())
