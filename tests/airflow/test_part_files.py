"""Exports of many files: their names, their rows, what is left of longer sets before them, and the manifest."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.stores.protocol import TargetError
from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from tools.servers import GcsServer, S3Server

Contents = dict[str, bytes]


class Place:
    """One kind of store: how to export to it, what is in it, and how to put something there."""

    def __init__(
        self, export: Callable[..., dict[str, Any]], read: Callable[[], Contents], put: Callable[[str, bytes], object], uri: str
    ) -> None:
        self.export = export
        self.read = read
        self.put = put
        self.uri = uri


@pytest.fixture(params=["s3", "gcs", "file"])
def place(request: pytest.FixtureRequest, tenant: CustobarSandbox, tmp_path: Path) -> Place:
    makers: dict[str, Callable[[], Place]] = {
        "s3": lambda: s3_place(request),
        "gcs": lambda: gcs_place(request),
        "file": lambda: file_place(tmp_path),
    }
    return makers[request.param]()


def s3_place(request: pytest.FixtureRequest) -> Place:
    server: S3Server = request.getfixturevalue("aws")
    bucket: str = request.getfixturevalue("s3_bucket")
    client = server.client()

    def export(name: str, **arguments: Any) -> dict[str, Any]:
        if "manifest" in arguments:
            arguments["manifest"] = f"out/{arguments['manifest']}"
        operator = CustobarToS3Operator(task_id="x", s3_bucket=bucket, s3_key=f"out/{name}", **arguments)
        return operator.execute({})

    def read() -> Contents:
        keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
        return {k.removeprefix("out/"): client.get_object(Bucket=bucket, Key=k)["Body"].read() for k in keys}

    def put(name: str, content: bytes) -> object:
        return client.put_object(Bucket=bucket, Key=f"out/{name}", Body=content)

    return Place(export, read, put, f"s3://{bucket}/out/")


def gcs_place(request: pytest.FixtureRequest) -> Place:
    server: GcsServer = request.getfixturevalue("google")
    name_of_bucket: str = request.getfixturevalue("gcs_bucket")
    bucket = server.client().bucket(name_of_bucket)

    def export(name: str, **arguments: Any) -> dict[str, Any]:
        if "manifest" in arguments:
            arguments["manifest"] = f"out/{arguments['manifest']}"
        operator = CustobarToGCSOperator(task_id="x", bucket_name=name_of_bucket, object_name=f"out/{name}", **arguments)
        return operator.execute({})

    def read() -> Contents:
        return {blob.name.removeprefix("out/"): blob.download_as_bytes() for blob in bucket.list_blobs()}

    def put(name: str, content: bytes) -> object:
        return bucket.blob(f"out/{name}").upload_from_string(content)

    return Place(export, read, put, f"gs://{name_of_bucket}/out/")


def file_place(folder: Path) -> Place:
    def export(name: str, **arguments: Any) -> dict[str, Any]:
        if "manifest" in arguments:
            arguments["manifest"] = f"file://{folder}/{arguments['manifest']}"
        return CustobarToObjectStorageOperator(task_id="x", path=f"file://{folder}/{name}", **arguments).execute({})

    def read() -> Contents:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def put(name: str, content: bytes) -> object:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return (folder / name).write_bytes(content)

    return Place(export, read, put, f"file://{folder}/")


def ids(contents: Contents) -> list[list[str]]:
    return [[row["external_id"] for row in csv.DictReader(io.StringIO(contents[name].decode()))] for name in sorted(contents)]


EXPORT = {"resource": "customers", "fields": ["external_id", "city"], "page_size": 30}


def test_rows_are_spread_over_numbered_files(place: Place, tenant: CustobarSandbox) -> None:
    """``{part}`` counts from 00000; each file but the last one has exactly ``max_rows_per_file`` rows, under its own header."""
    result = place.export("c-{part}.csv", max_rows_per_file=70, **EXPORT)
    contents = place.read()
    names = ["c-00000.csv", "c-00001.csv", "c-00002.csv"]
    assert sorted(contents) == names
    expected = sorted(record["external_id"] for record in tenant.records("customers"))
    assert ids(contents) == [expected[:70], expected[70:140], expected[140:]]
    assert result["uris"] == [place.uri + name for name in names]
    # In a bucket, names without it are told as well.
    scheme, _, path = place.uri.partition("://")
    bucket = {} if scheme == "file" else {"bucket": path.split("/")[0], "objects": [f"out/{name}" for name in names]}
    assert {key: result[key] for key in ("bucket", "objects") if key in result} == bucket
    assert (result["rows"], result["bytes"]) == (200, sum(map(len, contents.values())))


def test_each_file_keeps_below_the_bytes(place: Place) -> None:
    """``max_bytes_per_file`` bounds the rows of a file; a compressed file has less, and no row is cut."""
    result = place.export("a.{part}.jsonl.gz", resource="products", file_format="jsonl", page_size=7, max_bytes_per_file="4000")
    contents = place.read()
    texts = [gzip.decompress(contents[name]) for name in sorted(contents)]
    assert len(texts) == len(result["uris"]) > 3
    assert all(len(text) <= 4000 for text in texts)
    assert sum(len([json.loads(line) for line in text.splitlines()]) for text in texts) == result["rows"] == 50


def test_a_shorter_set_leaves_nothing_of_a_longer_one(place: Place) -> None:
    """Parts that an earlier, longer run has left are removed: those that follow on without a gap. All else stays."""
    others = ["c-00009.csv.bak", "c-9.csv", "c-abcde.csv", "c-20260201.csv", "c-00011.csv", "d-00009.csv", "c-00009.csv/x.csv"]
    for name in others[:6]:
        place.put(name, b"another's")
    place.export("c-{part}.csv", max_rows_per_file=20, **EXPORT)
    assert len(place.read()) == 10 + 6
    place.export("c-{part}.csv", max_rows_per_file=90, **EXPORT)
    contents = place.read()
    assert sorted(contents) == sorted(["c-00000.csv", "c-00001.csv", "c-00002.csv", *others[:6]])
    assert all(contents[name] == b"another's" for name in others[:6])


def test_the_number_may_be_a_folder(place: Place) -> None:
    """``{part}`` may stand anywhere in the name, and more than once."""
    place.export("{part}/c-{part}.csv", max_rows_per_file=90, **EXPORT)
    place.put("00003/c-00004.csv", b"another's")
    place.put("00003/c-00003.csv", b"stale")
    place.export("{part}/c-{part}.csv", max_rows_per_file=150, **EXPORT)
    assert sorted(place.read()) == ["00000/c-00000.csv", "00001/c-00001.csv", "00003/c-00004.csv"]


def test_replace_false_touches_no_set(place: Place) -> None:
    """``replace=False`` refuses where a set is there, before the first request."""
    place.put("c-00000.csv", b"another's")
    with pytest.raises(TargetError, match="c-00000.csv exists already, and replace=False"):
        place.export("c-{part}.csv", max_rows_per_file=90, replace=False, **EXPORT)
    assert place.read() == {"c-00000.csv": b"another's"}


def test_replace_false_writes_a_new_set(place: Place) -> None:
    """``replace=False`` writes a set where there is none, but a name that a date gives a number."""
    place.put("c-20260201.csv", b"another's")
    place.export("c-{part}.csv", max_rows_per_file=90, replace=False, **EXPORT)
    assert len(place.read()) == 3 + 1


def test_the_manifest_tells_what_there_is(place: Place, tenant: CustobarSandbox) -> None:
    """The manifest lists files with their rows and bytes, the window and the schema."""
    result = place.export("c-{part}.csv", max_rows_per_file=90, manifest="c.json", **EXPORT)
    contents = place.read()
    manifest = json.loads(contents.pop("c.json"))
    assert result["manifest"] == f"{place.uri}c.json"
    tables = manifest.pop("warehouses")
    assert [field["name"] for field in tables["bigquery"]["schema_fields"]] == ["external_id", "city"]
    # One statement names all files, if it reaches the store.
    is_reached = not place.uri.startswith("file:")
    assert [copy.count("c-0000") for copy in tables["snowflake"]["copy"]] == [3] * is_reached
    assert manifest == {
        "resource": "customers",
        "format": "csv",
        "compression": None,
        "window": None,
        "event_types": [],
        "rows": 200,
        "bytes": result["bytes"],
        "files": [
            {"uri": place.uri + name, "rows": rows, "bytes": len(contents[name])}
            for name, rows in (("c-00000.csv", 90), ("c-00001.csv", 90), ("c-00002.csv", 20))
        ],
        "schema": [{"name": "external_id", "type": "string"}, {"name": "city", "type": "string"}],
    }


def test_the_manifest_of_one_parquet_file(place: Place) -> None:
    """A single file may have a manifest too; that of Parquet has Arrow's types, and the window."""
    place.export(
        "s.parquet",
        resource="sales",
        date="2026-02-10",
        file_format="parquet",
        fields=["external_id", "total"],
        manifest="s.json",
    )
    contents = place.read()
    manifest = json.loads(contents["s.json"])
    assert manifest["window"] == {"start": "2026-02-10T00:00:00+00:00", "end": "2026-02-11T00:00:00+00:00"}
    assert manifest["schema"] == [{"name": "external_id", "type": "string"}, {"name": "total", "type": "int64"}]
    assert manifest["compression"] == "zstd"
    assert manifest["rows"] == pq.read_metadata(io.BytesIO(contents["s.parquet"])).num_rows


