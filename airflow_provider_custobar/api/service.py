"""What differs between the services that flows talk to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Service:
    """One kind of server.

    ``domain`` is where tenants' hosts are, ``tenant`` what a tenant is called, ``example`` one's short name. ``auth_schemes``
    are those of a token, the first one by default; ``password_advice`` says what the connection's password is for.
    ``test_path`` is a GET that does no harm.

    ``advice`` says what to do about an HTTP status; 400 stands for all other 4xx, 500 for all 5xx. ``login_advice`` takes the
    place of that for 401 where the connection has a login. ``reason_of`` finds what the server said in the decoded body of an
    error. ``pause_of`` tells from an answer's headers (names in lower case) for how many seconds nobody should ask again; None
    if that is left to Retry-After.
    """

    name: str
    domain: str
    tenant: str
    example: str
    auth_schemes: tuple[str, ...]
    password_advice: str
    test_path: str
    advice: Mapping[int, str] = field(repr=False)
    login_advice: str
    reason_of: Callable[[Any], object] = field(repr=False)
    pause_of: Callable[[Mapping[str, str]], float | None] = field(default=lambda _: None, repr=False)


_ACCESS_ADVICE = (
    "a scope must name this very path, with its trailing slash (one entry for each resource), and personal keys expire after"
    " 8 hours"
)


def _custobar_reason(document: Any) -> object:
    """The text under ``error.reason``, which both vendor plugins read."""
    error = document.get("error") if isinstance(document, dict) else None
    return (error.get("reason") or error.get("message")) if isinstance(error, dict) else error


CUSTOBAR = Service(
    name="Custobar",
    domain="custobar.com",
    tenant="company",
    example="acme",
    auth_schemes=("Token", "Bearer"),
    password_advice="put the API token into the connection's password",  # noqa: S106 - a text about it
    test_path="/api/data/customers/?limit=1&fields=external_id",
    advice=MappingProxyType(
        {
            400: "the request is refused as it stands; check its arguments",
            401: f"check the token in the connection's password; {_ACCESS_ADVICE}",
            403: f"the token may not do this; {_ACCESS_ADVICE}",
            404: "there is no such path; check the connection's host and the resource",
            413: "the request is too large; lower batch_size or max_batch_bytes",
            429: "too many requests; lower requests_per_minute or share an Airflow pool between tasks",
            500: "the server failed; if it stays so, ask Custobar",
        }
    ),
    login_advice="check the connection's login and password: a user's own, or no login and an API token as the password",
    reason_of=_custobar_reason,
)
