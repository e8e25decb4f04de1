"""What is kept for a later attempt says of which request it is, and how old."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

#: The API's cursors, and what stores keep of unfinished things, may not live longer.
LONGEST_AGE = timedelta(hours=24)


def fingerprint_of(parts: object) -> str:
    """A text that changes with any of ``parts``, which are JSON values."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def sealed(fingerprint: str, body: object, *, now: datetime | None = None) -> dict[str, Any]:
    """``body`` as JSON values, which is all that Airflow takes (no tuples), with what :func:`unsealed` looks at."""
    saved_at = (now or datetime.now(UTC)).isoformat()
    return {"fingerprint": fingerprint, "saved_at": saved_at, "body": msgspec.json.decode(msgspec.json.encode(body))}


def unsealed(
    document: Any,
    fingerprint: str | None,
    kind: type[T],
    *,
    now: datetime | None = None,
    longest_age: timedelta = LONGEST_AGE,
) -> tuple[T, bool]:
    """The body of what :func:`sealed` made, as a ``kind``, and whether it counts: it is of this request (None for any), and
    not too old.

    :raises ValueError: it is damaged.
    """
    try:
        age = (now or datetime.now(UTC)) - datetime.fromisoformat(document["saved_at"])
        is_of_request = fingerprint in (None, document["fingerprint"])
        return msgspec.convert(document["body"], kind), is_of_request and age < longest_age
    except (KeyError, TypeError, msgspec.MsgspecError) as error:
        raise ValueError(f"it is damaged: {error!r}") from error
