"""Columns of typed files and tables: their types from the catalogue, and texts and JSON values turned into those types."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Any

import msgspec
import pendulum
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_custobar.api.errors import CustobarError, Fate
from airflow_provider_custobar.api.resources import LIST_TYPES, FieldType, Resource
from airflow_provider_custobar.api.windows import parse_timestamp

#: Where fields go that neither the user nor the catalogue names, as one JSON object a record.
EXTRA = "_extra"

_T = FieldType
_TIMESTAMP = pa.timestamp("us", tz="UTC")
_ARROW_TYPES = MappingProxyType(
    {
        _T.MONEY: pa.int64(),
        _T.INTEGER: pa.int64(),
        _T.NUMBER: pa.float64(),
        _T.BOOLEAN: pa.bool_(),
        _T.DATETIME: _TIMESTAMP,
        _T.DATE: pa.date32(),
        _T.STRINGS: pa.list_(pa.string()),
        _T.STRING_OR_STRINGS: pa.list_(pa.string()),
    }
)
_TYPED_IN_JSON: dict[FieldType, type] = {_T.MONEY: int, _T.INTEGER: int, _T.NUMBER: float, _T.BOOLEAN: bool}
_READ_FROM_TEXT = (_T.DATETIME, _T.DATE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Arrow would also take hexadecimal numbers, and nan and inf, which no page of JSON can hold.
_INTEGER = r"^-?[0-9]+$"
_WHOLE = re.compile(r"(-?[0-9]+)(?:\.0+)?")
# Beyond, neighbouring whole numbers are one double.
_LARGEST_DOUBLE = 2.0**53
_SHORTEST_BELOW_MICROSECONDS = len("20260201T100000.0000001")
_BELOW_MICROSECONDS = r"[.,][0-9]{6}[0-9]*[1-9]"
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"


class ColumnTypeError(CustobarError):
    """A value that its column's type cannot hold. The text never shows the value, which may be personal data."""

    fate = Fate.FINAL


class UnfitError(Exception):
    """A value at ``index`` of a page that does not fit; ``kind`` describes it without showing it."""

    def __init__(self, index: int, kind: str) -> None:
        super().__init__(kind)
        self.index = index
        self.kind = kind


@dataclass(frozen=True)
class Column:
    """A column of the file. ``field_type`` is None for a field that the catalogue does not know, whose text is kept."""

    name: str
    field_type: FieldType | None

    @property
    def arrow_type(self) -> Any:
        return pa.string() if self.field_type is None else _ARROW_TYPES.get(self.field_type, pa.string())

    @property
    def expected(self) -> str:
        return "text" if self.field_type is None else self.field_type.value

    @property
    def json_type(self) -> Any:
        """What the usual value of this column is decoded as; anything else is looked at one by one."""
        if self.field_type is None or self.field_type is _T.OBJECTS:
            return msgspec.Raw
        if self.field_type in LIST_TYPES:
            return list[str | None] | str | None
        return _TYPED_IN_JSON.get(self.field_type, str) | None

    @property
    def plain_type(self) -> Any:
        """The Arrow type that JSON of the usual kind is read as by Arrow itself; None where it cannot be."""
        if self.field_type is None or self.field_type is _T.OBJECTS:
            return None
        return pa.string() if self.field_type in _READ_FROM_TEXT else self.arrow_type

    def of_plain(self, array: Any, zone: tzinfo) -> Any:
        """An array of ``plain_type`` as one of ``arrow_type``.

        :raises UnfitError: a timestamp or date cannot be read, or a number may be none that its column can hold.
        """
        if self.field_type in _READ_FROM_TEXT:
            return self.parse(array, zone)
        if self.field_type is _T.NUMBER and not _all_exact(array):
            raise UnfitError(0, "large number")
        return array

    def array(self, values: Sequence[Any], zone: tzinfo) -> Any:
        """An Arrow array of values decoded as ``json_type``.

        :raises UnfitError: as :meth:`of_plain`.
        :raises pyarrow.ArrowInvalid, OverflowError: a number is too large; :meth:`read` tells which.
        """
        if self.json_type is msgspec.Raw:
            as_text = text_of if self.field_type is None else json_of
            values = [None if value is None else as_text(bytes(value)) for value in values]
        elif self.field_type in LIST_TYPES:
            values = [[value] if isinstance(value, str) else value for value in values]
        elif self.field_type in _READ_FROM_TEXT:
            return self.parse(pa.array(values, pa.string()), zone)
        array = pa.array(values, self.arrow_type)
        return self.of_plain(array, zone) if self.field_type is _T.NUMBER else array

    def parse(self, texts: Any, zone: tzinfo) -> Any:
        """An Arrow array of an array of texts. ``zone`` is that of timestamps without an offset.

        :raises UnfitError: a text that is no value of this column's type.
        """
        parser = _PARSERS.get(self.field_type) if self.field_type else None
        return texts if parser is None else parser(texts, zone)

    def read(self, raws: Iterable[bytes | None], zone: tzinfo) -> Any:
        """An Arrow array of JSON values of any kind, one by one.

        :raises UnfitError: a value that is none of this column's type.
        """
        values = []
        for index, raw in enumerate(raws):
            try:
                values.append(None if raw is None or raw == b"null" else self._read(raw))
            except (msgspec.DecodeError, ValueError):
                raise UnfitError(index, _kind_of_json(raw or b"")) from None
        if self.field_type in _READ_FROM_TEXT:
            return self.parse(pa.array(values, pa.string()), zone)
        return pa.array(values, self.arrow_type)

    def _read(self, raw: bytes) -> Any:
        match self.field_type:
            case _T.OBJECTS:
                value: Any = raw.decode()
            case _T.STRINGS | _T.STRING_OR_STRINGS:
                items = [raw] if raw.startswith(b'"') else msgspec.json.decode(raw, type=list[msgspec.Raw])
                value = [text_of(bytes(item)) for item in items]
            case _T.MONEY | _T.INTEGER:
                value = _read_integer(raw.decode())
            case _T.NUMBER:
                value = _read_number(raw.decode())
            case _T.BOOLEAN | _T.DATETIME | _T.DATE:
                value = msgspec.json.decode(raw, type=_TYPED_IN_JSON.get(self.field_type, str))
            case _:
                value = text_of(raw)
        return value


