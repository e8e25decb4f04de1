"""Rows out of Arrow's record batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import types

from airflow_provider_custobar.api.errors import shorten
from airflow_provider_custobar.upload.formats.arrow_values import UNFIT, hint_of, reading_of
from airflow_provider_custobar.upload.formats.errors import UnreadableFileError
from airflow_provider_custobar.upload.rows import Unreadable


class _Unfit:
    """Stands for a value that Python or JSON cannot hold. ``shown`` is what it is, as far as that can be told."""

    def __init__(self, shown: str | None) -> None:
        self.shown = shown


class ArrowRows:
    """The rows of record batches that have ``schema``.

    :raises UnreadableFileError: two columns, or two members of one struct, have the same name.
    """

    def __init__(self, schema: Any) -> None:
        fields = list(schema)
        _check_names("", pa.struct(fields))
        self._columns = [_Column(field) for field in fields]
        self._names = [field.name for field in fields]

    def of(self, batch: Any) -> Iterator[object]:
        """A row for each of the batch; one with a value that cannot be had exactly is :class:`Unreadable`."""
        if batch.num_rows and not self._names:
            raise UnreadableFileError("its rows have no columns")
        found = [column.values(array) for column, array in zip(self._columns, batch.columns, strict=True)]
        may_be_unfit = any(column.has_unfit for column in self._columns)
        for cells in zip(*found, strict=True):
            if may_be_unfit and any(isinstance(cell, _Unfit) for cell in cells):
                yield self._unreadable(cells)
            else:
                yield dict(zip(self._names, cells, strict=True))

    def _unreadable(self, cells: tuple[Any, ...]) -> Unreadable:
        reasons = [column.reason for column, cell in zip(self._columns, cells, strict=True) if isinstance(cell, _Unfit)]
        shown = [cell.shown if isinstance(cell, _Unfit) else cell for cell in cells]
        return Unreadable("; ".join(reasons), dict(zip(self._names, shown, strict=True)))


class _Column:
    """How the values of one column are had. ``has_unfit`` tells whether the last batch held any that cannot."""

    def __init__(self, field: Any) -> None:
        self._type = field.type
        self._storage, self._convert = reading_of(field)
        named = f"{shorten(field.name, 60)} holds a {shorten(str(field.type), 60)}"
        self.reason = f"{named} that has no exact form in JSON{hint_of(field.type)}"
        self.has_unfit = False

    def values(self, array: Any) -> list[Any]:
        self.has_unfit = False
        try:
            return self._all(array)
        except UNFIT:
            self.has_unfit = True
            return [self._one(array.slice(place, 1)) for place in range(len(array))]

    def _all(self, array: Any) -> list[Any]:
        convert = self._convert
        values: list[Any] = (array if self._storage.equals(self._type) else array.cast(self._storage)).to_pylist()
        return values if convert is None else [None if value is None else convert(value) for value in values]

    def _one(self, cell: Any) -> Any:
        if cell.null_count:
            return None
        try:
            return self._all(cell)[0]
        except UNFIT:
            pass
        try:
            shown: str | None = cell.cast(pa.string()).to_pylist()[0]
        except UNFIT:
            shown = None
        return _Unfit(shown)


def _check_names(owner: str, kind: Any) -> None:
    """The names of all members, however deep they are. Columns are those of no owner."""
    while isinstance(kind, pa.BaseExtensionType) or types.is_dictionary(kind):
        kind = kind.value_type if types.is_dictionary(kind) else kind.storage_type
    fields = [kind.field(place) for place in range(kind.num_fields)]
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None and types.is_struct(kind):
        whose = f"members of {shorten(owner, 60)}" if owner else "of its columns"
        raise UnreadableFileError(f"two {whose} are named {shorten(repr(twice), 60)}")
    for field in fields:
        # The parts of a list or a map have names that say nothing.
        _check_names(field.name if types.is_struct(kind) else owner, field.type)