def test_nothing_to_export(place: Place) -> None:
    """Without rows there is one empty part, or with ``skip`` nothing, and the set of an earlier run stays as it was."""
    nothing = {"resource": "customers", "fields": ["external_id"], "filters": {"city": "Nowhere"}}
    result = place.export("c-{part}.csv", max_rows_per_file=90, manifest="m.json", **nothing)
    assert sorted(place.read()) == ["c-00000.csv", "m.json"]
    assert len(result["uris"]) == 1
    before = place.read()
    result = place.export("c-{part}.csv", max_rows_per_file=90, manifest="m.json", on_empty="skip", **nothing)
    assert (result["uris"], result["manifest"], place.read()) == ([], None, before)


def to_file(tmp_path: Path, name: str = "a.csv", **arguments: Any) -> CustobarToObjectStorageOperator:
    return CustobarToObjectStorageOperator(task_id="x", resource="customers", path=f"file://{tmp_path}/{name}", **arguments)


@pytest.mark.parametrize("argument", ["max_rows_per_file", "max_bytes_per_file"])
@pytest.mark.parametrize(("value", "accepted"), [(0, "1 at least"), ("many", ""), (1.5, ""), (True, "")])
def test_limits_are_whole_numbers(argument: str, value: object, accepted: str, tenant: CustobarSandbox, tmp_path: Path) -> None:
    """A limit that is no number of rows or bytes is refused before the first request."""
    with pytest.raises(InvalidArgumentError, match=f"{argument}={value!r}.*give a whole number.*{accepted}"):
        to_file(tmp_path, "a-{part}.csv", **{argument: value}).execute({})
    assert not tenant.requests


