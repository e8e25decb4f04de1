"""Rows out of Parquet."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from airflow_provider_custobar.api.errors import MissingExtraError
from airflow_provider_custobar.upload.formats.errors import UnreadableFileError
from airflow_provider_custobar.upload.rows import Unreadable

_ROWS = 1_000


def read_parquet(data: io.BufferedReader) -> Iterator[object]:
    """A value that JSON cannot hold exactly comes as :class:`~airflow_provider_custobar.upload.values.Unfit`.

    :raises UnreadableFileError: damaged, cut short, or with two columns of one name.
    :raises MissingExtraError: pyarrow is not installed.
    """
    try:
        # Only here, so that everything else works without pyarrow and does not wait for its import.
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        from airflow_provider_custobar.upload.formats import int96  # noqa: PLC0415
        from airflow_provider_custobar.upload.formats.arrow_rows import ArrowRows  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "Parquet files need the pyarrow package: pip install 'airflow-provider-custobar[parquet]'"
        ) from error
    with _seekable(data) as seekable:
        try:
            file = pq.ParquetFile(seekable, coerce_int96_timestamp_unit=int96.UNIT)
            rows = ArrowRows(file.schema_arrow)
            loses_digits = int96.rows_that_lose_digits(seekable, file, _ROWS)
            for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
                for row in rows.of(batch):
                    is_cut = loses_digits is not None and next(loses_digits)
                    yield Unreadable("it holds a timestamp with digits beyond microseconds", row) if is_cut else row
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFileError(str(error)) from error


def _seekable(data: io.BufferedReader) -> BinaryIO | io.BufferedReader | Any:
    """Parquet begins at its end, so what can only be read forward is put into a temporary file."""
    if data.seekable():
        return data
    copy = tempfile.TemporaryFile(prefix="custobar-parquet-")  # noqa: SIM115 - whoever reads it closes it
    try:
        shutil.copyfileobj(data, copy)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy
