"""Rows out of Arrow's record batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import types

from airflow_provider_custobar.api.errors import shorten
from airflow_provider_custobar.upload.formats.arrow_values import UNFIT, hint_of, reading_of
from airflow_provider_custobar.upload.formats.errors import UnreadableFileError
from airflow_provider_custobar.upload.values import Unfit


class ArrowRows:
    """The rows of record batches that have ``schema``. A value that cannot be had exactly is :class:`Unfit`.

    :raises UnreadableFileError: two columns, or two members of one struct, have the same name.
    """

    def __init__(self, schema: Any) -> None:
        fields = list(schema)
        _check_names("", pa.struct(fields))
        self._columns = [_Column(field) for field in fields]
        self._names = [field.name for field in fields]

    def of(self, batch: Any) -> Iterator[dict[str, Any]]:
        """A row for each of the batch."""
        if batch.num_rows and not self._names:
            raise UnreadableFileError("its rows have no columns")
        values = [column.values(array) for column, array in zip(self._columns, batch.columns, strict=True)]
        return (dict(zip(self._names, cells, strict=True)) for cells in zip(*values, strict=True))


class _Column:
    """How the values of one column are had."""

    def __init__(self, field: Any) -> None:
        self._type = field.type
        self._storage, self._convert = reading_of(field)
        self._reason = f"holds a {shorten(str(field.type), 60)} that has no exact form in JSON{hint_of(field.type)}"

    def values(self, array: Any) -> list[Any]:
        try:
            return self._all(array)
        except UNFIT:
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
            return Unfit(self._reason, _shown(cell))


def _shown(cell: Any) -> str | None:
    """What a value is, as far as that can be told."""
    try:
        text: str | None = cell.cast(pa.string()).to_pylist()[0]
    except UNFIT:
        return None
    return text


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