def test_many_files_need_a_number_in_their_name(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """A limit without ``{part}`` would write all files over each other, and is refused."""
    with pytest.raises(InvalidArgumentError, match="max_rows_per_file=5 .*path needs {part}"):
        to_file(tmp_path, max_rows_per_file=5).execute({})
    with pytest.raises(InvalidArgumentError, match="manifest='.*leave {part} out"):
        to_file(tmp_path, "a-{part}.csv", manifest="file:///tmp/m-{part}.json").execute({})
    assert not tenant.requests


def test_the_manifest_is_not_one_of_the_files(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """A manifest under the name of the file itself would replace it, and is refused."""
    with pytest.raises(InvalidArgumentError, match="manifest='file:.*/a.csv'.*a name of its own"):
        to_file(tmp_path, manifest=f"file://{tmp_path}/a.csv").execute({})
    assert not tenant.requests


def test_lookback_writes_a_set_for_each_day(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """With ``lookback`` each day has its own set and manifest; a manifest without ``{date}`` is refused."""
    arguments: dict[str, Any] = {
        "task_id": "x",
        "resource": "sales",
        "date": "2026-02-10",
        "lookback": 1,
        "path": f"file://{tmp_path}/{{date}}/{{part}}.csv",
        "max_rows_per_file": 5,
    }
    with pytest.raises(InvalidArgumentError, match="put {date} into its name"):
        CustobarToObjectStorageOperator(manifest=f"file://{tmp_path}/m.json", **arguments).execute({})
    result = CustobarToObjectStorageOperator(manifest=f"file://{tmp_path}/{{date}}/m.json", **arguments).execute({})
    assert result["manifest"] == f"file://{tmp_path}/2026-02-10/m.json"
    for window in result["windows"]:
        day = window["start"][:10]
        manifest = json.loads((tmp_path / day / "m.json").read_text())
        assert [file["uri"] for file in manifest["files"]] == window["uris"]
        assert manifest["rows"] == window["rows"]


def test_the_schema_of_json_lines_is_what_is_documented(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """JSON without ``fields`` has no fixed columns: the manifest lists what Custobar documents."""
    to_file(tmp_path, "a.jsonl", file_format="jsonl", manifest=f"file://{tmp_path}/m.json").execute({})
    schema = {entry["name"]: entry["type"] for entry in json.loads((tmp_path / "m.json").read_text())["schema"]}
    assert schema["external_id"] == "string"
    assert {"email", "date_joined"} <= schema.keys()
