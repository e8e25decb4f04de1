"""Rows out of a query's result, with values as Custobar expects them. Knows no database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from airflow_provider_custobar.api.errors import CustobarError, shorten
from airflow_provider_custobar.api.resources import FieldType, find_resource
from airflow_provider_custobar.upload.exact_json import UnfitJsonError
from airflow_provider_custobar.upload.kept_rows import KeptRows
from airflow_provider_custobar.upload.lists import list_in

#: A query's result: the names of its columns, and its rows, which come a few at a time.
Result = tuple[Sequence[str], Iterable[Sequence[Any]]]

_TEXTS = (FieldType.STRING, FieldType.EMAIL, FieldType.PHONE, FieldType.COUNTRY, FieldType.LANGUAGE)
_LISTS = (FieldType.STRINGS, FieldType.STRING_OR_STRINGS, FieldType.OBJECTS)
# What is one value for JSON or the checks behind it, and is left to them.
_PLAIN = (str, int, float, Decimal, date, bytes, bytearray, memoryview)


class SqlRows(KeptRows):
    """The rows of one execution of a query; can be iterated as often as wanted.

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
        types = find_resource(resource, for_upload=True).write_fields
        mapping = field_mapping or {}
        nothing = "" if clear_empty else None

        @contextmanager
        def read() -> Iterator[Iterable[object]]:
            with execute() as (names, rows):
                twice = next((name for name in names if list(names).count(name) > 1), None)
                if twice is not None:
                    raise CustobarError(f"The query gives two columns the name {shorten(twice, 60)!r}: tell them apart by AS.")
                converters = [_converter_for(types.get(mapping.get(name, name))) for name in names]
                yield (
                    {
                        name: nothing if value is None else convert(value)
                        for name, convert, value in zip(names, converters, row, strict=True)
                    }
                    for row in rows
                )

        super().__init__(read)


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
    if isinstance(value, Decimal):
        # What is no number stays, and is a reason against its row.
        return _digits(value) if value.is_finite() else value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _digits(value: Decimal) -> str:
    return str(int(value)) if value == value.to_integral_value() else str(value)


def _list(value: Any) -> Any:
    """Where a database has no type for lists, they are JSON in a text."""
    if isinstance(value, str):
        try:
            found = list_in(value)
        except UnfitJsonError:
            found = None
        if found is None:
            return value
        value = found
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
