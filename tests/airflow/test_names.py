"""Names of files, buckets and objects, from the operators' arguments to the bytes, on real stores."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.stores.reading import StoreError
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.gcs_to_custobar import GCSToCustobarOperator
from airflow_provider_custobar.transfers.object_storage_to_custobar import ObjectStorageToCustobarOperator
from tests.airflow.places import OnDisk, OnGcs, OnS3, Place, one, sent
from tools.servers import S3Server

HOSTILE = [
    "customers[1].csv", "report [final].csv", "a*.csv", "a?.csv", "a#b.csv", "a%20b.csv", "a%2Fb.csv", "{a,b}.csv", "a::b.csv",
    "a b.csv", " a.csv", "åäö.csv", "a\u0308.csv", "日本.csv", "a\\b.csv", "a+b.csv", "a&b=c.csv", "a;b.csv", "a:b.csv",
    "~a.csv", "a'b\".csv", "$HOME.csv", "a?versionId=1.csv", "a#1.csv", "a@b.csv", "a|b<c>.csv", "-a.csv", "a\tb.csv",
    ":@.csv", "a\r.csv",
    "in [1]/x=*/a.csv",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_an_export_and_an_upload_mean_the_same_object(place: Place, tenant: CustobarSandbox, name: str) -> None:
    """Rule: whatever the characters of a name are, what is written under it is there under it, and read again by it."""
    if isinstance(place, OnS3) and "\\" in name:
        pytest.skip("SeaweedFS, unlike S3, makes a slash of it")
    neighbours = ["customers1.csv", "report f.csv", "ab.csv", "a.csv", "a", "a b.csv", "b.csv"]
    for neighbour in neighbours:
        place.put(neighbour, b"not,this\r\n1,2\r\n")
    result = place.export(name)
    assert result["uris"] == [place.uri(name)]
    assert sorted({*neighbours, name}) == sorted(place.names())
    assert place.get(name).count(b"\r\n") == result["rows"] + 1
    place.put(name, one("1"))
    assert place.upload(name)["uploaded"] == 1
    assert sent(tenant) == ["1"]


@pytest.mark.parametrize("name", ["a[1]-{part}.csv", "a*{part}.csv", "{x}{part}/{part}.csv", "a#{part}?.csv"])
def test_a_shorter_set_removes_its_own_files_only(place: Place, tenant: CustobarSandbox, name: str) -> None:
    """Rule: what a longer set before has left is removed; what only looks alike is somebody else's."""
    others = [
        name.replace("{part}", number)
        for number in ("0007", "000007", "\u0660\u0660\u0660\u0660\u0667", "x0007")
    ] + ["a1-00007.csv", "ab00007.csv", "a00007.csv", "00007.csv"]  # fmt: skip
    for other in others:
        place.put(other, b"")
    for number in ("00001", "00002", "00003"):
        place.put(name.replace("{part}", number), b"")
    count = len(place.export(name, max_rows_per_file=100_000)["uris"])
    assert sorted(place.names()) == sorted({*others, *(name.replace("{part}", f"{part:05}") for part in range(count))})


def test_one_pattern_language_everywhere(place: Place, tenant: CustobarSandbox) -> None:
    """Rule: a pattern means the same files on all stores, hidden ones and those of other folders never."""
    names = ["in/b.csv", "in/a.csv", "in/archive/old.csv", "in/_SUCCESS", "in/.x.csv", "in/_temporary/0/t.csv", "in/ds=1/p.csv"]
    for number, name in enumerate(names):
        place.put(name, one(str(number)))
    patterns = ("in/*.csv", "in/**/*.csv", "in/", "in/ds=?/", "in/.x.csv")
    assert [place.upload(pattern)["uploaded"] for pattern in patterns] == [2, 4, 4, 1, 1]
    assert sent(tenant) == ["1", "0", *"1206", *"1206", "6", "4"]


