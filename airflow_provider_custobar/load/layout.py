"""Which of the table's columns a load fills, with what, and what to do about fields that have none."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_custobar.api.errors import InvalidArgumentError, shorten
from airflow_provider_custobar.api.pages import JsonPage, Page
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.resources import FieldType
from airflow_provider_custobar.export.arrow_columns import EXTRA, Column, columns_of, text_of
from airflow_provider_custobar.load.job import LoadError, SchemaChange

#: Counts the rows of a load, to tell which of two with the same key came last.
POSITION = "_custobar_position"

_JSON = (FieldType.STRINGS, FieldType.STRING_OR_STRINGS, FieldType.OBJECTS)
# No database but a few can hold this character in a text. The other form is JSON's; group 1 is what is in order.
_NUL = "\x00"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NUL_IN_JSON = re.compile(r"(\\\\)|\\u0000")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Layout:
    """Turns batches of fields into batches of the table's columns.

    ``table_columns`` are those of the table as it is, None where it is still to be made.
    """

    def __init__(
        self,
        query: Query,
        *,
        table_columns: Sequence[str] | None,
        column_mapping: Mapping[str, str],
        schema_change: SchemaChange,
        keys: Sequence[str],
        with_position: bool,
        logger: logging.Logger,
    ) -> None:
        self._resource = query.resource.name
        self._mapping = column_mapping
        self._table = None if table_columns is None else frozenset(table_columns)
        self._policy = schema_change
        self._keys = keys
        self._with_position = with_position
        self._log = logger
        self._ignored: set[str] = set()
        #: Columns of fields that the catalogue does not know, or the table did not have, in the order in which they came.
        self.discovered: list[str] = []
        self.columns = self._known(query)
        self.has_extra = not query.fields or (schema_change == "extra_column" and len(self.columns) < len(query.fields))
        self._asked_for = frozenset(query.fields) or None
        names = [self.name_of(column.name) for column in self.columns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidArgumentError("column_mapping", dict(column_mapping), f"two fields would go to the column {twice!r}")
        if not names:
            raise LoadError(f"The table has no column for any field of {self._resource}: see column_mapping and schema_change.")

    def name_of(self, field: str) -> str:
        """The column of a field."""
        return self._mapping.get(field, field)

    def _known(self, query: Query) -> tuple[Column, ...]:
        columns = columns_of(query.resource, query.columns)
        if self._table is None:
            return columns
        there = [column for column in columns if self.name_of(column.name) in self._table]
        missing = [name for name in query.fields if self.name_of(name) not in self._table]
        if not missing or self._policy == "extra_column":
            return tuple(there)
        if self._policy == "fail":
            raise self._no_column(missing)
        if self._policy == "add":
            self.discovered += [self.name_of(name) for name in missing]
            return tuple(column for column in columns if column in there or column.name in missing)
        self._tell_ignored(missing)
        return tuple(there)

    def created_columns(self) -> dict[str, FieldType | None]:
        """Columns of a table that is still to be made, with their types; None is text."""
        return {self.name_of(column.name): column.field_type for column in self.columns}

    def type_of(self, name: str) -> FieldType | None:
        """The type of a column that is to be added."""
        return next((column.field_type for column in self.columns if self.name_of(column.name) == name), None)

    def json_columns(self) -> frozenset[str]:
        """Columns that hold lists or objects."""
        return frozenset({EXTRA, *(self.name_of(column.name) for column in self.columns if column.field_type in _JSON)})

    def apply(self, batch: Any, before: int, *, has_nul: bool = True) -> dict[str, Any]:
        """Arrow arrays by the names of the columns they go to; lists and objects as JSON texts.

        ``before`` is how many rows came before these; ``has_nul`` tells that there may be a NUL in one of their texts. New
        names are in :attr:`discovered` afterwards.

        :raises LoadError: a field without a column, where that is to fail; a row without its key.
        """
        arrays: dict[str, Any] = {}
        for column in self.columns:
            array = _flat(batch.column(column.name))
            arrays[self.name_of(column.name)] = _without_nul(array, is_json=column.field_type in _JSON) if has_nul else array
        if self.has_extra:
            extra = batch.column(EXTRA)
            if extra.null_count < len(extra):
                arrays |= self._of_extra(extra, arrays)
        for key in self._keys:
            array = arrays.get(key)
            if array is None or array.null_count:
                position = before + (array.is_null().to_pylist().index(True) if array is not None else 0)
                raise LoadError(
                    f"Record {position + 1:,} of {self._resource} has no {key}: an upsert cannot tell whether it is there"
                    " already. Name other key_columns, or use mode='replace'."
                )
        if self._with_position:
            arrays[POSITION] = pa.array(range(before, before + batch.num_rows), pa.int64())
        return arrays

    def _of_extra(self, extra: Any, taken: Mapping[str, Any]) -> dict[str, Any]:
        rows = [_members.decode(text) if text is not None else {} for text in extra.to_pylist()]
        names = {name for row in rows for name, raw in row.items() if bytes(raw) != b"null"}
        if self._asked_for is not None:
            # The API adds an identifier that nobody asked for.
            names &= self._asked_for
        places = {name: self.name_of(name) for name in names}
        double = sorted(name for name, place in places.items() if place in taken or place in (EXTRA, POSITION))
        if double:
            raise LoadError(f"The field {shorten(double[0], 60)!r} would go to a column that has another: see column_mapping.")
        homeless = sorted(name for name in names if not self._has_column(places[name]))
        if homeless:
            self._find_homes(homeless)
        spread = {place: name for name, place in places.items() if self._has_column(place)}
        arrays = {
            place: _without_nul(pa.array([_text(row.get(name)) for row in rows], pa.string()), is_json=False)
            for place, name in sorted(spread.items())
        }
        if self._policy == "extra_column":
            rest = names - set(spread.values())
            if EXTRA not in self.discovered:
                self.discovered.append(EXTRA)
            objects = [{name: raw for name, raw in row.items() if name in rest} for row in rows]
            texts = [msgspec.json.encode(each).decode() if each else None for each in objects]
            arrays[EXTRA] = _without_nul(pa.array(texts, pa.string()), is_json=True)
        return arrays

    def _has_column(self, name: str) -> bool:
        return name in self.discovered or (self._table is not None and name in self._table)

    def _find_homes(self, names: Sequence[str]) -> None:
        if self._policy == "ignore":
            self._tell_ignored(names)
        elif self._policy == "add" or (self._policy == "fail" and self._table is None):
            # In a table that is being made, a tenant's own fields are nothing new.
            self.discovered += [self.name_of(name) for name in names]
        elif self._policy == "fail":
            raise self._no_column(names)

    def _tell_ignored(self, names: Iterable[str]) -> None:
        new = sorted(set(names) - self._ignored)
        if new:
            self._ignored.update(new)
            self._log.warning("The table has no column for %s: left out, as schema_change='ignore' says", _listed(new))

    def _no_column(self, names: Sequence[str]) -> LoadError:
        return LoadError(
            f"The table has no column for {_listed(names)} of {self._resource}. schema_change='add' makes columns,"
            f" 'extra_column' puts such fields together into {EXTRA}, and 'ignore' leaves them out."
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(shorten(name, 60) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10:,} more"


def _text(raw: msgspec.Raw | None) -> str | None:
    return None if raw is None else text_of(bytes(raw))


def may_hold_nul(page: Page) -> bool:
    """Whether a text of the page may hold the character NUL, which in JSON is written with six others."""
    return (b"\\u0000" if isinstance(page, JsonPage) else b"\x00") in page.data


def _flat(array: Any) -> Any:
    if not pa.types.is_list(array.type):
        return array
    texts = [None if value is None else msgspec.json.encode(value).decode() for value in array.to_pylist()]
    return pa.array(texts, pa.string())


def _without_nul(array: Any, *, is_json: bool) -> Any:
    if not pa.types.is_string(array.type):
        return array
    if not is_json:
        return pc.replace_substring(array, _NUL, _REPLACEMENT)
    texts = [
        None if text is None else _NUL_IN_JSON.sub(lambda match: match[1] or _REPLACEMENT, text) for text in array.to_pylist()
    ]
    return pa.array(texts, pa.string())
