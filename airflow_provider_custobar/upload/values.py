"""A row's values as JSON has them, whichever library they are of; or what is against that.

Libraries' own types are known by their names, so that none of them has to be there, or is imported.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any
from uuid import UUID

from airflow_provider_custobar.upload.times import (
    DURATION,
    OUT_OF_RANGE,
    TOO_FINE,
    Unfit,
    read_date,
    read_datetime,
    read_duration,
)

#: What is as it is to be; most values are of these types, so they are looked for first, and subclasses are none of them.
PLAIN_TYPES = frozenset({str, int, bool, NoneType})

# MySQL's limit for its documents; what would be deeper, other readers of JSON do not take either.
_DEEPEST = 100
_LONGEST_NUMBER_BITS = 10_000
_NO_NUMBER = "holds NaN or infinity, which JSON does not know"
_BYTES = "holds bytes, which JSON has no form for: make a text of them"


class _UnfitError(Exception):
    """The reason against a value, found inside it."""


def plain(value: object, other: Callable[[Any], object] | None = None) -> Any:
    """The value in Python's own types for JSON (and ``Decimal``, ``date``, ``datetime`` and ``time``), or :class:`Unfit`.

    Whatever means "nothing" is None. ``other`` makes something of what is of none of the known types, and of mappings' keys
    that are no texts; without it, they are unfit.
    """
    try:
        return _plain(value, other, 0)
    except _UnfitError as error:
        return Unfit(str(error), value)


def readable(value: Any, depth: int = 0) -> Any:
    """Whatever it is, as something that JSON has a form for and that nobody takes for another value."""
    value = _without_library(value)
    if isinstance(value, Unfit):
        value = _without_library(value.content)
    if depth > _DEEPEST:
        return "(more levels follow)"
    if isinstance(value, Mapping):
        document: dict[str, Any] = {}
        for key, item in value.items():
            name = str.__str__(key) if isinstance(key, str) else _shown(key)
            document[name if name not in document else f"{name} ({type(key).__name__})"] = readable(item, depth + 1)
        return document
    if isinstance(value, (list, tuple, AbstractSet)):
        return [readable(item, depth + 1) for item in value]
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER_BITS:
        # Python does not write a number of thousands of digits.
        return hex(value)
    found = plain(value)
    return _shown(value) if isinstance(found, Unfit) else found


def _shown(value: Any) -> str:
    if isinstance(value, Unfit):
        value = value.content
    try:
        return repr(bytes(value)) if isinstance(value, (bytes, bytearray, memoryview)) else str(value)
    except Exception:  # noqa: BLE001 - whose text it is, is not known
        return object.__repr__(value)


def _without_library(value: Any) -> Any:
    convert = _LIBRARIES.get(type(value).__module__.partition(".")[0])
    return convert(value) if convert else value


def _plain(value: Any, other: Callable[[Any], object] | None, depth: int) -> Any:
    kind = type(value)
    if kind in PLAIN_TYPES:
        return value
    if depth > _DEEPEST:
        raise _UnfitError(f"is nested more than {_DEEPEST} levels deep")
    if (convert := _BY_TYPE.get(kind)) is not None:
        return convert(value)
    if kind is not list and kind is not dict:
        value = _without_library(value)
        for known, convert in _BY_TYPE.items():
            if isinstance(value, known):
                return convert(value)
        if isinstance(value, Unfit):
            raise _UnfitError(value.reason)
        if isinstance(value, Enum):
            return _plain(value.value, other, depth + 1)
    return _compound(value, other, depth)


def _compound(value: Any, other: Callable[[Any], object] | None, depth: int) -> Any:
    if type(value) is list:
        # Nearly all of them are lists of texts, and the rest of the questions are slow.
        return value if PLAIN_TYPES.issuperset(map(type, value)) else [_plain(item, other, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return _mapping(value, other, depth)
    if isinstance(value, AbstractSet) and other is None:
        # An attempt that follows has to know its rows again, and each process has another order.
        raise _UnfitError("holds a set, which has no order: make a list of it")
    if type(value).__name__ == "MonthDayNano":
        raise _UnfitError(DURATION)
    if isinstance(value, (Sequence, AbstractSet)) and not isinstance(value, range):
        items = [item if type(item) in PLAIN_TYPES else _plain(item, other, depth + 1) for item in value]
        return sorted(items, key=repr) if isinstance(value, AbstractSet) else items
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name), other, depth + 1) for each in dataclasses.fields(value)}
    if other is not None:
        return other(value)
    if isinstance(value, time):
        return value
    raise _UnfitError(f"holds {type(value).__name__}, which JSON has no form for")


def _mapping(value: Mapping[Any, Any], other: Callable[[Any], object] | None, depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(key, str):
            name = str.__str__(key)
        elif other is not None and not isinstance(key, (bytes, bytearray)):
            name = str(_plain(key, other, depth + 1))
        else:
            raise _UnfitError(f"holds a mapping with {type(key).__name__} for a name, where JSON has texts")
        if name in document:
            raise _UnfitError("holds a mapping with two names that are the same text")
        document[name] = _plain(item, other, depth + 1)
    return document


def _refuse(reason: str) -> Callable[[Any], Any]:
    def refuse(_: Any) -> Any:
        raise _UnfitError(reason)

    return refuse


def _finite(value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise _UnfitError(_NO_NUMBER)
    return number


def _finite_decimal(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise _UnfitError(_NO_NUMBER)
    return value if type(value) is Decimal else Decimal(value)


def _moment(value: datetime) -> datetime:
    if type(value) is not datetime:
        day = (value.year, value.month, value.day)
        clock = (value.hour, value.minute, value.second, value.microsecond)
        value = datetime(*day, *clock, tzinfo=value.tzinfo, fold=value.fold)
    offset = value.utcoffset()
    if offset is None or not offset.total_seconds() % 60:
        return value
    try:
        # Local mean times have offsets with seconds, which ISO 8601 has not.
        return value.astimezone(UTC)
    except OverflowError:
        raise _UnfitError(OUT_OF_RANGE) from None


def _day(value: date) -> date:
    return value if type(value) is date else date(value.year, value.month, value.day)


def _member_or_text(value: str) -> str:
    return str.__str__(value.value if isinstance(value, Enum) else value)


_BY_TYPE: dict[type, Callable[[Any], Any]] = {
    str: _member_or_text,
    bool: bool,
    int: int,
    float: _finite,
    Decimal: _finite_decimal,
    datetime: _moment,
    date: _day,
    timedelta: _refuse(DURATION),
    UUID: str,
    bytes: _refuse(_BYTES),
    bytearray: _refuse(_BYTES),
    memoryview: _refuse(_BYTES),
    NoneType: lambda _: None,
}


def _of_numpy(value: Any) -> Any:
    kind = type(value).__name__
    if kind == "MaskedConstant":
        return None
    if kind in ("datetime64", "timedelta64"):
        return _numpy_time(str(value), is_moment=kind == "datetime64")
    if kind in ("void", "record", "longdouble"):
        return Unfit(f"holds {kind}, which JSON has no form for", str(value))
    if hasattr(value, "filled") or hasattr(value, "flags"):
        # An array. Not by tolist(): moments in nanoseconds would become numbers.
        is_array = hasattr(value, "__len__") and not isinstance(value, (str, bytes))
        if is_array:
            return list(value) if value.ndim else _without_library(value[()])
    return value.item() if hasattr(value, "item") else value


def _numpy_time(text: str, *, is_moment: bool) -> Any:
    if text == "NaT":
        return None
    if not is_moment:
        return read_duration(text)
    if len(text) in (len("2026"), len("2026-02")):
        return Unfit("holds a year or a month, and no day of it", text)
    return read_datetime(text) if "T" in text else read_date(text)


def _of_pandas(value: Any) -> Any:
    kind = type(value).__name__
    if kind in ("NaTType", "NAType"):
        return None
    if getattr(value, "nanosecond", 0):
        return Unfit(TOO_FINE, str(value))
    if kind in ("Period", "Interval"):
        return Unfit(f"holds {kind}, which JSON has no form for", str(value))
    return list(value) if hasattr(value, "dtype") and hasattr(value, "__len__") else value


def _of_arrow(value: Any) -> Any:
    if hasattr(value, "as_py"):
        try:
            return _without_library(value.as_py())
        except (ValueError, OverflowError):
            return Unfit(OUT_OF_RANGE, f"{value.type} {value.value}")
    return list(value) if type(value).__name__.endswith("Array") else value


_LIBRARIES: dict[str, Callable[[Any], Any]] = {"numpy": _of_numpy, "pandas": _of_pandas, "pyarrow": _of_arrow}
