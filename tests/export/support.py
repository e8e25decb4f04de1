"""Pages to export, stores to export to, and ways to make a store fail that leave our own code as it is."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import fsspec
import requests
from botocore.awsrequest import AWSResponse
from fsspec.implementations.local import LocalFileSystem
from requests.adapters import HTTPAdapter

from airflow_provider_custobar.api.pages import CsvPage, JsonPage
from airflow_provider_custobar.export.filesystem import FileSystemTarget
from airflow_provider_custobar.export.gcs import GcsTarget
from airflow_provider_custobar.export.s3 import S3Target
from airflow_provider_custobar.export.targets import Target, exists_error

MIB = 1 << 20
PART = 8 * MIB
BUCKET = "exports"
TEXT = "text/csv; charset=utf-8"


def json_page(*records: str) -> JsonPage:
    return JsonPage([record.encode() for record in records], len(records), sum(map(len, records)))


def csv_page(header: str, *rows: str) -> CsvPage:
    body = "".join(f"{row}\r\n" for row in rows).encode()
    line = f"{header}\r\n".encode() if header else b""
    return CsvPage(tuple(header.split(",")) if header else (), line, body, len(rows), len(rows), len(body))


class Store(Protocol):
    """What the tests need to know of a place for objects: what a reader sees in it, and what is left in it unseen."""

    def target(self, name: str, *, replace: bool = True) -> Target: ...

    def read(self, name: str) -> bytes | None: ...

    def names(self) -> list[str]:
        """Every object or file, hidden ones too."""

    def debris(self) -> list[str]:
        """Unfinished things that a listing of objects does not show."""


class S3Store:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.prefix = f"{uuid.uuid4().hex}/"

    def target(self, name: str, *, replace: bool = True) -> S3Target:
        return S3Target(self.client, BUCKET, self.prefix + name, replace=replace)

    def read(self, name: str) -> bytes | None:
        try:
            return self.client.get_object(Bucket=BUCKET, Key=self.prefix + name)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix).get("Contents", [])
        return [entry["Key"].removeprefix(self.prefix) for entry in found]

    def debris(self) -> list[str]:
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [upload["Key"] for upload in uploads if upload["Key"].startswith(self.prefix)]


class GcsStore:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.prefix = f"{uuid.uuid4().hex}/"
        self.wire = Wire()
        client._http.mount("http://", self.wire)

    def target(self, name: str, *, replace: bool = True) -> GcsTarget:
        return GcsTarget(self.client, BUCKET, self.prefix + name, replace=replace)

    def read(self, name: str) -> bytes | None:
        blob = self.client.bucket(BUCKET).get_blob(self.prefix + name)
        return None if blob is None else blob.download_as_bytes()

    def names(self) -> list[str]:
        return [blob.name.removeprefix(self.prefix) for blob in self.client.list_blobs(BUCKET, prefix=self.prefix)]

    def debris(self) -> list[str]:
        # The server does not list uploads: what can be seen is whether each one that took a chunk was finished or cancelled.
        sessions = {request.url for request in self.wire.seen if request.method == "PUT"}
        finished = {
            request.url
            for request in self.wire.seen
            if request.method == "DELETE" or not request.headers.get("content-range", "/*").endswith("/*")
        }
        return sorted(map(str, sessions - finished))


class FileSystemStore:
    """A folder of an fsspec file system."""

    def __init__(self, filesystem: Any, folder: str, scheme: str) -> None:
        self.filesystem = filesystem
        self.folder = folder
        self.scheme = scheme

    def target(self, name: str, *, replace: bool = True) -> FileSystemTarget:
        path = f"{self.folder}/{name}"
        return FileSystemTarget(self.filesystem, path, f"{self.scheme}://{path}", replace=replace)

    def read(self, name: str) -> bytes | None:
        try:
            with self.filesystem.open(f"{self.folder}/{name}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        # By hand: the file system's own walk treats some characters of names as patterns.
        if isinstance(self.filesystem, LocalFileSystem):
            return [str(path.relative_to(self.folder)) for path in Path(self.folder).rglob("*") if path.is_file()]
        return [path.removeprefix(f"{self.folder}/") for path in self.filesystem.store if path.startswith(f"{self.folder}/")]

    def debris(self) -> list[str]:
        return []


def local_store(folder: Path) -> FileSystemStore:
    return FileSystemStore(LocalFileSystem(), str(folder / "exports"), "file")


def memory_store() -> FileSystemStore:
    return FileSystemStore(fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}", "memory")


class DictStore:
    """Objects in a dictionary: the smallest thing that keeps the promises of a target."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.opened = 0
        self.aborted = 0

    def target(self, name: str, *, replace: bool = True) -> DictTarget:
        return DictTarget(self, name, replace=replace)

    def read(self, name: str) -> bytes | None:
        return self.objects.get(name)

    def names(self) -> list[str]:
        return list(self.objects)

    def debris(self) -> list[str]:
        return []


class DictTarget:
    def __init__(self, store: DictStore, name: str, *, replace: bool) -> None:
        self.store = store
        self.name = name
        self.replace = replace
        self.uri = f"dict://{name}"

    def check(self) -> None:
        if not self.replace and self.name in self.store.objects:
            raise exists_error(self.uri)

    def open(self, content_type: str) -> DictSink:
        self.store.opened += 1
        return DictSink(self)


class DictSink:
    def __init__(self, target: DictTarget) -> None:
        self.target = target
        self.content = io.BytesIO()

    def write(self, data: bytes) -> None:
        self.content.write(data)

    def commit(self) -> None:
        self.target.check()
        self.target.store.objects[self.target.name] = self.content.getvalue()

    def abort(self) -> None:
        self.target.store.aborted += 1
        self.content = io.BytesIO()


class Wire(HTTPAdapter):
    """The connection of a requests session: notes what is sent, and may answer in the server's place."""

    def __init__(self, answer: Callable[[requests.PreparedRequest], int | None] = lambda _: None) -> None:
        super().__init__()
        self.answer = answer
        self.seen: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.seen.append(request)
        status = self.answer(request)
        if status is None:
            return super().send(request, *args, **kwargs)
        response = requests.Response()
        response.status_code = status
        response.url = str(request.url)
        response.request = request
        response.raw = io.BytesIO(b'{"error": {"code": %d, "message": "made up by the test"}}' % status)
        return response


class _Body(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


def s3_answer(status: int, code: str) -> AWSResponse:
    """An answer of S3 with an error, for botocore's own ``before-send`` event."""
    body = f"<Error><Code>{code}</Code><Message>made up by the test</Message></Error>".encode()
    return AWSResponse("http://s3", status, {"content-type": "application/xml"}, _Body(body))
