"""Pages turned into Arrow's record batches, with one schema for all of them."""

from __future__ import annotations

import csv
import functools
import operator
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from airflow_provider_custobar.api.csv_text import split_rows
from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.pages import CsvPage, JsonPage
from airflow_provider_custobar.api.resources import Resource
from airflow_provider_custobar.columns.arrow_columns import EXTRA, Column, ColumnTypeError, UnfitError, zone_of

# So much of a CSV page is texts at once.
_CSV_BLOCK_BYTES = 4 << 20
_BOM = b"\xef\xbb\xbf"
# More names than that are not fields of a schema; such pages take the slower way.
_MOST_EXTRA_NAMES = 500


class ArrowPages:
    """Reads pages as ``columns``, and with ``has_extra`` the other fields of a JSON record as one JSON object, ``_extra``.

    ``timezone`` is that of timestamps without an offset. ``place`` and ``advice`` complete the message about a value that does
    not fit: where records are counted from, and what to do.
    """

    def __init__(
        self,
        resource: Resource,
        columns: Sequence[Column],
        *,
        has_extra: bool,
        timezone: str,
        rows_before: int = 0,
        place: str = "",
        advice: str,
    ) -> None:
        self._resource = resource.name
        self._columns = tuple(columns)
        self._has_extra = has_extra
        self._zone = zone_of(timezone)
        fields = [pa.field(column.name, column.arrow_type) for column in self._columns]
        self.schema = pa.schema([*fields, pa.field(EXTRA, pa.string())] if has_extra else fields)
        self._records = _RecordReader(self._columns, has_extra=has_extra)
        self._rows = rows_before
        self._place = place
        self._advice = advice

    def batches(self, page: JsonPage | CsvPage) -> Iterator[Any]:
        """The rows of ``page``.

        :raises ColumnTypeError: names the first value that its column's type cannot hold, by field and position.
        :raises ProtocolError: CSV that cannot be read, or has more or fewer rows than the page counts.
        """
        if not page.rows:
            return
        for arrays in [self._from_records(page)] if isinstance(page, JsonPage) else self._from_csv(page):
            yield pa.record_batch(arrays, schema=self.schema)
            del arrays
        self._rows += page.rows

    def _from_records(self, page: JsonPage) -> list[Any]:
        try:
            return self._records.arrays(page, self._zone)
        except (msgspec.DecodeError, ValueError, OverflowError, UnfitError):
            # Something on this page is not as usual: each value is looked at, to be read or named.
            members = [msgspec.json.decode(record, type=dict[str, msgspec.Raw]) for record in page.records]
        arrays = []
        for column in self._columns:
            raws = [None if (raw := record.get(column.name)) is None else bytes(raw) for record in members]
            try:
                arrays.append(column.read(raws, self._zone))
            except UnfitError as unfit:
                raise self._unfit(column, unfit) from None
        if self._has_extra:
            known = {column.name for column in self._columns}
            names = [sorted(record.keys() - known) for record in members]
            extras = zip(names, members, strict=True)
            objects = [_object(map(_key, own), [record[name] for name in own]) for own, record in extras]
            arrays.append(pa.array(objects, pa.string()))
        return arrays

    def _from_csv(self, page: CsvPage) -> list[list[Any]]:
        if len(set(page.header)) < len(page.header):
            raise ProtocolError(f"A CSV page of {self._resource} names a column twice.")
        try:
            blocks = []
            rows = 0
            for block in _csv_blocks(page):
                blocks.append(self._from_texts(dict(zip(page.header, block.columns, strict=True)), block.num_rows, rows))
                rows += block.num_rows
            if rows == page.rows:
                return blocks
        except pa.ArrowInvalid:
            pass
        # Python's own reader has the last word; Arrow's tells of a wrong row by showing it.
        return [self._from_texts(_csv_texts_row_by_row(page, self._resource), page.rows, 0)]

    def _from_texts(self, texts: dict[str, Any], rows: int, before: int) -> list[Any]:
        arrays = []
        for column in self._columns:
            # The API gives no column to a name that the tenant does not have.
            if column.name not in texts:
                arrays.append(pa.nulls(rows, column.arrow_type))
                continue
            try:
                arrays.append(column.parse(texts[column.name], self._zone))
            except UnfitError as unfit:
                raise self._unfit(column, unfit, before) from None
        return arrays

    def _unfit(self, column: Column, unfit: UnfitError, before: int = 0) -> ColumnTypeError:
        number = self._rows + before + unfit.index + 1
        return ColumnTypeError(
            f"Record {number:,} of {self._resource}{self._place} has a {unfit.kind} in {column.name}, a column of type"
            f" {column.expected} ({column.arrow_type}), which cannot hold it. Leave {column.name} out of fields, or"
            f" {self._advice}."
        )


