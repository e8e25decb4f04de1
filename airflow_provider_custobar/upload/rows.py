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
from airflow_provider_custobar.upload.validation import reasons_against


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was set aside. ``position`` counts from 0; ``row`` is the row as it came in."""

    position: int
    reasons: Sequence[str]
    row: object

    def as_json(self) -> bytes:
        """One line of a rejects file. Whatever the row holds, it can be written: what JSON has no form for becomes text."""
        document = {"position": self.position, "reasons": self.reasons, "row": self.row}
        try:
            return msgspec.json.encode(document, enc_hook=_readable)
        except ValueError:
            # Half a character (a lone surrogate) has no form in UTF-8; the standard library escapes it.
            return json.dumps(_with_text_keys(document), default=_readable).encode()


def encode_row(row: object, plan: UploadPlan) -> tuple[bytes, list[str]]:
    """The row's JSON under Custobar's names, and the reasons against sending it; one of the two is empty."""
    if not isinstance(row, Mapping):
        return b"", reasons_against(row, plan.resource, plan.rules)
    # Custobar documents no meaning of null (an empty text is what removes a field), so nulls are left out.
    pairs = [(plan.field_mapping.get(name, name), value) for name, value in row.items() if value is not None]
    renamed = dict(pairs)
    reasons = reasons_against(renamed, plan.resource, plan.rules)
    if len(renamed) < len(pairs):
        reasons.append("field_mapping gives two of its fields the same name")
    if reasons:
        return b"", reasons
    try:
        encoded = _encoder.encode(renamed)
    except (TypeError, ValueError, OverflowError) as error:
        return b"", [f"it cannot be written as JSON ({error})"]
    # Only rows that hold one of these words, be it in a text, need the slow look.
    suspect = any(word in encoded for word in (b"null", b"NaN", b"Infinity"))
    if suspect and (names := [name for name, value in renamed.items() if _holds_no_number(value)]):
        return b"", [f"{names[0]} holds NaN or infinity, which JSON does not know"]
    if len(encoded) + ENVELOPE_BYTES > plan.max_batch_bytes:
        return b"", [f"it has {len(encoded):,} bytes, too many for max_batch_bytes={plan.max_batch_bytes:,}"]
    return encoded, []


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
