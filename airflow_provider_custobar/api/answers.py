"""What the server's answers mean: a status as an error, a body as a reason, a Retry-After as seconds."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.config import ClientConfig

_REASON_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def error_of(reply: Reply, subject: str, config: ClientConfig) -> errors.ResponseError:
    """The error that an answer's status means, with what the server said and what to do about it."""
    status = reply.status
    kind, advice = _KINDS.get(
        status, (errors.ServerError, "the server failed; if it stays so, ask Custobar") if status >= 500 else _REFUSED
    )
    reason = reason_of(reply, config)
    said = f' ("{reason}")' if reason else ""
    return kind(
        f"Custobar answered {status} for {subject}{said}: {advice}.",
        status=status,
        reason=reason,
        retry_after=retry_after_seconds(reply.headers.get("retry-after")),
    )


_REFUSED: tuple[type[errors.ResponseError], str] = (
    errors.BadRequestError,
    "the request is refused as it stands; check its arguments against what the server said",
)
_ACCESS_ADVICE = (
    "a scope must name this very path, with its trailing slash (one entry for each resource), and personal keys expire after"
    " 8 hours"
)
_KINDS: Mapping[int, tuple[type[errors.ResponseError], str]] = {
    401: (errors.AuthenticationError, f"check the token in the connection's password; {_ACCESS_ADVICE}"),
    403: (errors.AccessDeniedError, f"the token may not do this; {_ACCESS_ADVICE}"),
    404: (errors.NotFoundError, "there is no such path; check the connection's host and the resource"),
    413: (errors.PayloadTooLargeError, "the request is too large; lower batch_size or max_batch_bytes"),
    429: (
        errors.RateLimitedError,
        "too many requests; lower requests_per_minute or share an Airflow pool between tasks",
    ),
}


def reason_of(reply: Reply, config: ClientConfig) -> str:
    """The text under ``error.reason``, which both vendor plugins read; else the start of a body that is plain text."""
    try:
        document = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        text = config.redact(reply.body.decode("utf-8", "replace"))
        # Markup says nothing to a reader, and broken JSON may be records.
        return "" if text.lstrip()[:1] in ("<", "{", "[") else errors.shorten(text, _REASON_LENGTH)
    error = document.get("error") if isinstance(document, dict) else None
    reason = (error.get("reason") or error.get("message")) if isinstance(error, dict) else error
    return errors.shorten(config.redact(str(reason)), _REASON_LENGTH) if isinstance(reason, (str, list)) else ""


def no_answer(config: ClientConfig, cause: str) -> str:
    """The message of a :class:`~airflow_provider_custobar.api.errors.TransportError`."""
    return f"No complete answer from {config.base_url} ({cause}): check the connection's host, and the network."


def untrusted(config: ClientConfig, cause: str) -> str:
    """The message of a :class:`~airflow_provider_custobar.api.errors.CertificateError`."""
    return (
        f"The certificate of {config.base_url} is not trusted ({cause}): check the connection's host; a CA bundle of your own"
        ' goes into the connection\'s extra "verify".'
    )


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