class _RecordReader:
    """JSON records read column by column. Names of other fields are learnt as they are met.

    As long as all records are as the catalogue has them, Arrow itself reads them: faster, and without pandas, which it imports
    for Python's own values wherever that is installed.
    """

    def __init__(self, columns: Sequence[Column], *, has_extra: bool) -> None:
        self._columns = tuple(columns)
        types = [column.plain_type for column in columns]
        self._plain = None if None in types else pa.schema(zip([column.name for column in columns], types, strict=True))
        self._has_extra = has_extra
        self._extra_names: tuple[str, ...] = ()

    def arrays(self, page: JsonPage, zone: tzinfo) -> list[Any]:
        """One array a column.

        :raises msgspec.DecodeError, UnfitError, pyarrow.ArrowInvalid, OverflowError: a value is not of its column's usual type.
        """
        if self._plain is not None:
            try:
                return self._read_plain(page, self._plain, zone)
            except (pa.ArrowException, UnfitError):
                # Fields or values of other kinds rarely come alone.
                self._plain = None
        body = b"".join((b"[", page.data[:-1].replace(b"\n", b","), b"]"))
        try:
            rows = self._decode(body)
        except msgspec.ValidationError:
            if not self._learn_names(body):
                raise
            rows = self._decode(body)
        arrays = [column.array(_values(rows, number), zone) for number, column in enumerate(self._columns)]
        if self._has_extra:
            arrays.append(self._extra(rows))
        return arrays

    def _read_plain(self, page: JsonPage, schema: Any, zone: tzinfo) -> list[Any]:
        table = pa.json.read_json(
            pa.BufferReader(page.data),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=len(page.data) + 1),
            parse_options=pa.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="error" if self._has_extra else "ignore"
            ),
            # Arrow's own pool keeps 20 MB more of what a page took and gave back.
            memory_pool=pa.system_memory_pool(),
        )
        if table.num_rows != page.rows:
            raise pa.ArrowInvalid("a record is not one object")
        arrays = [column.of_plain(_whole(table.column(column.name)), zone) for column in self._columns]
        return [*arrays, pa.nulls(page.rows, pa.string())] if self._has_extra else arrays

    def _decode(self, body: bytes) -> list[Any]:
        return _decoder_of(self._columns, self._extra_names, self._has_extra).decode(body)

    def _learn_names(self, body: bytes) -> bool:
        if not self._has_extra:
            return False
        members = msgspec.json.decode(body, type=list[dict[str, msgspec.Raw]])
        names = set[str]().union(*members) - {column.name for column in self._columns}
        together = tuple(sorted(names.union(self._extra_names)))
        if together == self._extra_names or len(together) > _MOST_EXTRA_NAMES:
            return False
        self._extra_names = together
        return True

    def _extra(self, rows: Sequence[Any]) -> Any:
        first = len(self._columns)
        if not self._extra_names:
            return pa.nulls(len(rows), pa.string())
        values = [_values(rows, first + number) for number in range(len(self._extra_names))]
        keys = [_key(name) for name in self._extra_names]
        return pa.array([_object(keys, of_record) for of_record in zip(*values, strict=True)], pa.string())


@functools.lru_cache(maxsize=16)
def _decoder_of(columns: tuple[Column, ...], extra_names: tuple[str, ...], is_all: bool) -> msgspec.json.Decoder[list[Any]]:
    """Decodes a list of records, as objects with ``f0``, ``f1``... ``is_all`` says that no other fields may be there."""
    types = [(column.name, column.json_type) for column in columns] + [(name, msgspec.Raw) for name in extra_names]
    fields = [
        (f"f{number}", json_type, msgspec.field(name=name, default=None)) for number, (name, json_type) in enumerate(types)
    ]
    # Nothing in a record refers back to it, so the garbage collector need not look at them.
    record = msgspec.defstruct("Record", fields, forbid_unknown_fields=is_all, gc=False)
    return msgspec.json.Decoder(list[record])  # type: ignore[valid-type]


def _values(rows: Sequence[Any], number: int) -> list[Any]:
    return list(map(operator.attrgetter(f"f{number}"), rows))


def _key(name: str) -> bytes:
    return msgspec.json.encode(name) + b":"


def _object(keys: Iterable[bytes], values: Iterable[msgspec.Raw | None]) -> str | None:
    """Keys come sorted, so that the same record gives the same text whatever came before it."""
    members = [b"".join((key, value)) for key, value in zip(keys, values, strict=True) if value is not None]
    return f"{{{b','.join(members).decode()}}}" if members else None


def _csv_blocks(page: CsvPage) -> Iterator[Any]:
    """A page's cells as record batches of texts; an empty cell is null, quoted or not. Nothing else is."""
    columns = [str(number) for number in range(len(page.header))]
    # Arrow takes the first one for a byte order mark, which here would be a cell's own character.
    body = _BOM + page.body if page.data.startswith(_BOM, page.skip) else page.view
    yield from pa.csv.open_csv(
        pa.BufferReader(body),
        read_options=pa.csv.ReadOptions(column_names=columns, block_size=_CSV_BLOCK_BYTES, use_threads=False),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )


def _csv_texts_row_by_row(page: CsvPage, resource: str) -> dict[str, Any]:
    try:
        rows = [cells for _, cells in split_rows(page.body)]
    except csv.Error as error:
        raise ProtocolError(f"A CSV page of {resource} cannot be read ({error}).") from None
    wrong = next((cells for cells in rows if len(cells) != len(page.header)), None)
    if wrong is not None:
        raise ProtocolError(f"A CSV row of {resource} has {len(wrong)} cells where the header has {len(page.header)}.")
    if len(rows) != page.rows:
        raise ProtocolError(f"A CSV page of {resource} has {len(rows):,} rows where {page.rows:,} were counted.")
    texts = (pa.array([cell or None for cell in cells], pa.string()) for cells in zip(*rows, strict=True))
    return dict(zip(page.header, texts, strict=True))


def _whole(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
