"""The servers that stand in for S3 and GCS behave as their docstrings say."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
import psutil
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from google.api_core.exceptions import NotFound, PreconditionFailed

from tools.servers import GcsServer, S3Server, ServerError
from tools.waiting import wait_until

pytestmark = pytest.mark.processes

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = b"0123456789abcdef" * (8 * 1024 * 1024 // 16)
CHUNK = 256 * 1024

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and the parent signal")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        server.create_bucket("bucket")
        yield server


@pytest.fixture(scope="module")
def client(s3: S3Server) -> Any:
    return s3.client()


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    with GcsServer() as server:
        server.create_bucket("bucket")
        yield server


@pytest.fixture(scope="module")
def bucket(gcs: GcsServer) -> Any:
    return gcs.client().bucket("bucket")


class LeavingError(Exception):
    """Raised to leave a block by an error."""


def start_multipart(client: Any, bucket: str, key: str, parts: list[bytes]) -> dict[str, Any]:
    """Upload the parts and return the arguments that complete the upload."""
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    done = [
        {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=part)["ETag"]}
        for number, part in enumerate(parts, 1)
    ]
    return {**upload, "MultipartUpload": {"Parts": done}}


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response: dict[str, Any] = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def is_running(pid: int) -> bool:
    try:
        # A zombie is dead; it only waits for whoever adopted it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def listening(pid: int) -> set[tuple[str, int]]:
    """Return address (the kernel's hexadecimal) and port of a process' listening TCP sockets."""
    inodes = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]]
    local = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    return {(address, int(port, 16)) for address, port in local}


def socket_files(ports: set[tuple[str, int]]) -> list[Path]:
    return [path for _, port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


def test_s3_put_if_none_match(client: Any) -> None:
    """PutObject with If-None-Match: * answers 412 for a taken key and leaves the object alone."""
    client.put_object(Bucket="bucket", Key="put", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket="bucket", Key="put", Body=b"second", IfNoneMatch="*")
    assert refusal(error) == (412, "PreconditionFailed")
    assert client.get_object(Bucket="bucket", Key="put")["Body"].read() == b"first"


def test_s3_complete_if_none_match(client: Any) -> None:
    """CompleteMultipartUpload with If-None-Match: * answers 412 for a key taken during the upload."""
    upload = start_multipart(client, "bucket", "complete", [b"second"])
    client.put_object(Bucket="bucket", Key="complete", Body=b"first")
    with pytest.raises(ClientError) as error:
        client.complete_multipart_upload(**upload, IfNoneMatch="*")
    assert refusal(error) == (412, "PreconditionFailed")
    assert client.get_object(Bucket="bucket", Key="complete")["Body"].read() == b"first"


def test_s3_multipart_is_listed_and_invisible_until_completed(client: Any) -> None:
    """A multipart upload is in the list of uploads, and not in that of objects, until it is completed."""
    upload = start_multipart(client, "bucket", "multi/part", [b"content"])
    listed = client.list_multipart_uploads(Bucket="bucket", Prefix="multi/")["Uploads"]
    assert [(each["Key"], each["UploadId"]) for each in listed] == [("multi/part", upload["UploadId"])]
    assert client.list_objects_v2(Bucket="bucket", Prefix="multi/")["KeyCount"] == 0
    client.complete_multipart_upload(**upload, IfNoneMatch="*")
    assert "Uploads" not in client.list_multipart_uploads(Bucket="bucket", Prefix="multi/")
    assert client.get_object(Bucket="bucket", Key="multi/part")["Body"].read() == b"content"


def test_s3_multipart_abort(client: Any) -> None:
    """An aborted multipart upload is gone: not listed, and it cannot be completed."""
    upload = start_multipart(client, "bucket", "aborted", [b"content"])
    client.abort_multipart_upload(Bucket="bucket", Key="aborted", UploadId=upload["UploadId"])
    assert "Uploads" not in client.list_multipart_uploads(Bucket="bucket", Prefix="aborted")
    with pytest.raises(ClientError) as error:
        client.complete_multipart_upload(**upload)
    assert refusal(error) == (404, "NoSuchUpload")


def test_s3_small_parts_are_refused(client: Any) -> None:
    """A part below 5 MB that is not the last one fails the completion, as in S3."""
    upload = start_multipart(client, "bucket", "small", [b"small", b"last"])
    with pytest.raises(ClientError) as error:
        client.complete_multipart_upload(**upload)
    assert refusal(error) == (400, "EntityTooSmall")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "wrong"}, "InvalidAccessKeyId"),
        ({"config": Config(signature_version=UNSIGNED)}, "AccessDenied"),
    ],
)
def test_s3_wrong_credentials_are_refused(s3: S3Server, changes: dict[str, Any], code: str) -> None:
    """A wrong secret, an unknown key and an unsigned request are each refused with 403."""
    right = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
    client = boto3.client("s3", endpoint_url=s3.endpoint_url, region_name=s3.region, **{**right, **changes})
    with pytest.raises(ClientError) as error:
        client.list_objects_v2(Bucket="bucket")
    assert refusal(error) == (403, code)


def test_s3_missing_bucket(client: Any) -> None:
    """A write to a bucket that does not exist answers 404 instead of creating it."""
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket="no-such-bucket", Key="key", Body=b"1")
    assert refusal(error) == (404, "NoSuchBucket")


def test_s3_many_buckets_and_large_objects(s3: S3Server, client: Any) -> None:
    """Twenty buckets take 30 MB objects by multipart, and the disk holds what was written and little more."""
    names = [f"many-{number}" for number in range(20)]
    for name in names:
        client.create_bucket(Bucket=name)
    with ThreadPoolExecutor() as pool:  # the first write to a bucket takes long, and mostly waits
        list(pool.map(lambda name: client.put_object(Bucket=name, Key="small", Body=b"1"), names))
    for name in names[:4]:
        upload = start_multipart(client, name, "large", [PART] * 4)
        client.complete_multipart_upload(**upload)
        assert client.head_object(Bucket=name, Key="large")["ContentLength"] == 4 * len(PART)
    data = Path(f"/proc/{s3.pid}/cwd").readlink() / "data"
    written = sum(each.stat().st_blocks * 512 for each in data.rglob("*") if each.is_file())
    assert written < 1.3 * 4 * 4 * len(PART)


def test_gcs_precondition_on_simple_uploads(bucket: Any) -> None:
    """if_generation_match=0 on an upload in one request answers 412 for a taken name."""
    bucket.blob("simple").upload_from_string(b"first", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("simple").upload_from_string(b"second", if_generation_match=0)
    assert bucket.blob("simple").download_as_bytes() == b"first"


def test_gcs_precondition_on_resumable_uploads_is_ignored(bucket: Any) -> None:
    """A resumable upload overwrites despite if_generation_match=0, unlike GCS: no test may rely on a 412."""
    bucket.blob("ignored").upload_from_string(b"first")
    blob = bucket.blob("ignored", chunk_size=CHUNK)
    blob.upload_from_file(io.BytesIO(PART[: 2 * CHUNK]), if_generation_match=0)
    assert bucket.get_blob("ignored").size == 2 * CHUNK


def test_gcs_resumable_upload_is_invisible_until_finished(gcs: GcsServer, bucket: Any) -> None:
    """The session's URL leads to this server, and the object appears with the last chunk only."""
    url = bucket.blob("resumable").create_resumable_upload_session()
    assert url.startswith(f"{gcs.endpoint_url}/")
    first = requests.put(
        url,
        data=PART[:CHUNK],
        headers={"Content-Range": f"bytes 0-{CHUNK - 1}/*"},
        timeout=5,
        allow_redirects=False,
    )
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")
    assert not bucket.blob("resumable").exists()
    last = requests.put(url, data=b"end", headers={"Content-Range": f"bytes {CHUNK}-{CHUNK + 2}/{CHUNK + 3}"}, timeout=5)
    assert last.status_code == 200
    assert bucket.blob("resumable").download_as_bytes() == PART[:CHUNK] + b"end"


def test_gcs_open_for_writing(bucket: Any) -> None:
    """blob.open("wb") stores nothing before it is closed, and nothing at all when an error leaves it."""
    with bucket.blob("opened").open("wb", chunk_size=CHUNK, ignore_flush=True) as writer:
        writer.write(PART[: 5 * CHUNK + 1])
        assert not bucket.blob("opened").exists()
    assert bucket.blob("opened").download_as_bytes() == PART[: 5 * CHUNK + 1]
    with (
        suppress(LeavingError),
        bucket.blob("left").open("wb", chunk_size=CHUNK, ignore_flush=True) as writer,
    ):
        writer.write(PART[: 5 * CHUNK])
        raise LeavingError
    assert not bucket.blob("left").exists()


def test_gcs_compose(bucket: Any) -> None:
    """Compose joins the contents of the sources in their order."""
    for name in ("one", "two"):
        bucket.blob(name).upload_from_string(name)
    bucket.blob("composed").compose([bucket.blob("two"), bucket.blob("one")])
    assert bucket.blob("composed").download_as_bytes() == b"twoone"


def test_gcs_missing_bucket(gcs: GcsServer) -> None:
    """A write to a bucket that does not exist answers 404."""
    with pytest.raises(NotFound):
        gcs.client().bucket("no-such-bucket").blob("name").upload_from_string(b"1")


def test_airflow_connections(s3: S3Server, gcs: GcsServer, tmp_path: Path) -> None:
    """Airflow's own hooks reach the servers through the connections from the environment."""
    code = """
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.google.cloud.hooks.gcs import GCSHook
S3Hook("aws_default").load_string("text", "airflow", "bucket")
hook = GCSHook("google_cloud_default")
hook.upload("bucket", "airflow", data="text")
assert hook.project_id == "local-project"
"""
    environment = {
        **os.environ,
        **gcs.environment(),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_AWS_DEFAULT": s3.airflow_connection(),
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": gcs.airflow_connection(),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    assert s3.client().get_object(Bucket="bucket", Key="airflow")["Body"].read() == b"text"
    assert gcs.client().bucket("bucket").blob("airflow").download_as_bytes() == b"text"


@linux_only
def test_listening_on_loopback_only(s3: S3Server, gcs: GcsServer) -> None:
    """Neither server listens on another address than 127.0.0.1."""
    for server in (s3, gcs):
        assert {address for address, _ in listening(server.pid)} == {"0100007F"}


@pytest.mark.parametrize("kind", [S3Server, GcsServer])
def test_data_directory_is_kept(kind: type[S3Server | GcsServer], tmp_path: Path) -> None:
    """With a directory, a second server finds what the first stored; the log is where it was asked for."""
    log = tmp_path / "log" / "server.log"
    log.parent.mkdir()
    with kind(tmp_path / "data", log) as first:
        first.create_bucket("kept")
    assert "127.0.0.1" in log.read_text()
    with kind(tmp_path / "data") as second:
        names = (
            [each["Name"] for each in second.client().list_buckets()["Buckets"]]
            if isinstance(second, S3Server)
            else [each.name for each in second.client().list_buckets()]
        )
    assert names == ["kept"]


@linux_only
@pytest.mark.parametrize("kind", [S3Server, GcsServer])
def test_nothing_is_left_behind(kind: type[S3Server | GcsServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leaving by an error, too, ends the process and removes the temporary directory and the sockets."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with suppress(LeavingError), kind() as server:
        pid, ports = server.pid, listening(server.pid)
        assert is_running(pid)
        raise LeavingError
    assert not is_running(pid)
    assert list(tmp_path.iterdir()) == []
    assert socket_files(ports) == []


@linux_only
@pytest.mark.parametrize("kind", ["S3Server", "GcsServer", "PostgresServer"])
def test_server_dies_with_its_parent(kind: str) -> None:
    """A SIGKILL of the Python process takes the server with it, and whatever processes that has."""
    code = f"""
import time
from tools.servers import {kind}
with {kind}() as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""
    with tempfile.TemporaryDirectory() as temporary:
        # PostgreSQL runs as a user of its own.
        Path(temporary).chmod(0o755)
        environment = {**os.environ, "TMPDIR": temporary}
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env=environment) as child:
            assert child.stdout is not None
            pid = int(child.stdout.readline())
            family = [pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))]
            ports = listening(pid)
            os.kill(child.pid, signal.SIGKILL)
        wait_until("the server is gone", lambda: not any(map(is_running, family)))
    for path in socket_files(ports):
        path.unlink()


@linux_only
def test_a_guarded_command_dies_with_its_parent(tmp_path: Path) -> None:
    """A SIGKILL of the Python process ends a command of many processes, those that left its group or lost their parent, too."""
    pids = tmp_path / "pids"
    pids.touch()
    script = f"(sleep 600 & echo $! >> {pids}) & setsid sleep 600 & echo $! >> {pids}; echo $$ >> {pids}; wait"
    code = f"""
import subprocess, sys, time
guarded = [sys.executable, "-m", "tools.guarded", "sh", "-c", {script!r}]
subprocess.Popen(guarded, stdin=subprocess.PIPE, start_new_session=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as child:
        wait_until("the command runs", lambda: len(pids.read_text().split()) == 3)
        os.kill(child.pid, signal.SIGKILL)
    wait_until("the command is gone", lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()))


def test_taken_port_is_replaced() -> None:
    """A start that loses its port to somebody else is repeated with another port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken_port = taken.getsockname()[1]

        class Unlucky(GcsServer):
            chosen: ClassVar[list[int]] = []

            def _free_ports(self, count: int) -> list[int]:
                self.chosen.extend(super()._free_ports(count) if self.chosen else [taken_port])
                return self.chosen[-count:]

        with Unlucky() as server:
            assert len(server.chosen) == 2
            assert server.endpoint_url.endswith(f":{server.chosen[1]}")


def test_failed_start_tells_the_log() -> None:
    """A server that cannot start raises an error that ends with what it logged."""

    class Broken(GcsServer):
        def _arguments(self, temporary: Path) -> list[str]:
            return [*super()._arguments(temporary), "-no-such-flag"]

    with pytest.raises(ServerError, match=r"(?s)did not start: it ended with status.*no-such-flag"):
        Broken().__enter__()


def test_missing_package_names_the_remedy() -> None:
    """A missing package is reported with the line that installs it."""

    class Missing(S3Server):
        package = "no-such-package"

    with pytest.raises(ServerError, match="pip install no-such-package"):
        Missing().__enter__()