def test_a_whole_url_names_the_bucket(on_s3: OnS3, tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: as in Airflow's S3Hook, s3_key may be a URL, where no bucket is given, also for what lies beside it."""
    url = on_s3.uri("{date}/in.csv").replace("s3://", "S3://")
    assert on_s3.export(url, s3_bucket=None, resource="sales", date="2026-02-10")["uris"] == [on_s3.uri("2026-02-10/in.csv")]
    on_s3.put("in.csv", one("1") + b"not good,\r\n")
    result = on_s3.upload(on_s3.uri("in.csv"), s3_bucket=None, on_invalid="skip", rejects_path="rejects.jsonl")
    assert (result["uploaded"], result["rejects_uri"]) == (1, on_s3.uri("rejects.jsonl"))
    with pytest.raises(InvalidArgumentError, match="s3_key=.*and no s3_bucket"):
        on_s3.upload(on_s3.uri("in.csv"))
    with pytest.raises(InvalidArgumentError, match=r"s3_key='s3://...@...'.*aws_conn_id"):
        on_s3.upload("s3://key:secret@bucket/in.csv", s3_bucket=None)
    with pytest.raises(InvalidArgumentError, match="s3_bucket=None.*whole URL"):
        on_s3.upload("in.csv", s3_bucket=None)


def test_certificates_are_checked_as_the_hook_is_told(on_s3: OnS3, tenant: CustobarSandbox, monkeypatch: Any) -> None:
    """Rule: what S3Hook is to verify with is told to it."""
    told: list[Any] = []
    get_conn = S3Hook.get_conn
    monkeypatch.setattr(S3Hook, "get_conn", lambda hook: (told.append(hook.verify), get_conn(hook))[1])
    on_s3.export("in.csv", verify="/etc/ssl/ours.pem")
    on_s3.put("in.csv", one("1"))
    on_s3.upload("in.csv", verify_s3=False)
    assert set(told) == {"/etc/ssl/ours.pem", False}


def test_listings_of_many_pages(on_s3: OnS3, tenant: CustobarSandbox) -> None:
    """Rule: a store that lists 1,000 names at a time is asked until it has told all."""
    for number in range(1_005):
        on_s3.put(f"in/{number:04}/skipped.txt" if number < 1_003 else f"in/{number}.csv", one(str(number)))
    assert on_s3.upload("in/*.csv")["uploaded"] == 2
    assert on_s3.upload("in/**/*.csv")["uploaded"] == 2


@pytest.mark.parametrize("scheme", ["", "file://", "local://", "FILE://"])
@pytest.mark.parametrize("name", ["a::b.csv", "a://b.csv", "%41.csv", "~/a.csv", "x//a.csv", "x/../a.csv"])
def test_a_local_path_is_taken_as_it_stands(tenant: CustobarSandbox, tmp_path: Path, scheme: str, name: str) -> None:
    """Rule: the operating system reads a local path, and nobody before it; the result and the file are at one place."""
    (tmp_path / "x").mkdir()
    url = f"{scheme}{tmp_path}/{name}"
    for argument, run in {
        "path": lambda: CustobarToObjectStorageOperator(task_id="export", resource="products", path=url).execute({}),
        "rejects_path": lambda: ObjectStorageToCustobarOperator(
            task_id="upload", path=str(tmp_path / "bad.csv"), on_invalid="skip", rejects_path=url
        ).execute({}),
    }.items():
        (tmp_path / "bad.csv").write_bytes(b"external_id,email\r\n1,no-address\r\n")
        result = run()
        uri = result["uris"][0] if argument == "path" else result["rejects_uri"]
        written = f"{tmp_path}/{name}"
        assert uri == f"file://{written}"
        assert os.path.getsize(written) > 0  # noqa: PTH202 - as it stands
        os.unlink(written)  # noqa: PTH108


def test_a_relative_path_is_told_where_it_is(tenant: CustobarSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: what the result names is where the bytes are, wherever the reader of the result is."""
    monkeypatch.chdir(tmp_path)
    result = CustobarToObjectStorageOperator(task_id="export", resource="products", path="out/a.csv").execute({})
    assert result["uris"] == [f"file://{tmp_path}/out/a.csv"]
    assert (tmp_path / "out/a.csv").is_file()


@pytest.mark.parametrize("name", ["a.json", "./a.json", "x/../a.json", "/a.json", "x/back/a.json", "link.json"])
def test_one_file_spelled_twice_is_one_file(tenant: CustobarSandbox, tmp_path: Path, name: str) -> None:
    """Rule: a manifest does not replace the rows that it tells of, however their names are written."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x/back").symlink_to(tmp_path)
    (tmp_path / "link.json").symlink_to("a.json")
    arguments: dict[str, Any] = {"task_id": "export", "resource": "products", "file_format": "json"}
    for path, manifest in ((f"{tmp_path}/a.json", f"file://{tmp_path}/{name}"), (f"{tmp_path}/{name}", f"{tmp_path}/a.json")):
        with pytest.raises(InvalidArgumentError, match="manifest="):
            CustobarToObjectStorageOperator(**arguments, path=path, manifest=manifest).execute({})
    with pytest.raises(InvalidArgumentError, match="manifest="):
        CustobarToObjectStorageOperator(
            **arguments, path=f"{tmp_path}/x/{{part}}.json", max_rows_per_file=5, manifest=f"{tmp_path}/x/back/x/00003.json"
        ).execute({})


@pytest.mark.parametrize("name", ["a.jsonl", "x/../a.jsonl", "x/back/a.jsonl", "link.jsonl"])
def test_what_is_written_replaces_nothing_that_is_read(tenant: CustobarSandbox, tmp_path: Path, name: str) -> None:
    """Rule: the rows set aside, and the digests, need names of their own; nothing is sent or written before that is clear."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x/back").symlink_to(tmp_path)
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    data = b'{"external_id": "1", "email": "a@example.com"}\n{"external_id": "2", "email": "no-address"}\n'
    (tmp_path / "a.jsonl").write_bytes(data)
    tenant.clear_log()
    arguments: dict[str, Any] = {"task_id": "upload", "on_invalid": "skip", "only_changed": True}
    for argument, paths in {
        "rejects_path": {"rejects_path": f"{tmp_path}/{name}", "state_path": f"{tmp_path}/state"},
        "state_path": {"state_path": f"file://{tmp_path}/{name}"},
        "state_path=.*new": {"rejects_path": f"{tmp_path}/new", "state_path": f"{tmp_path}/x/back/new"},
    }.items():
        for path in (f"{tmp_path}/a.jsonl", f"{tmp_path}/*.jsonl"):
            with pytest.raises(InvalidArgumentError, match=argument):
                ObjectStorageToCustobarOperator(**arguments, path=path, **paths).execute({})
    assert (tmp_path / "a.jsonl").read_bytes() == data
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "new").exists()
    assert not tenant.uploads


@pytest.mark.parametrize("way", ["URL", "name"])
def test_what_an_upload_writes_goes_to_its_own_store(place: Place, tenant: CustobarSandbox, way: str) -> None:
    """Rule: rows set aside and digests go where the files are, by the operator's own connection: by URL, or by name alone."""
    if isinstance(place, OnDisk) and way == "name":
        pytest.skip("a relative path")
    place.put("a.csv", b"external_id,email\r\n1,ann@example.com\r\n2,no-address\r\n")
    rejected, state = "set aside/[1]/rejected.jsonl", "state/digests.sqlite"
    arguments = {"on_invalid": "skip", "only_changed": True}
    arguments |= {"rejects_path": rejected, "state_path": state}
    if way == "URL":
        arguments |= {"rejects_path": place.uri(rejected), "state_path": place.uri(state)}
    found = [place.upload("a.csv", **arguments) for _ in range(2)]
    assert [(each["uploaded"], each["unchanged"], each["rejected"]) for each in found] == [(1, 0, 1), (0, 1, 1)]
    assert {each["rejects_uri"] for each in found} == {place.uri(rejected)}
    assert json.loads(place.get(rejected))["row"]["external_id"] == "2"
    assert sorted(place.names()) == sorted(["a.csv", rejected, state])
    for name in ("rejects_path", "state_path"):
        with pytest.raises(InvalidArgumentError, match=f"{name}=.*it would replace"):
            place.upload("a.csv", **arguments | {name: place.uri("a.csv") if way == "URL" else "a.csv"})


@pytest.mark.parametrize("start", ["gs://", "gs://google_cloud_default@"])
def test_an_object_that_is_read_is_not_replaced(on_gcs: OnGcs, tenant: CustobarSandbox, start: str) -> None:
    """Rule: nor is an object of a store, whose URL may hold a connection's name."""
    data = b"external_id,email\r\n1,no-address\r\n"
    on_gcs.put("a.csv", data)
    path = f"{start}{on_gcs.bucket.name}/a.csv"
    with pytest.raises(InvalidArgumentError, match="rejects_path=.*it would replace"):
        GCSToCustobarOperator(
            task_id="upload", bucket_name=on_gcs.bucket.name, object_name="a.csv", on_invalid="skip", rejects_path=path
        ).execute({})


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("s3://bucket/a.csv", "apache-airflow-providers-amazon[s3fs]"),
        ("abfs://box@acme/a.csv", "apache-airflow-providers-microsoft-azure"),
    ],
)
def test_a_file_system_that_is_not_installed_is_named_with_its_package(tenant: CustobarSandbox, url: str, package: str) -> None:
    """Rule: a URL of a known scheme that this environment cannot open says what to install, before the first request."""
    operator = CustobarToObjectStorageOperator(task_id="export", resource="customers", path=url)
    with pytest.raises(InvalidArgumentError, match=f"^path=.*pip install '{re.escape(package)}'"):
        operator.execute({})
    assert tenant.requests == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "url",
    [
        "simplecache::file:///tmp/a.csv", "simplecache::/tmp/a.csv", "zip://a.csv::file:///tmp/a.zip", "file:a.csv", "file://a/b.csv",
        "file://localhost/a.csv", "~/a.csv", "~", "c:\\a.csv", "s3:bucket/a.csv", "nostore://a/b.csv", "gs://b/a::b.csv",
        "gs://bucket/a\tb.csv", "gs://bucket/a?", "a\0b.csv", "/tmp/\udcff.csv",
    ],
)  # fmt: skip
def test_a_url_that_would_be_read_otherwise_is_refused(tenant: CustobarSandbox, tmp_path: Path, url: str) -> None:
    """Rule: a path of which a library makes another one is refused wherever it is given, by the argument's name."""
    good = tmp_path / "a.csv"
    good.write_bytes(one("1"))
    upload = {"task_id": "upload", "path": str(good)}
    export = {"task_id": "export", "resource": "products", "path": str(tmp_path / "out.csv")}
    tasks: list[tuple[str, Any, dict[str, Any]]] = [
        ("path", ObjectStorageToCustobarOperator, {**upload, "path": url}),
        ("rejects_path", ObjectStorageToCustobarOperator, {**upload, "rejects_path": url}),
        ("state_path", ObjectStorageToCustobarOperator, {**upload, "only_changed": True, "state_path": url}),
        ("path", CustobarToObjectStorageOperator, {**export, "path": url}),
        ("manifest", CustobarToObjectStorageOperator, {**export, "manifest": url}),
    ]
    for argument, operator, arguments in tasks:
        with pytest.raises(InvalidArgumentError, match=f"^{argument}="):
            operator(**arguments).execute({})
    assert tenant.requests == []


