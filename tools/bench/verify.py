"""How many records lie in the bucket: a benchmark of wrong output is worth nothing."""

from __future__ import annotations

import csv
import gzip
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet

from tools.bench.plan import FLOOR, Format

_CHUNK_BYTES = 1 << 20
#: How a record begins in the API's JSON.
_RECORD = b'{"type": '


def count_rows(client: Any, bucket: str, prefix: str, kind: Format, contestant: str) -> int:
    """Records in all data objects under the prefix."""
    total = 0
    for item in client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        # dlt keeps its state in folders beside the data.
        if "/_dlt" in item["Key"] or item["Key"].endswith("/init"):
            continue
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "object"
            client.download_file(bucket, item["Key"], str(path))
            total += _count_raw(path, kind) if contestant == FLOOR else _count(path, kind)
    return total


def _count(path: Path, kind: Format) -> int:
    if kind.file_format == "parquet":
        return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
    if kind.file_format == "csv":
        return _count_csv(path, is_gzip=kind.gzip)
    with gzip.open(path) if kind.gzip else path.open("rb") as lines:
        return sum(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines)


def _count_raw(path: Path, kind: Format) -> int:
    if kind.page_format == "csv":
        return _count_csv(path, is_gzip=False, repeated_header=True)
    count, rest = 0, b""
    with path.open("rb") as data:
        while chunk := data.read(_CHUNK_BYTES):
            window = rest + chunk
            count += window.count(_RECORD)
            rest = window[-(len(_RECORD) - 1) :]
    return count


def _count_csv(path: Path, *, is_gzip: bool, repeated_header: bool = False) -> int:
    with gzip.open(path, "rt", encoding="utf-8", newline="") if is_gzip else path.open(encoding="utf-8", newline="") as text:
        reader = csv.reader(text)
        header = next(reader)
        return sum(not repeated_header or row != header for row in reader)
