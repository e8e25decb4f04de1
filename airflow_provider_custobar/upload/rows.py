"""A row as Custobar takes it, or the reasons why it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from airflow_provider_custobar.api.errors import field_names
from airflow_provider_custobar.upload.field_mapping import FieldMapping
from airflow_provider_custobar.upload.plan import ENVELOPE_BYTES, UploadPlan
from airflow_provider_custobar.upload.schema import as_text
from airflow_provider_custobar.upload.validation import IRREVERSIBLE
from airflow_provider_custobar.upload.values import PLAIN_TYPES, plain, readable


class TextRow(dict[str, str]):
    """A row whose values are texts, as CSV has them: typed values are made of them."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in the place of a row and is none; ``content`` is what it is, as far as that can be told."""

    reason: str
    content: object


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was set aside. ``position`` counts from 0; ``row`` is the row as it came in; ``group`` is what it is a part
    of, and ``external_id`` its own, where these can be told.
    """

    position: int
    reasons: Sequence[str]
    row: object
    group: str | None = None
    external_id: str | None = None

    @property
    def content(self) -> object:
        """What came in, as far as it could be read."""
        return self.row.content if isinstance(self.row, Unreadable) else self.row

    def as_json(self) -> bytes:
        """One line of a rejects file. Whatever the row holds, it can be written: what JSON has no form for becomes text."""
        document = {"position": self.position, "reasons": self.reasons, "row": readable(self.content)}
        try:
            return _encode(document)
        except ValueError:
            # Half a character (a lone surrogate) has no form in UTF-8; the standard library escapes it.
            return json.dumps(document, default=str).encode()


class GoodRow(NamedTuple):
    """A row as it is sent: the bytes of one JSON object. ``identity`` is what Custobar would know it by, where it would;
    ``group`` what it is a part of, such as a sale, and ``lacking`` which of the resource's needs other rows of that must fill
    in; ``source`` is then the row as it came in. ``dropped`` tells the fields that were left out, and
    ``is_irreversible`` that the row forgets or deletes somebody.
    """

    position: int
    data: bytes
    identity: str | None
    group: str | None = None
    lacking: Sequence[int] = ()
    dropped: Sequence[str] = ()
    source: object = None
    is_irreversible: bool = False


def check_row(position: int, row: object, plan: UploadPlan) -> GoodRow | Rejected:
    """The row as Custobar takes it, or the reasons why it does not."""
    if isinstance(row, Unreadable):
        return Rejected(position, [row.reason], row)
    if not isinstance(row, Mapping):
        return Rejected(position, [f"a row is a mapping of names to values, not {type(row).__name__}"], row)
    from_text = isinstance(row, TextRow)
    # Custobar documents no meaning of null (an empty text is what removes a field), so nulls are left out.
    given = {
        name: value
        for name, found in row.items()
        if (value := found if type(found) in PLAIN_TYPES else plain(found)) is not None
    }
    if from_text and not plan.options.clear_empty:
        # CSV cannot tell "nothing" from "remove what is there".
        given = {name: value for name, value in given.items() if value}
    renamed, twice = _renamed(given, plan.field_mapping) if plan.field_mapping else (given, ())
    kept, dropped = plan.checker.drop(renamed, row)
    checked, reasons = plan.checker.check(kept, from_text=from_text, source=row)
    if twice:
        reasons += [f"field_mapping gives two of its fields the same name, {name!r}" for name in twice]
    group = plan.checker.group_of(checked)
    if reasons:
        return Rejected(position, reasons, row, group, _external_id(checked, reasons, twice))
    lacking: Sequence[int] = ()
    if group is not None:
        lacking = plan.checker.lacking({name for name, value in checked.items() if value != ""})
        for name in chain.from_iterable(plan.resource.needs[number] for number in lacking):
            # An empty cell of a later row must not remove what the first row of its group has filled in.
            checked.pop(name, None)
    try:
        data = _encoded(checked, plan)
    except _UnfitError as error:
        return Rejected(position, [str(error)], row, group, _external_id(checked, (), twice))
    identity = next((f"{name}={value}" for name in plan.identity_names if (value := checked.get(name))), None)
    is_irreversible = any(checked.get(name) for name in IRREVERSIBLE)
    return GoodRow(position, data, identity, group, lacking, dropped, None if group is None else row, is_irreversible)


def _external_id(checked: Mapping[str, Any], reasons: Sequence[str], twice: Sequence[str]) -> str | None:
    """That of a row which is bad for another reason than this."""
    value = checked.get("external_id")
    if not value or "external_id" in twice or any(reason.startswith("external_id ") for reason in reasons):
        return None
    try:
        text = value if isinstance(value, str) else as_text(value)
        # With half a character in it, nobody knows it by that.
        text.encode()
    except ValueError:
        return None
    return text


def storable(row: GoodRow | Rejected) -> GoodRow | Rejected:
    """``row`` with what came in as a rejects file would have it: a source's own objects need not be ones that can be kept."""
    if isinstance(row, GoodRow):
        return row._replace(source=readable(row.source))
    content = readable(row.content)
    return replace(row, row=Unreadable(row.row.reason, content) if isinstance(row.row, Unreadable) else content)


def _renamed(row: Mapping[Any, Any], mapping: FieldMapping) -> tuple[dict[Any, Any], Sequence[str]]:
    """The row by Custobar's names, and those of them that two fields have."""
    renamed: dict[Any, Any] = {}
    twice: list[str] = []
    for name, value in row.items():
        target = mapping.get(name, name)
        if target in renamed:
            twice.append(target)
        if target is not None:
            renamed[target] = value
    return renamed, twice


class _UnfitError(Exception):
    """A reason against a row that shows only when it is written as JSON."""


def _encoded(row: Mapping[str, Any], plan: UploadPlan) -> bytes:
    try:
        encoded = _encode(row)
    except (ValueError, OverflowError) as error:
        # Python's own words show a part of the value, or name a setting of the interpreter.
        what = "half a character" if isinstance(error, UnicodeError) else "a number of too many digits"
        raise _UnfitError(f"{_culprit(row)} cannot be written as JSON: it holds {what}") from error
    if len(encoded) + ENVELOPE_BYTES > plan.max_batch_bytes:
        raise _UnfitError(f"it has {len(encoded):,} bytes, too many for max_batch_bytes={plan.max_batch_bytes:,}")
    return encoded


def _culprit(row: Mapping[str, Any]) -> str:
    for name, value in row.items():
        try:
            _encode({name: value})
        except (ValueError, OverflowError):
            return field_names([name])
    return "it"


# Decimals are numbers, as databases mean them, and not texts.
_encode = msgspec.json.Encoder(decimal_format="number").encode


def row_in_words(position: int, place_of: Callable[[int], str] | None) -> str:
    """What messages call a row; of a file, by its place there."""
    return place_of(position) if place_of is not None else f"row {position}"
