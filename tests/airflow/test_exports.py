"""Export operators: real stores, a running sandbox, and nothing in between replaced."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.stores.protocol import TargetError
from airflow_provider_custobar.stream.endings import EmptyExportError
from airflow_provider_custobar.task.export_operator import CustobarExportOperator
from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from tools.servers import GcsServer, S3Server

DAY = "2026-02-10"


def to_file(path: Path, **arguments: Any) -> CustobarToObjectStorageOperator:
    return CustobarToObjectStorageOperator(task_id="export", path=f"file://{path}", **arguments)


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def events_of(tenant: CustobarSandbox, *types: str) -> list[dict[str, Any]]:
    return [e for t in types for e in tenant.records("events") if e["type"] == t and e["date"].startswith(DAY)]


def test_a_name_that_windows_of_a_day_would_share_is_told(
    tenant: CustobarSandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: where each hour's object would replace the one of the hour before it, the log warns; of no other name."""

    def warned(name: str, **window: Any) -> bool:
        capsys.readouterr()
        to_file(tmp_path / name, resource="events", event_types="BROWSE", **window).execute({})
        return "put {window_start} into it" in " ".join(capsys.readouterr().out.split())

    hour = {"window_start": f"{DAY}T10:00:00Z", "window_end": f"{DAY}T11:00:00Z"}
    assert warned("{date}.csv", **hour)
    assert not warned("{date}/{window_start}.csv", **hour)
    assert not warned("all.csv", **hour)
    assert not warned("{date}.csv", date=DAY)
    # A day of another zone: none begins on the same one of the tenant's.
    assert not warned("{date}.csv", window_start=f"{DAY}T03:00:00Z", window_end="2026-02-11T03:00:00Z")


@pytest.mark.parametrize(
    ("name", "file_format", "said"),
    [
        ("a.jsonl", "csv", "the ending .jsonl, and file_format='csv' is what is written"),
        ("a.CSV.gz", "json", "the ending .CSV, and file_format='json'"),
        ("a.parquet", "jsonl", "the ending .parquet"),
        ("{day}/a.csv", "csv", "{day} in it as it stands: what is filled in is {date}, {window_start}"),
        ("a.json", "jsonl", None),
        ("a.ndjson", "jsonl", None),
        ("{date}-{window_start}-{window_end}-{event_types}.csv.zst", "csv", None),
        ("a.txt", "parquet", None),
    ],
)
@pytest.mark.usefixtures("tenant")
def test_a_name_that_is_hardly_meant_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, file_format: str, said: str | None
) -> None:
    """Rule: a name is taken as it stands; the log warns of an ending of another format, and of braces without a placeholder."""
    day = {"resource": "events", "event_types": "BROWSE", "date": DAY}
    result = to_file(tmp_path / name, file_format=file_format, compression=None, **day).execute({})
    assert result["format"] == file_format
    told = " ".join(capsys.readouterr().out.split())
    assert (said in told) if said else ("as it stands" not in told and "the ending" not in told)


def test_jsonl_to_s3(tenant: CustobarSandbox, aws: S3Server, s3_bucket: str) -> None:
    """Rule: every record of the day is in the object, type by type, and the result tells what was stored."""
    operator = CustobarToS3Operator(
        task_id="export",
        resource="events",
        event_types=["BROWSE", "MAIL_OPEN"],
        date=DAY,
        file_format="jsonl",
        page_size=13,
        s3_bucket=s3_bucket,
        s3_key=f"events/ds={DAY}/events.jsonl.gz",
    )
    result = operator.execute({})
    stored = aws.client().get_object(Bucket=s3_bucket, Key=f"events/ds={DAY}/events.jsonl.gz")
    body = stored["Body"].read()
    expected = events_of(tenant, "BROWSE", "MAIL_OPEN")
    assert [json.loads(line) for line in gzip.decompress(body).splitlines()] == expected
    assert stored["ContentType"] == "application/gzip"
    assert result == {
        "resource": "events",
        "format": "jsonl",
        "uris": [f"s3://{s3_bucket}/events/ds={DAY}/events.jsonl.gz"],
        "bucket": s3_bucket,
        "objects": [f"events/ds={DAY}/events.jsonl.gz"],
        "manifest": None,
        "rows": len(expected),
        "bytes": len(body),
        "pages": len(tenant.requests),
        "window": {"start": "2026-02-10T00:00:00+00:00", "end": "2026-02-11T00:00:00+00:00"},
        "window_complete": True,
        "windows": [
            {
                "start": "2026-02-10T00:00:00+00:00",
                "end": "2026-02-11T00:00:00+00:00",
                "rows": len(expected),
                "uris": [f"s3://{s3_bucket}/events/ds={DAY}/events.jsonl.gz"],
            }
        ],
        "event_types": ["BROWSE", "MAIL_OPEN"],
        "bad_timestamps": 0,
        "resumed": False,
    }
    assert json.loads(json.dumps(result)) == result


