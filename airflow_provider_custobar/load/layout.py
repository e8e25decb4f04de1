"""Which of the table's columns a load fills, with what, and what to do about fields that have none."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_custobar.api.errors import InvalidArgumentError, field_name, field_names
from airflow_provider_custobar.api.pages import JsonPage, Page
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.resources import NESTED_TYPES, TEXT_TYPES, FieldType
from airflow_provider_custobar.columns.arrow_columns import EXTRA, Column, ColumnTypeError, UnfitError, columns_of, zone_of
from airflow_provider_custobar.load.job import LoadError, SchemaChange

#: Counts the rows of a load, to tell which of two with the same key came last.
POSITION = "_custobar_position"


def sent_columns(keys: Sequence[str]) -> tuple[str, ...]:
    """The names of columns for the texts that the keys came as, whatever the table's own columns make of them."""
    return tuple(f"_custobar_key_{number}" for number in range(len(keys)))


# No database but a few can hold this character in a text. The other form is JSON's; group 1 is what is in order.
_NUL = "\x00"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NUL_IN_JSON = re.compile(r"(\\\\)|\\u0000")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Layout:
    """Turns batches of fields into batches of the table's columns.

    ``table_columns`` are those of the table as it is, None where it is still to be made. ``check_name`` refuses names that the
    database cannot hold, and ``fold`` makes those alike that it takes for one. ``timezone`` is that of timestamps without an
    offset.
    """

    def __init__(
        self,
        query: Query,
        *,
        table_columns: Sequence[str] | None,
        check_name: Callable[[str], None],
        fold: Callable[[str], str],
        column_mapping: Mapping[str, str],
        schema_change: SchemaChange,
        keys: Sequence[str],
        timezone: str,
        logger: logging.Logger,
    ) -> None:
        self._resource = query.resource
        self._mapping = column_mapping
        self._is_new = table_columns is None
        self._check_name = check_name
        self._fold = fold
        # The columns that there are, and those that will be, as they are written.
        self._places = {fold(name): name for name in table_columns or ()}
        self._policy = schema_change
        self._zone = zone_of(timezone)
        self._log = logger
        self._ignored: set[str] = set()
        self._types: dict[str, FieldType | None] = {EXTRA: FieldType.OBJECTS}
        #: Columns beside those of :attr:`columns`, in the table or to be added, in the order in which values came for them.
        self.discovered: list[str] = []
        self.has_extra = not query.fields
        self._asked_for = frozenset(query.fields) or None
        self.columns = self._known(query)
        names = [self.name_of(column.name) for column in self.columns]
        twice = _first_repeated(names, fold)
        if twice is not None:
            raise InvalidArgumentError("column_mapping", dict(column_mapping), f"two fields would go to the column {twice!r}")
        if not names:
            raise LoadError(
                f"The table has no column for any field of {query.resource.name}: see column_mapping and schema_change."
            )
        for name, column in zip(names, self.columns, strict=True):
            check_name(name)
            self._places[fold(name)] = name
            self._types[name] = column.field_type
        #: Columns that tell rows apart.
        self.keys = tuple(self._places.get(fold(key), key) for key in keys)
        #: For each of them, the column that its value is in as it came.
        self.sent = dict(zip(self.keys, sent_columns(self.keys), strict=True))

    def name_of(self, field: str) -> str:
        """The column of a field, as it is written where there is one."""
        name = self._mapping.get(field, field)
        return self._places.get(self._fold(name), name)

    def _known(self, query: Query) -> tuple[Column, ...]:
        columns = columns_of(query.resource, query.columns)
        if self._is_new:
            return columns
        there = [column for column in columns if self._has_column(self.name_of(column.name))]
        missing = [name for name in query.fields if not self._has_column(self.name_of(name))]
        if not missing:
            return tuple(there)
        if self._policy == "extra_column":
            self.has_extra = True
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
        return self._types.get(name)

    def text_columns(self) -> frozenset[str]:
        """Columns of fields that are texts, or of no documented type."""
        return frozenset(name for name, field_type in self._types.items() if field_type is None or field_type in TEXT_TYPES)

    def json_columns(self) -> frozenset[str]:
        """Columns that hold lists or objects."""
        return frozenset(name for name, field_type in self._types.items() if field_type in NESTED_TYPES)

    def resume(self, discovered: Iterable[str]) -> None:
        """Take over what an earlier attempt has discovered."""
        self.discovered[:] = discovered
        fields = {column: field for field, column in self._mapping.items()}
        for name in self.discovered:
            self._places[self._fold(name)] = name
            self._types.setdefault(name, self._resource.read_fields.get(fields.get(name, name)))

    def apply(self, batch: Any, before: int, *, has_nul: bool = True) -> dict[str, Any]:
        """Arrow arrays by the names of the columns they go to; lists and objects as JSON texts.

        ``before`` is how many rows came before these; ``has_nul`` tells that there may be a NUL in one of their texts. New
        names are in :attr:`discovered` afterwards.

        :raises LoadError: a field without a column, where that is to fail; a row without its key.
        :raises ColumnTypeError: a value that its field's type cannot hold.
        """
        arrays: dict[str, Any] = {}
        for column in self.columns:
            array = _flat(batch.column(column.name))
            arrays[self.name_of(column.name)] = (
                _without_nul(array, is_json=column.field_type in NESTED_TYPES) if has_nul else array
            )
        if self.has_extra:
            extra = batch.column(EXTRA)
            if extra.null_count < len(extra):
                arrays |= self._of_extra(extra, arrays, before)
        for key in self.keys:
            array = arrays.get(key)
            if array is None or array.null_count:
                position = before + (array.is_null().to_pylist().index(True) if array is not None else 0)
                raise LoadError(
                    f"Record {position + 1:,} of {self._resource.name} has no {key}: an upsert cannot tell whether it is there"
                    " already. Name other key_columns, or use mode='replace'."
                )
        if self.keys:
            arrays[POSITION] = pa.array(range(before, before + batch.num_rows), pa.int64())
        arrays |= {sent: _as_texts(arrays[key]) for key, sent in self.sent.items()}
        return arrays

    def _of_extra(self, extra: Any, taken: Mapping[str, Any], before: int) -> dict[str, Any]:
        rows = [_members.decode(text) if text is not None else {} for text in extra.to_pylist()]
        names = {name for row in rows for name, raw in row.items() if bytes(raw) != b"null"}
        if self._asked_for is not None:
            # The API adds an identifier that nobody asked for.
            names &= self._asked_for
        homeless = sorted(name for name in names if not self._has_column(self.name_of(name)))
        if homeless:
            self._find_homes(homeless)
        spread = {name: place for name in sorted(names) if self._has_column(place := self.name_of(name))}
        self.discovered += [place for place in spread.values() if place not in self.discovered]
        places = [*spread.values(), *taken, EXTRA, POSITION, *self.sent.values()]
        twice = _first_repeated(places, self._fold)
        if twice is not None:
            fields = field_names(name for name, place in spread.items() if self._fold(place) == self._fold(twice))
            raise LoadError(
                f"{fields}: a field would go to the column {field_name(twice)}, which has another. See column_mapping."
            )
        arrays = {place: self._array(name, [row.get(name) for row in rows], before) for name, place in spread.items()}
        rest = names - spread.keys()
        if rest and self._policy == "extra_column":
            if EXTRA not in self.discovered:
                self.discovered.append(EXTRA)
            objects = [{name: raw for name, raw in row.items() if name in rest} for row in rows]
            texts = [msgspec.json.encode(each).decode() if each else None for each in objects]
            arrays[EXTRA] = _without_nul(pa.array(texts, pa.string()), is_json=True)
        return arrays

    def _array(self, name: str, raws: Sequence[msgspec.Raw | None], before: int) -> Any:
        """An array of a field's JSON, of its documented type, else texts."""
        column = Column(name, self._resource.read_fields.get(name))
        try:
            array = column.read([None if raw is None else bytes(raw) for raw in raws], self._zone)
        except UnfitError as unfit:
            raise ColumnTypeError(
                f"Record {before + unfit.index + 1:,} of {self._resource.name} has a {unfit.kind} in {field_names([name])},"
                f" a field of type {column.expected}, which cannot hold it. Leave it out of fields."
            ) from None
        return _without_nul(_flat(array), is_json=column.field_type in NESTED_TYPES)

    def _has_column(self, name: str) -> bool:
        return self._fold(name) in self._places

    def _find_homes(self, names: Sequence[str]) -> None:
        if self._policy == "ignore":
            self._tell_ignored(names)
        elif self._policy == "add" or (self._policy == "fail" and self._is_new):
            # In a table that is being made, a tenant's own fields are nothing new.
            for field in names:
                name = self.name_of(field)
                if not self._has_column(name):
                    self._check_name(name)
                    self._places[self._fold(name)] = name
                    self._types[name] = self._resource.read_fields.get(field)
        elif self._policy == "fail":
            raise self._no_column(names)

    def _tell_ignored(self, names: Iterable[str]) -> None:
        new = sorted(set(names) - self._ignored)
        if new:
            self._ignored.update(new)
            self._log.warning("The table has no column for %s: left out, as schema_change='ignore' says", field_names(new))

    def _no_column(self, names: Sequence[str]) -> LoadError:
        return LoadError(
            f"The table has no column for {field_names(names)} of {self._resource.name}. schema_change='add' makes columns,"
            f" 'extra_column' puts such fields together into {EXTRA}, and 'ignore' leaves them out."
        )


def _first_repeated(names: Sequence[str], fold: Callable[[str], str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if fold(name) in seen:
            return name
        seen.add(fold(name))
    return None


def may_hold_nul(page: Page) -> bool:
    """Whether a text of the page may hold the character NUL, which in JSON is written with six others."""
    return (b"\\u0000" if isinstance(page, JsonPage) else b"\x00") in page.data


def _flat(array: Any) -> Any:
    if not pa.types.is_list(array.type):
        return array
    texts = [None if value is None else msgspec.json.encode(value).decode() for value in array.to_pylist()]
    return pa.array(texts, pa.string())


def _as_texts(array: Any) -> Any:
    # Arrow takes thirty times as long to write a moment that has a zone.
    return (array.cast(pa.timestamp("us")) if pa.types.is_timestamp(array.type) else array).cast(pa.string())


def _without_nul(array: Any, *, is_json: bool) -> Any:
    if not pa.types.is_string(array.type):
        return array
    if not is_json:
        return pc.replace_substring(array, _NUL, _REPLACEMENT)
    texts = [
        None if text is None else _NUL_IN_JSON.sub(lambda match: match[1] or _REPLACEMENT, text) for text in array.to_pylist()
    ]
    return pa.array(texts, pa.string())
