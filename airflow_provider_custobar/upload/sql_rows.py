"""Rows out of a query's result, with values as Custobar expects them. Knows no database."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from airflow_provider_custobar.api.errors import CustobarError, shorten
from airflow_provider_custobar.api.resources import TEXT_TYPES, FieldType, find_resource
from airflow_provider_custobar.upload.exact_json import UnfitJsonError
from airflow_provider_custobar.upload.lists import as_texts, list_in
from airflow_provider_custobar.upload.times import Unfit
from airflow_provider_custobar.upload.values import plain

#: A query's result: the names of its columns, and its rows, which come a few at a time.
Result = tuple[Sequence[str], Iterable[Sequence[Any]]]

_LISTS = (FieldType.STRINGS, FieldType.STRING_OR_STRINGS, FieldType.OBJECTS)


class SqlRows:
    """The rows of a query, which each reading executes.

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

    def __iter__(self) -> Generator[dict[str, Any]]:
        with self._execute() as (names, rows):
            twice = next((name for name in names if list(names).count(name) > 1), None)
            if twice is not None:
                raise CustobarError(f"The query gives two columns the name {shorten(twice, 60)!r}: tell them apart by AS.")
            converters = [_converter_for(self._types.get(self._mapping.get(name, name))) for name in names]
            for row in rows:
                yield {
                    name: self._nothing if (converted := convert(value)) is None else converted
                    for name, convert, value in zip(names, converters, _values(row, names), strict=True)
                }


def _values(row: Any, names: Sequence[str]) -> Sequence[Any]:
    # A connection may be set to give mappings.
    return [row[name] for name in names] if isinstance(row, Mapping) else row


def _converter_for(field_type: FieldType | None) -> Callable[[Any], Any]:
    if field_type in TEXT_TYPES:
        return _text
    if field_type in _LISTS:
        return _list
    return _OTHERS.get(field_type, _plain) if field_type else _plain


def _plain(value: Any) -> Any:
    """A driver's value as one of Python's own, which can be checked and written as JSON."""
    if isinstance(value, memoryview):
        value = bytes(value)
    # UUIDs, addresses and the like: their text is what the database shows.
    found = plain(value, str)
    # The checks will find it.
    return value if isinstance(found, Unfit) else found


def _text(value: Any) -> Any:
    """Keys are often numbers in a database."""
    value = _plain(value)
    # What is no number stays, and is a reason against its row.
    return value if isinstance(value, Decimal) and not value.is_finite() else as_texts([value])[0]


def _list(value: Any) -> Any:
    """Where a database has no type for lists, they are JSON in a text."""
    if isinstance(value, str):
        try:
            found = list_in(value)
        except UnfitJsonError as error:
            return Unfit(f"holds a list: {error}", value)
        if found is None:
            return value
        value = found
    value = _plain(value)
    return [_text(item) for item in value] if isinstance(value, list) else value


def _boolean(value: Any) -> Any:
    """Where a database has no type for booleans, they are 0 and 1."""
    value = _plain(value)
    is_number = isinstance(value, int) or (isinstance(value, Decimal) and value.is_finite())
    return bool(value) if is_number and value in (0, 1) else value


def _day(value: Any) -> Any:
    value = _plain(value)
    is_midnight = isinstance(value, datetime) and value.time() == time()
    return value.date() if is_midnight else value


_OTHERS: dict[FieldType, Callable[[Any], Any]] = {
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _day,
}
