"""Parquet and zstd through the operators: real stores, a running sandbox, and nothing in between replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.resources import READABLE, RESOURCES, FieldType
from airflow_provider_custobar.columns.arrow_columns import ColumnTypeError
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from tools.servers import S3Server

DAY = "2026-02-10"
NESTED = (FieldType.STRINGS, FieldType.STRING_OR_STRINGS, FieldType.OBJECTS)
PERIOD: dict[str, dict[str, Any]] = {"events": {"date": DAY, "event_types": ["BROWSE", "MAIL_OPEN"]}, "sales": {"date": DAY}}


def export(path: Path, resource: str, **arguments: Any) -> dict[str, Any]:
    settings = {"file_format": "parquet", **PERIOD.get(resource, {}), **arguments}
    return CustobarToObjectStorageOperator(task_id="export", path=f"file://{path}", resource=resource, **settings).execute({})


def flat_fields(resource: str) -> list[str]:
    return [name for name, kind in RESOURCES[resource].read_fields.items() if kind not in NESTED]


@pytest.mark.parametrize("style", ["z", "naive", "offset"])
@pytest.mark.parametrize("resource", READABLE)
def test_json_and_csv_pages_make_the_same_table(tenant: CustobarSandbox, tmp_path: Path, resource: str, style: str) -> None:
    """Rule: which pages the API was asked for cannot be told from the file, whatever the style of timestamps."""
    tenant.settings.datetime_style = style
    tables = {}
    for api_format in ("json", "csv", "auto"):
        path = tmp_path / f"{api_format}.parquet"
        export(path, resource, fields=flat_fields(resource), api_format=api_format, page_size=17)
        tables[api_format] = pq.read_table(path)
    assert tables["json"].num_rows > 20
    assert tables["csv"].equals(tables["json"], check_metadata=True)
    assert tables["auto"].equals(tables["json"], check_metadata=True)
    # The table is the same whichever was taken; that auto takes CSV shows in the requests.
    assert tenant.requests[-1].query["format"] == ["csv"]


@pytest.mark.parametrize("resource", READABLE)
def test_every_value_arrives(tenant: CustobarSandbox, tmp_path: Path, resource: str) -> None:
    """Rule: every record of the sandbox is in the file, each value as its own, unknown ones in ``_extra``."""
    result = export(tmp_path / "a.parquet", resource, page_size=23)
    expected = []
    timestamp = RESOURCES[resource].timestamp
    types = PERIOD.get(resource, {}).get("event_types", [None])
    for event_type in types:
        for record in tenant.records(resource):
            if resource in PERIOD and not record[timestamp].startswith(DAY):
                continue
            if event_type in (None, record.get("type")):
                expected.append(record)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert result["rows"] == len(rows) == len(expected) > 0
    key = RESOURCES[resource].key
    if key:
        expected.sort(key=lambda record: record[key])
    known = RESOURCES[resource].read_fields
    for row, record in zip(rows, expected, strict=True):
        extra = json.loads(row.pop("_extra") or "{}")
        assert extra == {name: value for name, value in record.items() if name not in known}
        shown = {name: as_written(known[name], value) for name, value in row.items() if value is not None}
        wanted = {name: in_list(known[name], value) for name, value in record.items() if name in known}
        assert shown == wanted


def as_written(kind: FieldType, value: Any) -> Any:
    if kind is FieldType.DATETIME:
        return value.isoformat().replace("+00:00", "Z")
    if kind is FieldType.DATE:
        return value.isoformat()
    return json.loads(value) if kind is FieldType.OBJECTS else value


def in_list(kind: FieldType, value: Any) -> Any:
    return [value] if kind is FieldType.STRING_OR_STRINGS and isinstance(value, str) else value


def test_parquet_to_s3(tenant: CustobarSandbox, aws: S3Server, s3_bucket: str) -> None:
    """Rule: the object is a Parquet file with its own media type, and is never wrapped; the result tells its size."""
    key = f"events/ds={DAY}/events.parquet"
    operator = CustobarToS3Operator(
        task_id="export", resource="events", file_format="parquet", s3_bucket=s3_bucket, s3_key=key, **PERIOD["events"]
    )
    result = operator.execute({})
    stored = aws.client().get_object(Bucket=s3_bucket, Key=key)
    body = stored["Body"].read()
    file = pq.ParquetFile(pa.BufferReader(body))
    assert (result["format"], result["rows"], result["bytes"]) == ("parquet", file.metadata.num_rows, len(body))
    assert stored["ContentType"] == "application/vnd.apache.parquet"
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert operator.execute({}) == result
    assert aws.client().get_object(Bucket=s3_bucket, Key=key)["Body"].read() == body


def test_a_day_without_rows_has_the_schema_of_others(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: days fit together, the empty ones too: DuckDB reads them as one table."""
    for day in (DAY, "2020-01-01"):
        export(tmp_path / f"{day}.parquet", "sales", date=day)
    assert pq.read_schema(tmp_path / f"{DAY}.parquet").equals(
        pq.read_schema(tmp_path / "2020-01-01.parquet"), check_metadata=True
    )
    days = duckdb.sql(f"SELECT count(*), min(sale_date)::DATE::TEXT FROM '{tmp_path}/*.parquet'").fetchall()
    assert days == [(pq.read_metadata(tmp_path / f"{DAY}.parquet").num_rows, DAY)]


