"""Files made of bytes, and what comes out of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_custobar.upload.files import File, FileRows


def file(name: str, data: bytes) -> File:
    return File(name=name, open=lambda: io.BytesIO(data))


def read(name: str, data: bytes, **arguments: Any) -> list[Any]:
    return list(FileRows([file(name, data)], **arguments))


def csv_bytes(rows: Sequence[dict[str, Any]], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def table_bytes(columns: Iterable[tuple[str, Any]], **options: Any) -> bytes:
    """A Parquet file of named arrays."""
    names, arrays = zip(*columns, strict=True)
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(list(arrays), names=list(names)), out, **options)
    return out.getvalue()


def parquet_bytes(rows: Sequence[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), out)
    return out.getvalue()