@pytest.mark.parametrize("name", ["../a.csv", "a/../b.csv", "./a.csv", "a/.", "s3://b/a.csv", "gs://b/a.csv"])
def test_a_key_goes_up_to_no_folder(on_s3: OnS3, on_gcs: OnGcs, tenant: CustobarSandbox, name: str) -> None:
    """Rule: what clients and servers resolve each in its own way is refused in a bucket."""
    for place, argument in ((on_s3, "s3_key"), (on_gcs, "object_name")):
        for run in (place.upload, place.export):
            with pytest.raises(InvalidArgumentError, match=f"{argument}="):
                run(name)
    assert tenant.requests == []


def test_an_object_that_begins_with_a_slash_can_be_read(on_gcs: OnGcs, tenant: CustobarSandbox) -> None:
    """Rule: such objects are made by mistake, and are there. (SeaweedFS, unlike S3, takes the slash away.)"""
    on_gcs.put("/in/a.csv", one("1"))
    assert [on_gcs.upload(name)["uploaded"] for name in ("/in/a.csv", "/in/*.csv", "/in/")] == [1, 1, 1]
    with pytest.raises(InvalidArgumentError, match="without scheme, bucket and first slash"):
        on_gcs.export("/in/a.csv")


def test_numbers_are_names(place: Place, tenant: CustobarSandbox) -> None:
    """Rule: native rendering makes a number of ``{{ ds_nodash }}``; its text is meant."""
    if not isinstance(place, OnDisk):
        assert place.export(20260211, file_format="csv")["uris"] == [place.uri("20260211")]
        place.put("20260211", one("1"))
        assert place.upload(20260211, file_format="csv")["uploaded"] == 1


