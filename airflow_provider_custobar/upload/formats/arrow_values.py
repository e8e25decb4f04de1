"""Arrow's values as Python's, each exactly or not at all, whichever other packages are installed.

Points in time are made of the numbers that Arrow keeps of them: its own way to Python rolls over times beyond a day, cuts
digits or keeps them depending on pandas, and takes zones from one of two packages.
"""

from __future__ import annotations

import re
import uuid
import zoneinfo
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

import pyarrow as pa
from pyarrow import types

Convert = Callable[[Any], Any]
#: What an array or a conversion raises where it holds a value that Python or JSON cannot have.
UNFIT = (ValueError, LookupError, OverflowError, OSError, pa.ArrowException)

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of timestamps without a zone
_DAY_MILLISECONDS = 86_400_000
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
_PLAIN: tuple[Callable[[Any], bool], ...] = (
    types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, types.is_string,
    types.is_large_string, types.is_binary, types.is_large_binary, types.is_fixed_size_binary,
    *(getattr(types, name) for name in ("is_string_view", "is_binary_view") if hasattr(types, name)),
)  # fmt: skip
_LISTS: tuple[Callable[[Any], bool], ...] = (
    types.is_list, types.is_large_list, types.is_fixed_size_list,
    *(getattr(types, name) for name in ("is_list_view", "is_large_list_view") if hasattr(types, name)),
)  # fmt: skip


def reading_of(field: Any) -> tuple[Any, Convert | None]:
    """A type that holds the same and becomes Python's values exactly, and what is to be made of those that are not None.

    The latter raises one of :data:`UNFIT` where it cannot.
    """
    kind = field.type
    extension = _extension_of(field)
    if extension is not None:
        return _of_extension(extension, kind)
    if any(fits(kind) for fits in _PLAIN):
        # Of half floats, some versions make another library's numbers.
        return kind, float if types.is_float16(kind) else None
    if types.is_date(kind):
        return (pa.int32(), _day) if types.is_date32(kind) else (pa.int64(), _day_of_milliseconds)
    if types.is_temporal(kind) and not types.is_interval(kind):
        return (pa.int32() if types.is_time32(kind) else pa.int64()), _of_time(kind)
    if types.is_dictionary(kind):
        storage, convert = reading_of(pa.field("", kind.value_type))
        return (kind if convert is None and storage.equals(kind.value_type) else storage), convert
    return _of_nested(kind)


def _extension_of(field: Any) -> str | None:
    """The name of a type that an application defined on top of Arrow's, whether or not that application is here."""
    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    name = (field.metadata or {}).get(b"ARROW:extension:name")
    return None if name is None else name.decode(errors="replace")


def _of_extension(name: str, kind: Any) -> tuple[Any, Convert | None]:
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    readings: dict[str, Convert | None] = {"arrow.uuid": _uuid, "arrow.bool8": _boolean, "arrow.json": None}
    return storage, readings.get(name, _refuse)


def _of_nested(kind: Any) -> tuple[Any, Convert | None]:
    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        readings = {field.name: reading_of(field) for field in fields}
        converts = {name: convert for name, (_, convert) in readings.items() if convert is not None}
        return pa.struct([(name, storage) for name, (storage, _) in readings.items()]), _of_struct(
            converts
        ) if converts else None
    if types.is_map(kind):
        keys, key = reading_of(kind.key_field)
        items, item = reading_of(kind.item_field)
        return pa.map_(keys, items), _of_map(key, item)
    if any(fits(kind) for fits in _LISTS):
        values, convert = reading_of(kind.value_field)
        if types.is_fixed_size_list(kind):
            storage = pa.list_(values, kind.list_size)
        else:
            storage = pa.large_list(values) if types.is_large_list(kind) else pa.list_(values)
        return storage, None if convert is None else (lambda cells: [None if cell is None else convert(cell) for cell in cells])
    return kind, _refuse


def _of_struct(converts: dict[str, Convert]) -> Convert:
    def convert(members: dict[str, Any]) -> dict[str, Any]:
        changed = {name: made(members[name]) for name, made in converts.items() if members[name] is not None}
        return members | changed

    return convert


def _of_map(key: Convert | None, item: Convert | None) -> Convert:
    def convert(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for raw_name, raw in pairs:
            name = key(raw_name) if key else raw_name
            # JSON's names are texts, and each stands for one value.
            if not isinstance(name, str) or name in made:
                raise ValueError
            made[name] = item(raw) if item and raw is not None else raw
        return made

    return convert


def _of_time(kind: Any) -> Convert:
    per_second = _PER_SECOND[kind.unit]
    if types.is_duration(kind):
        return lambda value: _span(value, per_second)
    if types.is_time(kind):
        return lambda value: _clock(value, per_second)
    if not kind.tz:
        return lambda value: _EPOCH + _span(value, per_second)
    try:
        zone = _zone(kind.tz)
    except (ValueError, LookupError, OSError):
        return _refuse
    return lambda value: _moment(_EPOCH + _span(value, per_second), zone)


def _span(value: int, per_second: int) -> timedelta:
    microseconds, rest = divmod(value * 1_000_000, per_second)
    if rest:
        raise ValueError
    return timedelta(microseconds=microseconds)


def _clock(value: int, per_second: int) -> Any:
    if not 0 <= value < 86_400 * per_second:
        raise ValueError
    return (_EPOCH + _span(value, per_second)).time()


def _moment(in_utc: datetime, zone: tzinfo) -> datetime:
    moment = in_utc.replace(tzinfo=UTC)
    there = moment.astimezone(zone)
    # Local mean times of the nineteenth century have offsets with seconds, which no JSON form has.
    return moment if (there.utcoffset() or timedelta()).total_seconds() % 60 else there


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is None:
        return zoneinfo.ZoneInfo(name)
    span = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
    return timezone(-span if offset[1] == "-" else span)


def _day(days: int) -> date:
    return _EPOCH.date() + timedelta(days=days)


def _day_of_milliseconds(milliseconds: int) -> date:
    days, rest = divmod(milliseconds, _DAY_MILLISECONDS)
    if rest:
        raise ValueError
    return _day(days)


def _uuid(data: bytes) -> str:
    return str(uuid.UUID(bytes=data))


def _boolean(number: int) -> bool:
    return (False, True)[number]


def _refuse(_: Any) -> Any:
    raise ValueError


def hint_of(kind: Any) -> str:
    """What the values of a type must be, where not every one will do."""
    if types.is_timestamp(kind):
        return " (years 1 to 9999, no digits beyond microseconds, a zone that is known)"
    if types.is_date(kind):
        return " (years 1 to 9999)"
    if types.is_map(kind):
        return " (its keys must be texts, each of them once)"
    if types.is_string(kind) or types.is_large_string(kind):
        return " (its bytes are no UTF-8)"
    return ""
