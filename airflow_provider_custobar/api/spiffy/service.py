"""What Spiffy Stores' answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from airflow_provider_custobar.api.service import Service


class _Limit(msgspec.Struct):
    """What the header ``X-Ratelimit`` holds (its keys are those that Spiffy Stores' own Ruby client reads)."""

    remaining: int
    until: datetime
    period: float = 300.0


def pause_of(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds until requests are granted again, where none is left; else None.

    A header that is missing or cannot be read says nothing. Of several limits the longest pause counts: the server joins them
    by line ends, of which HTTP clients make commas or spaces. No pause is longer than the limit's period, in case the clocks
    differ.
    """
    pauses = []
    for limit in _limits(headers.get("x-ratelimit", "")):
        if limit.remaining <= 0:
            until = limit.until if limit.until.tzinfo else limit.until.replace(tzinfo=UTC)
            pauses.append(min(max(0.0, (until - (now or datetime.now(UTC))).total_seconds()), limit.period))
    return max(pauses, default=None)


def _limits(text: str) -> Iterator[_Limit]:
    decoder = json.JSONDecoder()
    place = 0
    while (place := text.find("{", place)) >= 0:
        try:
            document, place = decoder.raw_decode(text, place)
            yield msgspec.convert(document, _Limit)
        except json.JSONDecodeError:
            return
        except msgspec.ValidationError:
            continue


def _reason_of(document: Any) -> object:
    """``errors`` is one text, or a list of messages by field (as in Spiffy Stores' Ruby client)."""
    errors = document.get("errors") if isinstance(document, dict) else None
    if isinstance(errors, dict):
        return "; ".join(
            f"{field} {', '.join(map(str, messages)) if isinstance(messages, list) else messages}"
            for field, messages in errors.items()
        )
    return errors


SPIFFY_STORES = Service(
    name="Spiffy Stores",
    domain="spiffystores.com",
    tenant="store",
    example="mystore",
    auth_schemes=("Bearer",),
    password_advice=(  # noqa: S106 - a text about it
        "put the private app's API key into the connection's login and its API password into the password; without a login,"
        " the password is an OAuth token"
    ),
    test_path="/api/store.json",
    advice=MappingProxyType(
        {
            400: "the request is refused as it stands; check its arguments",
            401: "check the OAuth token in the connection's password; a private app's API key goes into the login",
            403: "the private app may not do this; check what it is allowed to read and write",
            404: "there is no such path or record; check the connection's host, and the customer's id",
            413: "the request is too large",
            422: "the store does not take this customer; check its fields",
            429: "too many requests; lower requests_per_minute or share an Airflow pool between tasks",
            500: "the server failed; if it stays so, ask Spiffy Stores",
        }
    ),
    login_advice="check the API key in the connection's login and the API password in its password",
    reason_of=_reason_of,
    pause_of=pause_of,
)