@pytest.mark.parametrize("value", [None, True, 1.5, ["a.csv"], b"a.csv", "", " ", "None"])
def test_no_other_type_is_a_name(on_s3: OnS3, on_gcs: OnGcs, tenant: CustobarSandbox, value: Any) -> None:
    """Rule: what is no text and no whole number is refused by the argument's name."""
    calls = [
        (on_s3, "s3_key", {}), (on_gcs, "object_name", {}), (on_s3, "s3_bucket", {"s3_bucket": value}),
        (on_gcs, "bucket_name", {"bucket_name": value}),
    ]  # fmt: skip
    for place, argument, arguments in calls:
        for run in (place.upload, place.export):
            with pytest.raises(InvalidArgumentError, match=f"{argument}="):
                run("a.csv" if arguments else value, **arguments)
    with pytest.raises(InvalidArgumentError, match="path="):
        ObjectStorageToCustobarOperator(task_id="upload", path=value).execute({})
    with pytest.raises(InvalidArgumentError, match="path="):
        CustobarToObjectStorageOperator(task_id="export", resource="products", path=value).execute({})
    assert tenant.requests == []


def test_metadata_may_be_numbers(on_s3: OnS3, on_gcs: OnGcs, tenant: CustobarSandbox) -> None:
    """Rule: stores keep texts, and a whole number has one; what has not is refused by name."""
    on_gcs.export("a.csv", metadata={"run": 20260211})
    assert on_gcs.bucket.get_blob("a.csv").metadata["run"] == "20260211"
    on_s3.export("a.csv", extra_args={"Metadata": {"run": 20260211}})
    assert on_s3.client.head_object(Bucket=on_s3.bucket, Key="a.csv")["Metadata"]["run"] == "20260211"
    for wrong in (1.5, None, True, ["x"], {"x": "y"}):
        with pytest.raises(InvalidArgumentError, match="metadata="):
            on_gcs.export("a.csv", metadata={"run": wrong})
        with pytest.raises(InvalidArgumentError, match="extra_args="):
            on_s3.export("a.csv", extra_args={"Metadata": {"run": wrong}})