def test_a_window_that_is_not_over(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a window that ends later than now is exported as far as it is, and the result says so; a past one is complete."""
    period = {"resource": "events", "event_types": "BROWSE", "window_start": f"{DAY}T00:00:00Z"}
    ends = {False: datetime.now(UTC) + timedelta(hours=1), True: datetime.now(UTC) - timedelta(hours=1)}
    for is_complete, end in ends.items():
        export = CustobarToObjectStorageOperator(
            task_id="export", path=f"file://{tmp_path}/a.csv", fields=["date"], window_end=end.isoformat(), **period
        )
        result = export.execute({})
        assert result["window_complete"] is is_complete
        assert "bucket" not in result


def test_csv_to_gcs(tenant: CustobarSandbox, google: GcsServer, gcs_bucket: str) -> None:
    """Rule: CSV comes from CSV pages, under one header, every row once."""
    operator = CustobarToGCSOperator(
        task_id="export",
        resource="customers",
        fields=["external_id", "email", "first_name"],
        page_size=30,
        bucket_name=gcs_bucket,
        object_name="customers.csv",
    )
    result = operator.execute({})
    text = google.client().bucket(gcs_bucket).blob("customers.csv").download_as_text()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    expected = sorted(tenant.records("customers"), key=lambda record: record["external_id"])
    assert rows == [{name: r.get(name, "") for name in ("external_id", "email", "first_name")} for r in expected]
    assert result["pages"] == 7
    assert all(request.query["format"] == ["csv"] for request in tenant.requests[:1])


def test_sales_of_one_day_as_csv(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: sales are asked for day by day, a day more on either side, and only the day itself is kept; the field that
    was asked for to tell the day is not in the file.
    """
    result = to_file(tmp_path / "sales.csv", resource="sales", date=DAY, fields=["external_id", "product_id", "total"]).execute(
        {}
    )
    rows = csv_rows(tmp_path / "sales.csv")
    expected = {s["external_id"] for s in tenant.records("sales") if s["sale_date"].startswith(DAY)}
    assert {row["external_id"] for row in rows} == expected
    assert "sale_date" not in rows[0]
    assert len(rows) == result["rows"] == len(expected)
    assert [request.query["sale_date"] for request in tenant.requests] == [["2026-02-09"], [DAY], ["2026-02-11"]]


def test_json_array_to_file(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: ``json`` is one array of every record."""
    to_file(tmp_path / "new" / "folder" / "products.json", resource="products", file_format="json", page_size=9).execute({})
    stored = json.loads((tmp_path / "new" / "folder" / "products.json").read_text())
    assert stored == sorted(tenant.records("products"), key=lambda record: record["external_id"])


def test_csv_from_json_pages(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: both page formats give the same CSV rows under the same columns, the one that the API always adds included."""
    fields = ["email", "can_email"]
    files = {name: tmp_path / f"{name}.csv" for name in ("json", "csv")}
    for name, path in files.items():
        to_file(path, resource="customers", fields=fields, api_format=name).execute({})
    assert csv_rows(files["json"]) == csv_rows(files["csv"])


def test_the_same_export_gives_the_same_bytes(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a retry after success gives the same object."""
    operator = to_file(tmp_path / "products.csv.gz", resource="products")
    operator.execute({})
    first = (tmp_path / "products.csv.gz").read_bytes()
    operator.execute({})
    assert (tmp_path / "products.csv.gz").read_bytes() == first


@pytest.mark.slow
def test_an_unlucky_night(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: broken connections, cut bodies, proxies' pages and failing servers in the middle cost time, not rows."""
    for after, kind in enumerate(("drop", "truncate", "html", "cut_json", "missing_key", "bad_utf8")):
        tenant.faults.add(Fault(kind, after=after))
    result = to_file(tmp_path / "customers.jsonl", resource="customers", file_format="jsonl", page_size=40).execute({})
    ids = [json.loads(line)["external_id"] for line in (tmp_path / "customers.jsonl").read_text().splitlines()]
    assert ids == sorted(record["external_id"] for record in tenant.records("customers"))
    assert result["rows"] == 200
    assert len(tenant.requests) > 5


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("status", status=400, times=None, reason="unknown filter x"), '400.*"unknown filter x".*check its arguments'),
        (Fault("status", status=401, times=None), "401.*check the token"),
        (Fault("status", status=403, times=None), "403.*trailing slash"),
        (Fault("status", status=404, times=None), "404.*check the connection's host"),
        (Fault("foreign_next_url", host="evil.example.com"), "next_url points to .*evil.example.com.*trusted_hosts"),
        (Fault("repeat_next_url", times=None), "fetched already"),
        (Fault("redirect", location="http://evil.example.com/", times=None), "redirect points to http://evil.example.com"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_final_answers_fail_at_once_and_leave_nothing(tenant: CustobarSandbox, tmp_path: Path, fault: Fault, said: str) -> None:
    """Rule: what trying again cannot mend is told in one line, at once, and no file is left."""
    tenant.faults.add(fault)
    with pytest.raises(CustobarError, match=said) as caught:
        to_file(tmp_path / "customers.jsonl", resource="customers", file_format="jsonl", page_size=100).execute({})
    assert "\n" not in str(caught.value)
    assert len(tenant.requests) <= 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"resource": "clients"}, "resource='clients'.*customers, events, sales, products"),
        ({"resource": "customers", "filters": {"contry": "FI"}}, "filters='contry'.*Did you mean 'country'"),
        ({"resource": "customers", "fields": ["emial"]}, "fields='emial'.*Did you mean 'email'"),
        (
            {"resource": "events", "event_types": ["MAIL_OPNE"], "date": DAY},
            "event_types='MAIL_OPNE'.*Did you mean 'MAIL_OPEN'",
        ),
        ({"resource": "events", "date": DAY}, "event_types=None"),
        ({"resource": "customers", "page_size": 100_001}, "page_size=100001.*1 to 100,000"),
        ({"resource": "customers", "page_size": 10_001, "file_format": "jsonl"}, "page_size=10001.*1 to 10,000"),
        ({"resource": "sales", "date": "2026-2-1"}, "date='2026-2-1'.*YYYY-MM-DD"),
        ({"resource": "sales", "date": "None"}, "date='None'"),
        ({"resource": "sales", "date": ""}, "date=''"),
        ({"resource": "customers", "date": DAY}, f"date='{DAY}'.*full snapshot"),
        ({"resource": "sales", "date": DAY, "window_start": DAY}, "not both"),
        ({"resource": "sales", "window_start": DAY, "window_end": DAY}, "window is empty.*@daily"),
        ({"resource": "customers", "api_format": "json"}, "fields=None.*name the columns"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_request(
    tenant: CustobarSandbox, tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    """Rule: wrong input is told in one line, with its name, its value and what is accepted, and nothing is asked for."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        to_file(tmp_path / "export.out", **arguments).execute({})
    assert "\n" not in str(caught.value)
    assert tenant.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"file_format": "xml"},
        {"api_format": "yaml"},
        {"compression": "rar"},
        {"on_empty": "shrug"},
        {"file_format": "json", "api_format": "csv"},
    ],
)
def test_bad_choices_are_refused_when_the_dag_is_read(tmp_path: Path, arguments: dict[str, str]) -> None:
    """Rule: a choice that is no template is checked where the DAG file is parsed."""
    with pytest.raises(InvalidArgumentError, match="give"):
        to_file(tmp_path / "export.out", resource="customers", **arguments)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('{"conn_type": "custobar", "password": "API1"}', "host=None.*short name"),
        ('{"conn_type": "custobar", "host": "not a host", "password": "API1"}', "host='not a host'.*short name"),
        ('{"conn_type": "custobar", "host": "acme"}', "password.*API token"),
    ],
)
def test_bad_connections_are_refused_before_the_first_request(
    connect: Callable[[str, str], None], tmp_path: Path, document: str, said: str
) -> None:
    """Rule: a connection that cannot work is told by field."""
    connect("custobar_default", document)
    with pytest.raises(InvalidArgumentError, match=said):
        to_file(tmp_path / "export.csv", resource="customers").execute({})


@pytest.mark.parametrize("bucket", ["my bucket!", "s3://bucket", "bücket", "", "b", None])
def test_a_bucket_needs_a_name_that_stores_allow(tenant: CustobarSandbox, bucket: str) -> None:
    """Rule: a bucket's name is told to be wrong by us, in one line, for S3 and GCS alike."""
    arguments: dict[str, Any] = {"task_id": "export", "resource": "customers"}
    with pytest.raises(InvalidArgumentError, match="s3_bucket="):
        CustobarToS3Operator(**arguments, s3_bucket=bucket, s3_key="a.csv").execute({})
    with pytest.raises(InvalidArgumentError, match="bucket_name="):
        CustobarToGCSOperator(**arguments, bucket_name=bucket, object_name="a.csv").execute({})
    assert tenant.requests == []


@pytest.mark.parametrize("key", ["", "None", "folder/", "s3://bucket/key", "gs://bucket/key", "/key"])
def test_a_key_without_a_name_is_refused(tenant: CustobarSandbox, aws: S3Server, s3_bucket: str, key: str) -> None:
    """Rule: an object needs a name."""
    operator = CustobarToS3Operator(task_id="export", resource="customers", s3_bucket=s3_bucket, s3_key=key)
    with pytest.raises(InvalidArgumentError, match="s3_key="):
        operator.execute({})
    assert tenant.requests == []


def test_a_missing_bucket_is_refused_before_the_first_request(
    tenant: CustobarSandbox, aws: S3Server, google: GcsServer
) -> None:
    """Rule: nothing is fetched for a bucket that does not exist, on either store."""
    arguments = {"task_id": "export", "resource": "customers"}
    with pytest.raises(TargetError, match="no S3 bucket 'nowhere'"):
        CustobarToS3Operator(**arguments, s3_bucket="nowhere", s3_key="a.csv").execute({})
    with pytest.raises(TargetError, match="no GCS bucket 'nowhere'"):
        CustobarToGCSOperator(**arguments, bucket_name="nowhere", object_name="a.csv").execute({})
    assert tenant.requests == []


def test_a_missing_bucket_of_any_store_is_refused(tenant: CustobarSandbox, google: GcsServer, gcs_bucket: str) -> None:
    """Rule: object storage looks for its bucket too, before the first request, and never makes one."""
    arguments: dict[str, Any] = {"task_id": "export", "resource": "products"}
    with pytest.raises(TargetError, match="no bucket or container 'nowhere'"):
        CustobarToObjectStorageOperator(**arguments, path="gs://nowhere/a.csv").execute({})
    assert tenant.requests == []
    CustobarToObjectStorageOperator(**arguments, path=f"gs://{gcs_bucket}/new/a.csv").execute({})
    assert [blob.name for blob in google.client().list_blobs(gcs_bucket)] == ["new/a.csv"]


def test_a_lost_template_does_not_ask_for_everything(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: an argument whose template rendered to None, as native rendering does, is refused, not left out."""
    for name, value in (("filters", {"city": "Turku"}), ("fields", ["email"]), ("order", ["email"])):
        operator = to_file(tmp_path / "a.csv", resource="customers", **{name: value})
        setattr(operator, name, None)
        with pytest.raises(InvalidArgumentError, match=f"{name}=None.*rendered to nothing"):
            operator.execute({})
    assert tenant.requests == []


@pytest.mark.parametrize(("name", "value"), [("phone_number", 358401234567), ("zip_code", 100)])
def test_a_number_in_place_of_a_text_is_refused(tenant: CustobarSandbox, tmp_path: Path, name: str, value: int) -> None:
    """Rule: a phone number or zip code that native rendering made a number of has lost what the filter needs."""
    with pytest.raises(InvalidArgumentError, match=f"{name}.*native rendering"):
        to_file(tmp_path / "a.csv", resource="customers", filters={name: value}).execute({})
    assert tenant.requests == []


def test_replace_false_keeps_what_is_there(tenant: CustobarSandbox, aws: S3Server, s3_bucket: str) -> None:
    """Rule: with ``replace=False`` an existing object is refused before the first request and stays as it is."""
    aws.client().put_object(Bucket=s3_bucket, Key="a.csv", Body=b"old")
    operator = CustobarToS3Operator(task_id="export", resource="customers", s3_bucket=s3_bucket, s3_key="a.csv", replace=False)
    with pytest.raises(TargetError, match="exists already"):
        operator.execute({})
    assert tenant.requests == []
    assert aws.client().get_object(Bucket=s3_bucket, Key="a.csv")["Body"].read() == b"old"


@pytest.mark.parametrize("size", [10, 9_000])
def test_what_s3_is_told_about_an_object(
    custobar_sandbox_factory: Callable[..., CustobarSandbox],
    connect: Callable[[str, str], None],
    aws: S3Server,
    s3_bucket: str,
    size: int,
) -> None:
    """Rule: extra arguments reach the object, put in one request or in parts, and so does what it is about. The rows do where
    S3 has not fixed the metadata before they are counted.
    """
    sandbox = custobar_sandbox_factory(generate=False)
    sandbox.load("customers", ({"external_id": str(n), "city": "x" * 1000} for n in range(size)))
    connect("custobar_default", sandbox.airflow_connection(requests_per_minute=600_000))
    CustobarToS3Operator(
        task_id="export",
        resource="customers",
        file_format="jsonl",
        s3_bucket=s3_bucket,
        s3_key="a.jsonl",
        acl_policy="private",
        extra_args={"Metadata": {"team": "crm"}, "CacheControl": "no-store"},
    ).execute({})
    head = aws.client().head_object(Bucket=s3_bucket, Key="a.jsonl")
    rows = {} if size > 1000 else {"custobar-rows": str(size)}
    assert head["Metadata"] == {"team": "crm", "custobar-resource": "customers", **rows}
    assert head["CacheControl"] == "no-store"
    assert ("-" in head["ETag"]) == (size > 1000), "parts were sent where they were meant to be"


def test_what_gcs_is_told_about_an_object(tenant: CustobarSandbox, google: GcsServer, gcs_bucket: str) -> None:
    """Rule: metadata and Cache-Control reach the object, and so does what it is about."""
    CustobarToGCSOperator(
        task_id="export",
        resource="sales",
        date=DAY,
        bucket_name=gcs_bucket,
        object_name="a.csv",
        metadata={"team": "crm"},
        cache_control="no-store",
    ).execute({})
    blob = google.client().bucket(gcs_bucket).get_blob("a.csv")
    assert blob.cache_control == "no-store"
    assert blob.metadata == {
        "team": "crm",
        "custobar-resource": "sales",
        "custobar-window-start": "2026-02-10T00:00:00+00:00",
        "custobar-window-end": "2026-02-11T00:00:00+00:00",
        "custobar-rows": str(len([sale for sale in tenant.records("sales") if sale["sale_date"].startswith(DAY)])),
    }


def test_an_unknown_extra_argument_is_refused(tenant: CustobarSandbox, aws: S3Server, s3_bucket: str) -> None:
    """Rule: a misspelt extra argument is told by name, before the first request."""
    operator = CustobarToS3Operator(
        task_id="export", resource="customers", s3_bucket=s3_bucket, s3_key="a.csv", extra_args={"StorageKlass": "GLACIER"}
    )
    with pytest.raises(InvalidArgumentError, match="extra_args='StorageKlass'.*StorageClass"):
        operator.execute({})
    assert tenant.requests == []


def test_on_empty(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: no rows: a file without any is written, or none, or the task fails."""
    arguments = {"resource": "customers", "filters": {"city": "Nowhere"}, "fields": ["external_id", "city"]}
    result = to_file(tmp_path / "write.csv", **arguments).execute({})
    assert (tmp_path / "write.csv").read_bytes() == b"external_id,city\r\n"
    assert (result["rows"], len(result["uris"])) == (0, 1)
    result = to_file(tmp_path / "skip.csv", on_empty="skip", **arguments).execute({})
    assert (result["rows"], result["uris"], result["bytes"]) == (0, [], 0)
    with pytest.raises(EmptyExportError, match="on_empty='fail'"):
        to_file(tmp_path / "fail.csv", on_empty="fail", **arguments).execute({})
    assert [path.name for path in tmp_path.iterdir()] == ["write.csv"]


def test_connection_ids_and_names_are_templates() -> None:
    """Rule: everything but choices is a template, connection ids included."""
    for operator, own in (
        (CustobarToS3Operator, {"s3_bucket", "s3_key", "aws_conn_id", "acl_policy", "extra_args"}),
        (
            CustobarToGCSOperator,
            {"bucket_name", "object_name", "gcp_conn_id", "impersonation_chain", "metadata", "cache_control"},
        ),
        (CustobarToObjectStorageOperator, {"path", "storage_conn_id"}),
    ):
        assert own | set(CustobarExportOperator.common_template_fields) == set(operator.template_fields)
        assert {"resource", "date", "filters", "custobar_conn_id"} <= set(operator.template_fields)
