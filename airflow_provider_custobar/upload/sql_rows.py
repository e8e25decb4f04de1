"""Rows out of a query's result, with values as Custobar expects them. Knows no database."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, Any

import msgspec

from airflow_provider_custobar.api.errors import CustobarError, shorten
from airflow_provider_custobar.api.resources import FieldType, find_resource

#: A query's result: the names of its columns, and its rows, which come a few at a time.
Result = tuple[Sequence[str], Iterable[Sequence[Any]]]

_ROWS_AT_ONCE = 1_000
_TEXTS = (FieldType.STRING, FieldType.EMAIL, FieldType.PHONE, FieldType.COUNTRY, FieldType.LANGUAGE)
_LISTS = (FieldType.STRINGS, FieldType.STRING_OR_STRINGS, FieldType.OBJECTS)
# What is one value for JSON or the checks behind it, and is left to them.
_PLAIN = (str, int, float, Decimal, date, bytes, bytearray, memoryview)


class SqlRows:
    """The rows of one execution of a query; can be iterated as often as wanted.

    An upload reads its rows twice, and a query need not give the same ones again. So they are kept, from the first reading to
    the end of the process, in a temporary file that nobody else can open.

    :param execute: Executes the query.
    :param resource: Where the rows are to go: it decides what becomes of the values.
    :param field_mapping: Columns' names to Custobar's.
    :param clear_empty: Let NULL remove the field in Custobar, instead of leaving it out.
    """

    def __init__(
        self,
        execute: Callable[[], AbstractContextManager[Result]],
        *,
        resource: str,
        field_mapping: Mapping[str, str] | None = None,
        clear_empty: bool = False,
    ) -> None:
        self._execute = execute
        self._types = find_resource(resource, for_upload=True).write_fields
        self._mapping = field_mapping or {}
        self._nothing = "" if clear_empty else None
        self._kept: IO[bytes] | None = None
        self._names: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._kept is None:
            self._keep()
        kept = self._kept
        if kept is None:
            raise RuntimeError("unreachable: the rows were just kept")
        kept.seek(0)
        while True:
            try:
                rows = pickle.load(kept)  # noqa: S301 - nobody but this process has written it
            except EOFError:
                return
            place = kept.tell()
            for row in rows:
                yield dict(zip(self._names, row, strict=True))
            # Another reading may have begun meanwhile.
            kept.seek(place)

    def _keep(self) -> None:
        kept: IO[bytes] = tempfile.TemporaryFile(prefix="custobar-rows-")  # noqa: SIM115 - it lives as long as the rows
        with self._execute() as (names, rows):
            twice = next((name for name in names if list(names).count(name) > 1), None)
            if twice is not None:
                raise CustobarError(
                    f"The query gives two columns the name {shorten(repr(twice), 60)}: name them apart with AS."
                )
            converters = [_converter_for(self._types.get(self._mapping.get(name, name))) for name in names]
            waiting: list[tuple[Any, ...]] = []
            for row in rows:
                values = zip(converters, row, strict=True)
                waiting.append(tuple(self._nothing if value is None else convert(value) for convert, value in values))
                if len(waiting) == _ROWS_AT_ONCE:
                    pickle.dump(waiting, kept)
                    waiting.clear()
            if waiting:
                pickle.dump(waiting, kept)
        self._names, self._kept = tuple(names), kept


def _converter_for(field_type: FieldType | None) -> Callable[[Any], Any]:
    if field_type in _TEXTS:
        return _text
    if field_type in _LISTS:
        return _list
    return _OTHERS.get(field_type, _plain) if field_type else _plain


def _plain(value: Any) -> Any:
    """A driver's value as one of Python's own, which can be checked and written as JSON."""
    if value is None or isinstance(value, _PLAIN):
        return bytes(value) if isinstance(value, memoryview) else value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, AbstractSet)):
        return [_plain(item) for item in value]
    if isinstance(value, time):
        return value.isoformat()
    # UUIDs, addresses, ranges and the like: their text is what the database shows.
    return str(value)


def _text(value: Any) -> Any:
    """Keys are often numbers in a database."""
    value = _plain(value)
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return str(value) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else value


def _list(value: Any) -> Any:
    """Where a database has no type for lists, they are JSON in a text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    value = _plain(value)
    return [_text(item) for item in value] if isinstance(value, list) else value


def _boolean(value: Any) -> Any:
    """Where a database has no type for booleans, they are 0 and 1."""
    value = _plain(value)
    return bool(value) if isinstance(value, (int, Decimal)) and value in (0, 1) else value


def _integer(value: Any) -> Any:
    value = _plain(value)
    return int(value) if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value() else value


def _money(value: Any) -> Any:
    """A decimal with digits behind the point is of euros, not of hundredths, even if these are zeros."""
    value = _plain(value)
    if isinstance(value, Decimal) and value.is_finite():
        exponent = value.as_tuple().exponent
        return int(value) if isinstance(exponent, int) and exponent >= 0 else value
    return value


def _day(value: Any) -> Any:
    value = _plain(value)
    is_midnight = isinstance(value, datetime) and value.time() == time()
    return value.date() if is_midnight else value


_OTHERS: dict[FieldType, Callable[[Any], Any]] = {
    FieldType.BOOLEAN: _boolean,
    FieldType.INTEGER: _integer,
    FieldType.MONEY: _money,
    FieldType.DATE: _day,
}