@pytest.mark.parametrize(
    ("extra_args", "said"),
    [
        ({"ACL": "private"}, "extra_args='ACL'.*RequestPayer"),
        ({"requestpayer": "requester"}, "extra_args='requestpayer'.*RequestPayer"),
        ("RequestPayer", "extra_args='RequestPayer'.*dictionary"),
        ({"RequestPayer": 5}, "extra_args='RequestPayer'.*a text"),
        ({"SSECustomerKey": [5]}, "extra_args='SSECustomerKey'.*a text"),
    ],
)
def test_extra_args_are_those_of_a_download(on_s3: OnS3, tenant: CustobarSandbox, extra_args: Any, said: str) -> None:
    """Rule: what boto3 does not take along with a download is named, before any request."""
    on_s3.put("a.csv", one("1"))
    with pytest.raises(CustobarError, match=said):
        on_s3.upload("a.csv", extra_args=extra_args)
    assert tenant.requests == []


def test_an_account_of_digits_is_an_account(on_s3: OnS3, tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: an account's number that was rendered natively is its twelve digits again."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    client = S3Hook().get_conn()
    seen: list[str] = []
    client.meta.events.register(
        "provide-client-params.s3.HeadObject", lambda params, **_: seen.append(params["ExpectedBucketOwner"])
    )
    monkeypatch.setattr(S3Hook, "get_conn", lambda _self: client)
    on_s3.put("a.csv", one("1"))
    on_s3.upload("a.csv", extra_args={"ExpectedBucketOwner": 12345678901})
    assert seen == ["012345678901"]


def test_a_store_that_cannot_be_asked(
    aws: S3Server,
    on_s3: OnS3,
    connect: Callable[[str, str], None],
    tenant: CustobarSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule: what the store's client cannot do, for want of credentials or of a server, is told with the argument's name."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    document = json.loads(aws.airflow_connection())
    extra = document["extra"] | {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
    for changes in ({"login": None, "password": None}, {"extra": {**extra, "endpoint_url": "http://127.0.0.1:1"}}):
        connect("aws_default", json.dumps(document | changes))
        for name in ("a.csv", "in/*.csv"):
            with pytest.raises(StoreError, match=r"^s3_key: .*(NoCredentialsError|EndpointConnectionError)"):
                on_s3.upload(name)
    assert tenant.requests == []


def test_extra_args_go_along_with_each_request(on_s3: OnS3, tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: each request has those that it takes, listing included."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    client = S3Hook().get_conn()
    seen: dict[str, dict[str, Any]] = {}

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        seen[model.name] = dict(params)

    client.meta.events.register("provide-client-params.s3.*", note)
    monkeypatch.setattr(S3Hook, "get_conn", lambda _self: client)
    on_s3.put("in/a.csv", one("1"))
    assert on_s3.upload("in/*.csv", extra_args={"RequestPayer": "requester", "ChecksumMode": "ENABLED"})["uploaded"] == 1
    assert {name for name, params in seen.items() if params.get("RequestPayer") == "requester"} == {
        "HeadObject", "ListObjectsV2", "GetObject"
    }  # fmt: skip
    assert "ChecksumMode" not in seen["ListObjectsV2"]
    with pytest.raises(InvalidArgumentError, match=r"extra_args='VersionId'.*one object"):
        on_s3.upload("in/*.csv", extra_args={"VersionId": "x"})


@pytest.mark.parametrize(
    "name",
    [
        "Old_Bucket", "my_bucket", "UPPER", "a" * 255, "a.b.c", "arn:aws:s3:eu-north-1:123456789012:accesspoint/my-point",
        "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap", "my-point-abc123-s3alias", "zone--x-s3",
        "arn:aws-cn:s3-outposts:cn-north-1:123456789012:outpost/op-1/accesspoint/p", 1234,
    ],
)  # fmt: skip
def test_any_bucket_that_s3_ever_allowed_can_be_named(name: Any) -> None:
    """Rule: buckets made before 2018 may have capitals, underscores and 255 characters; an ARN names an access point."""
    from airflow_provider_custobar.task.names import check_s3_bucket

    assert check_s3_bucket("s3_bucket", name) == str(name)


@pytest.mark.parametrize(
    "name", ["Bucket", "a" * 64, f"{'a' * 64}.b", "a..b", "-a-", "ab", f"{'a' * 62}." * 4, "arn:aws:s3:::x"]
)
def test_buckets_of_gcs_have_its_own_rules(name: str) -> None:
    """Rule: GCS allows lower-case letters only, 63 characters between dots, 222 in all."""
    from airflow_provider_custobar.task.names import check_gcs_bucket

    assert check_gcs_bucket("bucket_name", "a_b-c.example.com") == "a_b-c.example.com"
    with pytest.raises(InvalidArgumentError, match="bucket_name="):
        check_gcs_bucket("bucket_name", name)


def test_a_bucket_that_is_not_there_is_told(on_s3: OnS3, on_gcs: OnGcs, tenant: CustobarSandbox) -> None:
    """Rule: a missing bucket is told by the argument that names it, whether one object is asked for or many."""
    for name in ("a.csv", "in/", "*.csv"):
        with pytest.raises(InvalidArgumentError, match=r"s3_bucket='no-such-bucket'.*no such bucket"):
            on_s3.upload(name, s3_bucket="no-such-bucket")
        with pytest.raises(InvalidArgumentError, match=r"bucket_name='no-such-bucket'.*no such bucket"):
            on_gcs.upload(name, bucket_name="no-such-bucket")
    assert tenant.requests == []


def test_what_may_not_be_read_is_told(
    on_s3: OnS3, tenant: CustobarSandbox, connect: Any, aws: S3Server, tmp_path: Path
) -> None:
    """Rule: a refusal names the argument and the object, and comes before the first request to Custobar."""
    connection = json.loads(aws.airflow_connection())
    connect("aws_wrong", json.dumps({**connection, "password": "wrong"}))
    on_s3.put("a.csv", one("1"))
    for name in ("a.csv", "in/", "*.csv"):
        with pytest.raises(StoreError, match=rf"s3_key: .*s3://{on_s3.bucket}/.*(403|SignatureDoesNotMatch)"):
            on_s3.upload(name, aws_conn_id="aws_wrong")
    assert tenant.requests == []