def columns_of(resource: Resource, names: Sequence[str]) -> tuple[Column, ...]:
    """The columns named, or those of the whole catalogue."""
    types = resource.read_fields
    return tuple(Column(name, types.get(name)) for name in names or types)


def text_of(raw: bytes) -> str | None:
    """A text's own characters; the JSON of anything else, digit for digit; None for null."""
    if raw.startswith(b'"'):
        return msgspec.json.decode(raw, type=str)
    return json_of(raw)


def json_of(raw: bytes) -> str | None:
    return None if raw == b"null" else raw.decode()


def _kind_of_json(raw: bytes) -> str:
    if raw.startswith(b'"'):
        return _kind_of_text(msgspec.json.decode(raw, type=str))
    kinds = {b"[": "list", b"{": "object", b"t": "boolean", b"f": "boolean"}
    return kinds.get(raw[:1], f"number of {len(raw):,} characters")


def _kind_of_text(text: str) -> str:
    return f"text of {len(text):,} characters"


def _in_range(number: int) -> int:
    if not isinstance(number, bool) and not -(2**63) <= number < 2**63:
        raise ValueError("more than 64 bits")
    return number


def _one_by_one(texts: Any, read: Callable[[str], Any], arrow_type: Any) -> Any:
    values = []
    for index, text in enumerate(texts.to_pylist()):
        try:
            values.append(None if text is None else read(text))
        except (ValueError, OverflowError):
            raise UnfitError(index, _kind_of_text(text)) from None
    return pa.array(values, arrow_type)


def _all_match(texts: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py())


def _integers(texts: Any, _: tzinfo) -> Any:
    if _all_match(texts, _INTEGER):
        try:
            return texts.cast(pa.int64())
        except pa.ArrowInvalid:
            pass  # One is too large, and has to be named.
    return _one_by_one(texts, _read_integer, pa.int64())


def _read_integer(text: str) -> int:
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ValueError("no whole number")
    return _in_range(int(match[1]))


def _numbers(texts: Any, _: tzinfo) -> Any:
    if _all_match(texts, _NUMBER):
        numbers = texts.cast(pa.float64())
        if _all_exact(numbers):
            return numbers
    return _one_by_one(texts, _read_number, pa.float64())


def _all_exact(numbers: Any) -> bool:
    """Whether each double is small enough to be the number that was written, where that is a whole one."""
    return bool(pc.all(pc.less(pc.abs(numbers), _LARGEST_DOUBLE), min_count=0).as_py())


def _read_number(text: str) -> float:
    """The nearest double. Fractions are what every reader makes of them; whole numbers written out keep each digit.

    :raises ValueError: no number, out of range, or a whole number that no double is.
    """
    number = float(text) if re.fullmatch(_NUMBER, text) else math.inf
    if not math.isfinite(number):
        raise ValueError("no number, or out of range")
    whole = _WHOLE.fullmatch(text)
    if whole is not None and int(number) != int(whole[1]):
        raise ValueError("more digits than a double has")
    return number


def _booleans(texts: Any, _: tzinfo) -> Any:
    lower = pc.utf8_lower(texts)
    known = pc.is_in(lower, value_set=pa.array(["true", "false", None])).to_pylist()
    if not all(known):
        index = known.index(False)
        raise UnfitError(index, _kind_of_text(texts[index].as_py()))
    return pc.equal(lower, "true")


def _dates(texts: Any, _: tzinfo) -> Any:
    try:
        return texts.cast(pa.date32())
    except pa.ArrowInvalid:
        return _one_by_one(texts, date.fromisoformat, pa.date32())


def _timestamps(texts: Any, zone: tzinfo) -> Any:
    # Whoever reads them below would cut such digits off.
    if (pc.max(pc.binary_length(texts)).as_py() or 0) >= _SHORTEST_BELOW_MICROSECONDS:
        index = pc.index(pc.match_substring_regex(texts, _BELOW_MICROSECONDS), True).as_py()
        if index >= 0:
            raise UnfitError(index, f"{_kind_of_text(texts[index].as_py())}, with digits below a microsecond,")
    try:
        return texts.cast(_TIMESTAMP)
    except pa.ArrowInvalid:
        pass  # At least one has no offset, or a form that Arrow does not read.
    try:
        local = texts.cast(pa.timestamp("us"))
        # Where the clock is turned back, the first of the two; times that the clock skipped are read below.
        return pc.assume_timezone(local, str(zone), ambiguous="earliest", nonexistent="raise").cast(_TIMESTAMP)
    except pa.ArrowInvalid:
        moments = _one_by_one(texts, lambda text: (parse_timestamp(text, zone) - _EPOCH) // _MICROSECOND, pa.int64())
        return moments.cast(_TIMESTAMP)


_PARSERS: dict[FieldType, Callable[[Any, tzinfo], Any]] = {
    _T.MONEY: _integers,
    _T.INTEGER: _integers,
    _T.NUMBER: _numbers,
    _T.BOOLEAN: _booleans,
    _T.DATE: _dates,
    _T.DATETIME: _timestamps,
}


def zone_of(timezone: str) -> tzinfo:
    return pendulum.timezone(timezone)
