"""A row as Custobar takes it, or the reasons why it does not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_custobar.upload.plan import ENVELOPE_BYTES, UploadPlan


class TextRow(dict[str, str]):
    """A row whose values are texts, as CSV has them: typed values are made of them."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in the place of a row and is none; ``content`` is what it is, as far as that can be told."""

    reason: str
    content: object


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was set aside. ``position`` counts from 0; ``row`` is the row as it came in."""

    position: int
    reasons: Sequence[str]
    row: object

    def as_json(self) -> bytes:
        """One line of a rejects file. Whatever the row holds, it can be written: what JSON has no form for becomes text."""
        row = self.row.content if isinstance(self.row, Unreadable) else self.row
        document = {"position": self.position, "reasons": self.reasons, "row": row}
        encode = _encode_as_text if _holds_no_number(row) else _encode_readable
        try:
            return encode(document)
        except ValueError:
            # Half a character (a lone surrogate) has no form in UTF-8; the standard library escapes it.
            return json.dumps(_with_text_keys(document), default=_readable).encode()


@dataclass(frozen=True, slots=True)
class GoodRow:
    """A row as it is sent: the bytes of one JSON object. ``identity`` is what Custobar would know it by, where it would."""

    position: int
    data: bytes
    identity: str | None


def check_row(position: int, row: object, plan: UploadPlan) -> GoodRow | Rejected:
    """The row as Custobar takes it, or the reasons why it does not."""
    if isinstance(row, Unreadable):
        return Rejected(position, [row.reason], row)
    if not isinstance(row, Mapping):
        return Rejected(position, [f"a row is a mapping of names to values, not {type(row).__name__}"], row)
    # Custobar documents no meaning of null (an empty text is what removes a field), so nulls are left out.
    given = {name: value for name, value in row.items() if value is not None}
    from_text = isinstance(row, TextRow)
    if from_text and not plan.clear_empty:
        # CSV cannot tell "nothing" from "remove what is there".
        given = {name: value for name, value in given.items() if value}
    renamed = {plan.field_mapping.get(name, name): value for name, value in given.items()} if plan.field_mapping else given
    checked, reasons = plan.checker.check(renamed, from_text=from_text)
    if len(renamed) < len(given):
        reasons.append("field_mapping gives two of its fields the same name")
    if reasons:
        return Rejected(position, reasons, row)
    try:
        data = _encoded(checked, plan)
    except _UnfitError as error:
        return Rejected(position, [str(error)], row)
    identity = next((f"{name}={value}" for name in plan.identity_names if (value := checked.get(name))), None)
    return GoodRow(position, data, identity)


class _UnfitError(Exception):
    """A reason against a row that shows only when it is written as JSON."""


def _encoded(row: Mapping[str, Any], plan: UploadPlan) -> bytes:
    try:
        encoded = _encoder.encode(row)
    except (TypeError, ValueError, OverflowError) as error:
        raise _UnfitError(f"it cannot be written as JSON ({error})") from error
    # Only rows that hold one of these words, be it in a text, need the slow look.
    suspect = any(word in encoded for word in (b"null", b"NaN", b"Infinity"))
    if suspect and (names := [name for name, value in row.items() if _holds_no_number(value)]):
        raise _UnfitError(f"{names[0]} holds NaN or infinity, which JSON does not know")
    if len(encoded) + ENVELOPE_BYTES > plan.max_batch_bytes:
        raise _UnfitError(f"it has {len(encoded):,} bytes, too many for max_batch_bytes={plan.max_batch_bytes:,}")
    return encoded


def _plain(value: object) -> object:
    """A subclass's value as JSON has it, such as pendulum's dates or an array library's numbers.

    :raises TypeError: nothing that JSON has a form for.
    """
    match value:
        case datetime() | date():
            return value.isoformat()
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return float(value)
    raise TypeError(f"{type(value).__name__} has no form in it")


def _readable(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return _plain(value)
    except TypeError:
        return str(value)


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, AbstractSet)):
        return [_with_text_keys(item) for item in value]
    return value


def _holds_no_number(value: object) -> bool:
    if isinstance(value, Decimal):
        return not value.is_finite()
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(_holds_no_number, value.values()))
    return isinstance(value, (list, tuple, AbstractSet)) and any(map(_holds_no_number, value))


# Decimals are numbers, as databases mean them, and not texts.
_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number")
_encode_readable = msgspec.json.Encoder(enc_hook=_readable, decimal_format="number").encode
# JSON has no number that is none.
_encode_as_text = msgspec.json.Encoder(enc_hook=_readable).encode
