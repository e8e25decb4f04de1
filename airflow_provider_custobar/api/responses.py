"""What the server's answers mean: a status as an error, a body as a reason, a Retry-After as seconds."""

from __future__ import annotations

import codecs
import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.config import ClientConfig

_REASON_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Response:
    """One complete HTTP answer. Header names are in lower case.

    ``body`` is decoded; it is empty where that of an error could not be read. ``is_ended`` is False where nothing but the end
    of the connection told its end: whether it is whole, only the body itself can show.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_ended: bool = True

    def json(self) -> Any:
        """What the body says; a byte order mark, which some servers put before it, is no part of JSON.

        :raises msgspec.DecodeError: it is no JSON.
        :raises UnicodeDecodeError: nor UTF-8.
        """
        return msgspec.json.decode(self.body.removeprefix(codecs.BOM_UTF8))


def error_of(reply: Response, subject: str, config: ClientConfig) -> errors.ResponseError:
    """The error that an answer's status means, with what the server said and what to do about it."""
    status, service = reply.status, config.service
    reason = reason_of(reply, config)
    said = f' ("{reason}")' if reason else ""
    retry_after = retry_after_seconds(reply.headers.get("retry-after"))
    who = "A proxy" if status == 407 else service.name
    return _KINDS.get(status, errors.ServerError if status >= 500 else errors.BadRequestError)(
        f"{who} answered {status} for {subject}{said}: {_advice(status, config)}.",
        status=status,
        reason=reason,
        retry_after=service.pause_of(reply.headers) if retry_after is None else retry_after,
    )


_KINDS: Mapping[int, type[errors.ResponseError]] = {
    401: errors.AuthenticationError,
    403: errors.AccessDeniedError,
    404: errors.NotFoundError,
    413: errors.PayloadTooLargeError,
    429: errors.RateLimitedError,
}


def _advice(status: int, config: ClientConfig) -> str:
    service = config.service
    if status == 401 and config.authorization.startswith("Basic "):
        return service.login_advice
    if status == 407:
        return "put its user and password into the proxy's URL, as in HTTPS_PROXY=http://user:password@host:port (or ALL_PROXY)"
    if status < 400:
        return "it is a redirect that names no address; check the connection's host"
    return service.advice.get(status, service.advice[500 if status >= 500 else 400])


def reason_of(reply: Response, config: ClientConfig) -> str:
    """What the server said: where its errors have that, else the start of a body that is plain text."""
    try:
        document = reply.json()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        text = config.redact(reply.body.decode("utf-8", "replace"))
        # Markup says nothing to a reader, and broken JSON may be records.
        return "" if text.lstrip()[:1] in ("<", "{", "[") else errors.shorten(text, _REASON_LENGTH)
    reason = config.service.reason_of(document)
    return errors.shorten(config.redact(str(reason)), _REASON_LENGTH) if isinstance(reason, (str, list)) else ""


def retry_after_seconds(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or an HTTP date (RFC 9110). None if absent or unreadable."""
    text = (value or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (OverflowError, TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
