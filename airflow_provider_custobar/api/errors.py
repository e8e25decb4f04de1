"""Everything that can go wrong, and what can be done about it: the one table that everybody reads.

::

    CustobarError                   may pass, unless it is one of these
    ├── InvalidArgumentError        final        wrong input, found before any request
    ├── TransportError              may pass     no complete answer arrived
    │   └── CertificateError        final        the server's certificate is not trusted
    ├── MalformedResponseError      may pass     a success status with a body that is not what was asked for
    ├── ProtocolError               final        the answers contradict each other or leave the origin
    ├── ExpiredCursorError          start over   the next page's address is not taken any more
    ├── UploadRefusedError          final        an upload answered with a success status and an error
    ├── ResponseError               final        an answer with an error status
    │   ├── RateLimitedError        may pass     429; after Retry-After
    │   ├── ServerError             may pass     5xx
    │   ├── AuthenticationError     final        401
    │   ├── AccessDeniedError       final        403
    │   ├── NotFoundError           final        404
    │   ├── PayloadTooLargeError    final        413
    │   └── BadRequestError         final        any other 4xx
    ├── StoreChangedError           may pass     a shop's customers came and went while they were read
    ├── TargetError                 final        no such bucket, or an object that must not be replaced
    │   └── LostError               start over   what an earlier attempt left in the store is gone
    ├── StoreError                  may pass     a store has no such object to read, or does not give it whole
    │   ├── NotThereError           may pass     nothing has that name, or fits that pattern
    │   └── RefusedError            may pass     the store lets nobody look with these credentials
    ├── SupersededError             final        Airflow has given the task to another attempt
    ├── UnreadableStateError        may pass     Airflow does not tell what an earlier attempt has left
    ├── EmptyExportError            may pass     nothing to export, and on_empty="fail"
    ├── IncompleteWindowError       may pass     the window is not over yet, and on_incomplete="fail"
    ├── ColumnTypeError             final        a value that its column cannot hold
    ├── MissingExtraError           final        a package that is not installed
    ├── LoadError                   final        rows, or a table, that do not fit
    ├── DatabaseError               may pass     the database failed, or is not there
    ├── BusyError                   may pass     another attempt at the same load is at work
    ├── FileError                   may pass     a file that cannot be read to its end, as it is now
    ├── InvalidRowsError            final        rows that must not be sent
    ├── TooManyRemovedError         final        more rows are gone than max_removed allows
    ├── DigestMismatchError         final        other rows than expected_digest stands for
    ├── PartlySentError             final        rows that must not be sent twice may have been sent
    └── ChangesError                final        the file of what was uploaded before cannot be used

Texts name the resource and the way out; they never hold a record or a token.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar

_LONGEST_VALUE = 120
_MOST_NAMES = 10
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,59}")


class Fate(Enum):
    """What another try at what ended in an error would bring."""

    #: The same again, also in another attempt of the task.
    FINAL = "is final"
    #: Perhaps an answer: the request is tried again, and so is the task, which goes on where it stopped.
    TRANSIENT = "may pass"
    #: Perhaps an answer, but from the beginning only: what came so far is of no use.
    START_OVER = "needs a fresh start"


class CustobarError(Exception):
    """Any failure of this provider. ``may_have_arrived``: the server may have done what the request was for."""

    fate: ClassVar[Fate] = Fate.TRANSIENT
    may_have_arrived: bool = False

    def add_advice(self, sentence: str) -> None:
        """Append a sentence to the message."""
        self.args = (f"{self} {sentence}", *self.args[1:])


class InvalidArgumentError(CustobarError, ValueError):
    """An argument that no request can be made of.

    ``argument`` is its name, ``value`` what was given (``None`` where it must not be shown).
    """

    fate = Fate.FINAL

    def __init__(self, argument: str, value: object, accepted: str, *, secret: bool = False) -> None:
        self.argument = argument
        self.value = None if secret else value
        shown = "(not shown)" if secret else shorten(repr(value))
        super().__init__(f"{argument}={shown} is not accepted: {accepted}")


class MissingExtraError(CustobarError):
    """A package that only some files need is not installed. The text has the pip line."""

    fate = Fate.FINAL


class TransportError(CustobarError):
    """No complete answer. ``may_have_arrived`` is False only where the server cannot have seen the request."""

    def __init__(self, message: str, *, may_have_arrived: bool = True) -> None:
        self.may_have_arrived = may_have_arrived
        super().__init__(message)


class CertificateError(TransportError):
    """The server's certificate is not trusted. The next attempt would find the same."""

    fate = Fate.FINAL


class MalformedResponseError(CustobarError):
    """A success status with a body that is not what was asked for, such as a proxy's page or text cut short."""

    may_have_arrived = True


class ProtocolError(CustobarError):
    """Answers that cannot belong to one another: a repeated or foreign next page, a changed CSV header."""

    fate = Fate.FINAL


class ExpiredCursorError(CustobarError):
    """The address of the next page, which the API itself has named, is not taken any more; only the first page's is."""

    fate = Fate.START_OVER


class UploadRefusedError(CustobarError):
    """A 2xx answer to an upload whose body holds an ``error``: Custobar took nothing of the batch."""

    fate = Fate.FINAL


class ResponseError(CustobarError):
    """An answer with an error status.

    ``status`` is the HTTP status, ``reason`` what the server said, ``retry_after`` its Retry-After in seconds.
    """

    fate = Fate.FINAL

    def __init__(self, message: str, *, status: int, reason: str, retry_after: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(message)


class RateLimitedError(ResponseError):
    """429: too many requests."""

    fate = Fate.TRANSIENT


class ServerError(ResponseError):
    """5xx: the server failed."""

    fate = Fate.TRANSIENT
    may_have_arrived = True


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


def fate_of(error: BaseException) -> Fate:
    """The fate of any error: what is not ours, such as an object store's, may pass."""
    return error.fate if isinstance(error, CustobarError) else Fate.TRANSIENT


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


def is_refusal(error: ResponseError) -> bool:
    """Whether the server does not take what was asked, whoever asks and whenever."""
    is_final = 400 <= error.status < 500 and error.fate is Fate.FINAL
    return is_final and not isinstance(error, (AuthenticationError, AccessDeniedError))


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
