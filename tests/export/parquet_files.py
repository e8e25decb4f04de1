"""Parquet files of pages, read back."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_custobar.api.pages import CsvPage, JsonPage, decode_csv_page
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.export.encoders import make_encoder
from tests.export.support import json_page


def file_of(
    resource: str,
    *pages: JsonPage | CsvPage,
    fields: Any = (),
    zone: str = "UTC",
    codec: Any = "zstd",
    api_format: Any = "json",
) -> bytes:
    encoder = make_encoder("parquet", api_format, fields, resource=RESOURCES[resource], timezone=zone, codec=codec)
    return b"".join([*map(encoder.encode, pages), encoder.finish()])


def table_of(resource: str, *pages: JsonPage | CsvPage, **arguments: Any) -> pa.Table:
    return pq.read_table(pa.BufferReader(file_of(resource, *pages, **arguments)))


def rows_of(resource: str, *pages: JsonPage | CsvPage, **arguments: Any) -> list[dict[str, Any]]:
    return table_of(resource, *pages, **arguments).to_pylist()


def records(*values: dict[str, Any]) -> JsonPage:
    return json_page(*(json.dumps(value) for value in values))


def csv_of(header: list[str], rows: list[list[str]]) -> CsvPage:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([header, *rows])
    return decode_csv_page(out.getvalue().encode(), {"content-type": "text/csv"}, "events")
