"""Parquet's old timestamps, INT96, which Spark, Hive and Impala write: a day and the nanoseconds of it.

Arrow reads them as nanoseconds, which do not reach the year 2263, or as microseconds, which lose digits. So both are read, and
compared modulo the 64 bits that Arrow has for either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from airflow_provider_custobar.upload.formats.arrow_values import reading_of

#: What to read them as.
UNIT = "us"
_BITS = 2**64


def rows_that_lose_digits(data: Any, file: Any, batch_size: int) -> Iterator[bool] | None:
    """For each row of ``file``, which reads ``data`` in microseconds, whether it has more digits; None where none can."""
    leaves = [file.schema.column(place) for place in range(len(file.schema))]
    paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
    if not paths:
        return None

    def numbers(unit: str) -> Iterator[tuple[Any, ...]]:
        same = pq.ParquetFile(data, coerce_int96_timestamp_unit=unit)
        for batch in same.iter_batches(batch_size=batch_size, columns=paths, use_threads=False):
            readings = map(reading_of, batch.schema)
            arrays = [array.cast(storage).to_pylist() for array, (storage, _) in zip(batch.columns, readings, strict=True)]
            yield from zip(*arrays, strict=True)

    return (not _agree(coarse, fine) for coarse, fine in zip(numbers(UNIT), numbers("ns"), strict=True))


def _agree(coarse: Any, fine: Any) -> bool:
    if isinstance(coarse, (list, tuple)):
        return all(map(_agree, coarse, fine))
    if isinstance(coarse, dict):
        return all(_agree(item, fine[name]) for name, item in coarse.items())
    return (fine - coarse * 1_000) % _BITS == 0 if isinstance(coarse, int) else bool(coarse == fine)