def test_naive_timestamps_are_the_tenants_time(custobar_sandbox: CustobarSandbox, connect: Any, tmp_path: Path) -> None:
    """Rule: the connection's time zone reaches the file."""
    custobar_sandbox.settings.rate_limit = 1_000_000
    connect("custobar_default", custobar_sandbox.airflow_connection(timezone="Europe/Helsinki", requests_per_minute=600_000))
    sale = {"sale_external_id": "1", "sale_date": "2026-02-10T10:00:00Z", "external_id": "new-1", "total": 100}
    custobar_sandbox.load("sales", [sale])
    custobar_sandbox.settings.tenant_timezone = "Europe/Helsinki"
    custobar_sandbox.settings.datetime_style = "naive"
    export(tmp_path / "a.parquet", "sales", fields=["external_id", "sale_date"])
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["sale_date"].isoformat() for row in rows if row["external_id"] == "new-1"] == ["2026-02-10T10:00:00+00:00"]


def test_a_value_that_does_not_fit_leaves_nothing(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a value that its column cannot hold fails the task by the field's name, and no file appears."""
    tenant.load("customers", [{"external_id": "zz", "can_email": "Virtanen"}])
    with pytest.raises(ColumnTypeError, match="can_email") as caught:
        export(tmp_path / "a.parquet", "customers")
    assert "Virtanen" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"api_format": "csv"}, "api_format='csv' is not accepted.*tags"),
        ({"api_format": "csv", "fields": "external_id,tags"}, "api_format='csv' is not accepted.*tags"),
        ({"name": "a.parquet.gz"}, "compression='infer' is not accepted.*.parquet"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_request(
    tenant: CustobarSandbox, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    """Rule: wrong combinations fail with the argument's name, and Custobar is asked nothing."""
    name = arguments.pop("name", "a.parquet") if "name" in arguments else "a.parquet"
    with pytest.raises(InvalidArgumentError, match=message):
        export(tmp_path / name, "customers", **arguments)
    assert tenant.requests == []


@pytest.mark.parametrize("file_format", ["csv", "json", "jsonl"])
def test_zstd_of_texts(tenant: CustobarSandbox, tmp_path: Path, file_format: str) -> None:
    """Rule: the ending .zst makes a zstd file of the same rows as without it."""
    for name in (f"a.{file_format}", f"a.{file_format}.zst"):
        export(tmp_path / name, "products", file_format=file_format)
    with zstandard.open(tmp_path / f"a.{file_format}.zst") as file:
        assert file.read() == (tmp_path / f"a.{file_format}").read_bytes()
