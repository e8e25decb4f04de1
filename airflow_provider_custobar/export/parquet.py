"""Pages turned into Parquet files with one schema for every page and every day, made of the catalogue."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from airflow_provider_custobar.api.pages import CsvPage, JsonPage
from airflow_provider_custobar.api.resources import Resource
from airflow_provider_custobar.columns.arrow_columns import columns_of
from airflow_provider_custobar.columns.arrow_pages import ArrowPages
from airflow_provider_custobar.export.compression import Codec

# A row group is what readers skip or load as one; small ones cost them more than the rows do. The largest CSV page makes one.
_GROUP_ROWS = 100_000
_GROUP_BYTES = 64 << 20
_LEVEL = 1


class _Outbox(io.RawIOBase):
    """What pyarrow has written since it was last taken out."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class ParquetFile:
    """One Parquet file of JSON or CSV pages. Rows wait in memory until they make a row group.

    Where no ``names`` are given, the columns are the catalogue's and ``_extra``, a JSON object of a record's other fields.
    ``timezone`` is that of timestamps without an offset, ``codec`` the compression of the columns within the file.
    """

    #: The end of the file describes all of it, and pyarrow takes up no file that another has begun.
    can_go_on = False

    def __init__(self, resource: Resource, names: Sequence[str], *, timezone: str, codec: Codec) -> None:
        self._pages = ArrowPages(
            resource,
            columns_of(resource, names),
            has_extra=not names,
            timezone=timezone,
            place=" in this file",
            advice="export to jsonl, which keeps values as they are",
        )
        self._codec = codec
        self._outbox = _Outbox()
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._waiting_rows = self._waiting_bytes = 0

    @property
    def schema(self) -> Any:
        return self._pages.schema

    def go_on(self) -> None:
        raise NotImplementedError("a Parquet file that another has begun cannot be taken over; see can_go_on")

    def encode(self, page: JsonPage | CsvPage) -> bytes:
        """The bytes of the row groups that ``page`` has made full, which may be none.

        :raises ColumnTypeError: names the first value that its column's type cannot hold, by field and position.
        """
        if not page.rows:
            return b""
        for batch in self._pages.batches(page):
            self._waiting.append(batch)
            self._waiting_bytes += batch.nbytes
            del batch
        self._waiting_rows += page.rows
        if self._waiting_rows >= _GROUP_ROWS or self._waiting_bytes >= _GROUP_BYTES:
            self._write_group()
        return self._outbox.take()

    def finish(self) -> bytes:
        if self._waiting:
            self._write_group()
        self._open_writer().close()
        return self._outbox.take()

    def _open_writer(self) -> Any:
        if self._writer is None:
            self._writer = pa.parquet.ParquetWriter(
                self._outbox,
                self.schema,
                compression=self._codec or "none",
                compression_level=_LEVEL if self._codec else None,
            )
        return self._writer

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self.schema)
        self._waiting.clear()
        self._waiting_rows = self._waiting_bytes = 0
        self._open_writer().write_table(table, row_group_size=max(table.num_rows, 1))
        del table
        # Else the pool keeps what a row group took, and memory creeps up over the first dozen of them.
        pa.default_memory_pool().release_unused()
