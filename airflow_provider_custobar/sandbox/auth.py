"""Who calls: tokens with scopes and expiry, Basic for a user (S4, S5, S8, S9; statuses are our choice)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.errors import ApiError
from airflow_provider_custobar.sandbox.settings import SandboxSettings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
#: Personal keys live for eight hours (S9).
PERSONAL_LIFETIME = timedelta(hours=8)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

Scope = tuple[str, str]


@dataclass(frozen=True)
class Token:
    """An API token; ``scopes`` None means everything, else exact pairs of method and path (S4, S9)."""

    id: str
    value: str
    name: str
    owner_id: str
    created_by: str
    created_at: datetime
    scopes: tuple[Scope, ...] | None = None
    expires_at: datetime | None = None

    @property
    def hint(self) -> str:
        """Return the token as the vendor masks it (S5)."""
        return f"{self.value[:3]}***{self.value[-3:]}"


class Identities:
    """All tokens and the one user of the tenant."""

    def __init__(self, clock: Clock, *, salt: str) -> None:
        self._clock = clock
        self._salt = salt
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._tokens: dict[str, Token] = {}
        self.user = "sandbox@example.com"
        self.password = f"pw-{self._digest('password')[:12]}"
        self.user_id = "users/1"

    def now(self) -> datetime:
        """Return the present instant of the tenant's clock."""
        return self._clock.now()

    def object_id(self) -> str:
        """Make an id in the look of S5, S6: 12 lower-case base-36 characters."""
        number = int(self._digest(f"id {next(self._numbers)}")[:20], 16)
        text = ""
        for _ in range(12):
            number, digit = divmod(number, 36)
            text += "0123456789abcdefghijklmnopqrstuvwxyz"[digit]
        return text

    def create(
        self,
        name: str,
        *,
        owner_id: str | None = None,
        scopes: tuple[Scope, ...] | None = None,
        lifetime: timedelta | None = None,
    ) -> Token:
        """Create a token: ``API`` and 37 upper-case letters and digits (S5)."""
        now = self._clock.now()
        number = int(self._digest(f"token {next(self._numbers)}"), 16)
        value = "API"
        for _ in range(37):
            number, letter = divmod(number, len(_ALPHABET))
            value += _ALPHABET[letter]
        token = Token(
            id=self.object_id(),
            value=value,
            name=name,
            owner_id=owner_id or self.user_id,
            created_by=self.user_id,
            created_at=now,
            scopes=scopes,
            expires_at=None if lifetime is None else now + lifetime,
        )
        with self._lock:
            self._tokens[value] = token
        return token

    def caller(self, authorization: str | None, settings: SandboxSettings) -> Token:
        """Return who calls, or refuse with 401; Basic acts as an unscoped token of the user."""
        scheme, _, credentials = (authorization or "").strip().partition(" ")
        scheme = scheme.lower()
        if not scheme:
            raise self._refusal("Authentication credentials were not provided.")
        if scheme not in settings.auth_schemes:
            raise self._refusal(f"Authentication scheme '{scheme[:20]}' is not supported.")
        if scheme == "basic":
            return self._basic(credentials.strip())
        token = self._tokens.get(credentials.strip())
        if token is None:
            raise self._refusal("Invalid token.")
        if token.expires_at is not None and token.expires_at <= self._clock.now():
            raise self._refusal("The token has expired.")
        return token

    def check_scope(self, token: Token, method: str, path: str, status: int) -> None:
        """Refuse a call outside the token's scopes; the path must match exactly, slash included (S9)."""
        if token.scopes is not None and (method, path) not in token.scopes:
            raise ApiError(status, f"The token's scopes do not allow {method} {path}.")

    def _basic(self, credentials: str) -> Token:
        try:
            text = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise self._refusal("Invalid basic authorization header.") from None
        if text != f"{self.user}:{self.password}":
            raise self._refusal("Invalid username or password.")
        return Token("", self.user, "", self.user_id, self.user_id, datetime(2026, 1, 1, tzinfo=UTC))

    @staticmethod
    def _refusal(reason: str) -> ApiError:
        return ApiError(401, reason, headers={"WWW-Authenticate": 'Bearer realm="custobar"'})

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self._salt}:{text}".encode()).hexdigest()
