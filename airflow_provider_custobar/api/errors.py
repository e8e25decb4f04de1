"""Everything that can go wrong with Custobar, sorted by what can be done about it.

::

    CustobarError
    ├── InvalidArgumentError        wrong input, found before any request; final
    ├── TransportError              no complete answer arrived; tried again
    │   └── CertificateError        the server's certificate is not trusted; final
    ├── MalformedResponseError      a 2xx answer whose body cannot be read; tried again
    ├── ProtocolError               the answers contradict each other or leave the origin; final
    ├── ExpiredCursorError          the place where an earlier attempt stopped is gone; start over
    ├── UploadRefusedError          an upload answered with a success status and an error; final
    └── ResponseError               an answer with an error status
        ├── RateLimitedError        429; tried again after Retry-After
        ├── ServerError             5xx; tried again
        ├── AuthenticationError     401; final
        ├── AccessDeniedError       403; final
        ├── NotFoundError           404; final
        ├── PayloadTooLargeError    413; final
        └── BadRequestError         any other 4xx; final

Texts name the resource and the way out; they never hold a record or a token.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

_LONGEST_VALUE = 120
_MOST_NAMES = 10
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,59}")


class CustobarError(Exception):
    """Any failure of this provider.

    ``retriable`` tells whether the same request may succeed later, ``final`` whether even another attempt of the whole task
    would only find the same.
    """

    retriable: ClassVar[bool] = False
    final: ClassVar[bool] = False

    def add_advice(self, sentence: str) -> None:
        """Append a sentence to the message."""
        self.args = (f"{self} {sentence}", *self.args[1:])


class InvalidArgumentError(CustobarError, ValueError):
    """An argument that no request can be made of.

    ``argument`` is its name, ``value`` what was given (``None`` where it must not be shown).
    """

    final = True

    def __init__(self, argument: str, value: object, accepted: str, *, secret: bool = False) -> None:
        self.argument = argument
        self.value = None if secret else value
        shown = "(not shown)" if secret else shorten(repr(value))
        super().__init__(f"{argument}={shown} is not accepted: {accepted}")


class TransportError(CustobarError):
    """No complete answer. ``may_have_arrived`` is False only where the server cannot have seen the request."""

    retriable = True

    def __init__(self, message: str, *, may_have_arrived: bool = True) -> None:
        self.may_have_arrived = may_have_arrived
        super().__init__(message)


class CertificateError(TransportError):
    """The server's certificate is not trusted. The next attempt would find the same."""

    retriable = False
    final = True


class MalformedResponseError(CustobarError):
    """A success status with a body that is not what was asked for, such as a proxy's page or text cut short."""

    retriable = True


class ProtocolError(CustobarError):
    """Answers that cannot belong to one another: a repeated or foreign next page, a changed CSV header."""

    final = True


class ExpiredCursorError(CustobarError):
    """The place where the earlier attempt stopped is not there any more; only the first page is."""


class UploadRefusedError(CustobarError):
    """A 2xx answer to an upload whose body holds an ``error``: Custobar took nothing of the batch."""

    final = True


class ResponseError(CustobarError):
    """An answer with an error status.

    ``status`` is the HTTP status, ``reason`` what the server said, ``retry_after`` its Retry-After in seconds.
    """

    final = True

    def __init__(self, message: str, *, status: int, reason: str, retry_after: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(message)


class RateLimitedError(ResponseError):
    """429: too many requests."""

    retriable = True
    final = False


class ServerError(ResponseError):
    """5xx: the server failed."""

    retriable = True
    final = False


class AuthenticationError(ResponseError):
    """401: the token is missing, wrong or expired."""


class AccessDeniedError(ResponseError):
    """403: the token is not allowed to make this call."""


class NotFoundError(ResponseError):
    """404: no such path on this server."""


class PayloadTooLargeError(ResponseError):
    """413: the request body is larger than the server takes."""


class BadRequestError(ResponseError):
    """Any other 4xx: the server refuses the request as it stands."""


def as_document(error: CustobarError) -> dict[str, str | int | float | None]:
    """``error`` as JSON, for a process that an exception cannot be passed to; :func:`from_document` reads it."""
    document: dict[str, str | int | float | None] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, ResponseError):
        document |= {"status": error.status, "reason": error.reason, "retry_after": error.retry_after}
    return document


def from_document(document: Mapping[str, Any]) -> CustobarError:
    """The error that ``document`` was made of, without the argument and value of a refused one."""
    known = {kind.__name__: kind for kind in _kinds(CustobarError)}
    kind = known.get(document["type"], CustobarError)
    message = str(document["message"])
    if issubclass(kind, ResponseError):
        return kind(message, status=document["status"], reason=document["reason"], retry_after=document["retry_after"])
    error = kind.__new__(kind)
    error.args = (message,)
    return error


def _kinds(kind: type[CustobarError]) -> Iterator[type[CustobarError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def whole_number(argument: str, value: object, *, least: int, most: int | None = None, reason: str = "") -> int:
    """``value`` as a whole number; a text is taken too, because templates give texts.

    :raises InvalidArgumentError: no whole number, or outside the limits; ``reason`` says where these come from.
    """
    try:
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else least - 1
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        limits = f", {least:,} at least" if most is None else f" from {least:,} to {most:,}"
        raise InvalidArgumentError(argument, value, f"give a whole number{limits}{reason}")
    return number


def shorten(text: str, longest: int = _LONGEST_VALUE) -> str:
    """Cut ``text`` so that a message stays one readable line."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def field_name(name: object, place: int | None = None) -> str:
    """What a message calls a field whose name came with the data; ``place`` counts from 1.

    The first line of a file without a header is a person. So only what looks like a field's name is shown.
    """
    if looks_like_a_field(name):
        return repr(name)
    return f"column {place}" if place else "a field whose name has other characters than letters, digits, _ and ."


def field_names(names: Iterable[object], *, of: Iterable[object] = ()) -> str:
    """The same of several, ten at most. ``of`` is all of the header: with one other name in it, it may be a person's row."""
    names = list(names)
    shown = [str(name) for name in names if looks_like_a_field(name)] if all(map(looks_like_a_field, of)) else []
    told = shown[:_MOST_NAMES]
    if len(shown) > _MOST_NAMES:
        told.append(f"{len(shown) - _MOST_NAMES:,} more")
    if len(shown) < len(names):
        told.append(f"{len(names) - len(shown):,} whose names are not shown")
    return ", ".join(told) or "none"


def looks_like_a_field(name: object) -> bool:
    return isinstance(name, str) and _FIELD_NAME.fullmatch(name) is not None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for a name close to a known one, else an empty text."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""
