"""Pages to export, stores to export to, and ways to make a store fail that leave our own code as it is."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, Protocol

import fsspec
import requests
from botocore.awsrequest import AWSResponse
from fsspec.implementations.local import LocalFileSystem
from requests.adapters import HTTPAdapter

from airflow_provider_custobar.api.pages import CsvPage, JsonPage
from airflow_provider_custobar.stores.files import FileSystemStore as FsspecStore
from airflow_provider_custobar.stores.gcs import GcsStore as CloudStore
from airflow_provider_custobar.stores.gcs import GcsTarget
from airflow_provider_custobar.stores.local import LocalStore
from airflow_provider_custobar.stores.protocol import SIGNATURE_KEY, LostError, ObjectInfo, State, Target, exists_error
from airflow_provider_custobar.stores.s3 import S3Store as BucketStore
from airflow_provider_custobar.stores.s3 import S3Target
from airflow_provider_custobar.stores.unfinished import UNFINISHED_PREFIX

MIB = 1 << 20
PART = 8 * MIB
BUCKET = "exports"
TEXT = "text/csv; charset=utf-8"
MARK = "0123456789ab"
PLAIN = ObjectInfo(content_type=TEXT, metadata={"custobar-resource": "sales"})
#: As for an export that can be continued.
MARKED = changed(PLAIN, object_id=MARK, can_continue=True)


def json_page(*records: str) -> JsonPage:
    data = "".join(f"{record}\n" for record in records).encode()
    return JsonPage(data, len(records), len(records), len(data))


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

    def metadata(self, name: str) -> Mapping[str, str] | None:
        """None where the store has no such thing."""

    def debris(self) -> list[str]:
        """Unfinished things: hidden objects, and uploads that a listing of objects does not show."""

    def vanish(self) -> None:
        """Remove what is unfinished, as a life cycle rule may."""


def visible(store: Store) -> list[str]:
    """Names as a reader of the folder meets them; by agreement a leading dot hides one."""
    return [name for name in store.names() if name not in hidden(store)]


def hidden(store: Store) -> list[str]:
    return [name for name in store.names() if name.rpartition("/")[2].startswith(".")]


class S3Store:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.prefix = f"{uuid.uuid4().hex}/"

    def target(self, name: str, *, replace: bool = True, **extra_args: Any) -> S3Target:
        return BucketStore(self.client, BUCKET, replace=replace, extra_args=extra_args).target(self.prefix + name)

    def read(self, name: str) -> bytes | None:
        try:
            return self.client.get_object(Bucket=BUCKET, Key=self.prefix + name)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix).get("Contents", [])
        return [entry["Key"].removeprefix(self.prefix) for entry in found]

    def metadata(self, name: str) -> Mapping[str, str]:
        return self.client.head_object(Bucket=BUCKET, Key=self.prefix + name)["Metadata"]

    def uploads(self) -> list[dict[str, Any]]:
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [upload for upload in uploads if upload["Key"].startswith(self.prefix)]

    def debris(self) -> list[str]:
        return [upload["Key"] for upload in self.uploads()]

    def vanish(self) -> None:
        for upload in self.uploads():
            self.client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


class GcsStore:
    def __init__(self, client: Any) -> None:
        self.client = client
        # A bucket of its own, because what is unfinished is not below a prefix of the test's choice.
        self.bucket = client.create_bucket(uuid.uuid4().hex)
        self.prefix = "exports/"
        self.wire = Wire()
        client._http.mount("http://", self.wire)

    def target(self, name: str, *, replace: bool = True, **options: Any) -> GcsTarget:
        return CloudStore(self.client, self.bucket.name, replace=replace, **options).target(self.prefix + name)

    def read(self, name: str) -> bytes | None:
        blob = self.blob(name)
        return None if blob is None else blob.download_as_bytes()

    def blob(self, name: str) -> Any:
        return self.bucket.get_blob(self.prefix + name)

    def names(self) -> list[str]:
        return [blob.name.removeprefix(self.prefix) for blob in self.client.list_blobs(self.bucket, prefix=self.prefix)]

    def components(self) -> list[str]:
        return [blob.name for blob in self.client.list_blobs(self.bucket, prefix=UNFINISHED_PREFIX)]

    def metadata(self, name: str) -> Mapping[str, str]:
        return self.blob(name).metadata or {}

    def debris(self) -> list[str]:
        # The server does not list uploads: what can be seen is whether each one that took a chunk was finished or cancelled.
        sessions = {request.url for request in self.wire.seen if request.method == "PUT"}
        finished = {
            request.url
            for request in self.wire.seen
            if request.method == "DELETE" or not request.headers.get("content-range", "/*").endswith("/*")
        }
        return sorted(map(str, sessions - finished)) + self.components()

    def vanish(self) -> None:
        for name in self.components():
            self.bucket.blob(name).delete()


class FileSystemStore:
    """A folder, of this machine or of an fsspec file system."""

    def __init__(self, filesystem: Any, folder: str) -> None:
        self.filesystem = filesystem
        self.folder = folder

    def target(self, name: str, *, replace: bool = True) -> Target:
        store = LocalStore(replace=replace) if self.is_local else FsspecStore(self.filesystem, replace=replace)
        return store.target(f"{self.folder}/{name}")

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, LocalFileSystem)

    def read(self, name: str) -> bytes | None:
        try:
            with self.filesystem.open(f"{self.folder}/{name}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        # By hand: the file system's own walk treats some characters of names as patterns.
        if self.is_local:
            return [str(path.relative_to(self.folder)) for path in Path(self.folder).rglob("*") if path.is_file()]
        return [path.removeprefix(f"{self.folder}/") for path in self.filesystem.store if path.startswith(f"{self.folder}/")]

    def metadata(self, name: str) -> None:
        return None

    def debris(self) -> list[str]:
        return hidden(self)

    def vanish(self) -> None:
        for name in hidden(self):
            self.filesystem.rm_file(f"{self.folder}/{name}")


def local_store(folder: Path) -> FileSystemStore:
    return FileSystemStore(LocalFileSystem(), str(folder / "exports"))


def memory_store() -> FileSystemStore:
    return FileSystemStore(fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}")


class DictStore:
    """Objects in a dictionary: the smallest thing that keeps the promises of a target.

    ``objects`` are what readers see, ``unfinished`` what has been saved; both by name.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.about: dict[str, dict[str, str]] = {}
        self.unfinished: dict[str, bytes] = {}
        self.opened = 0
        self.reopened = 0
        self.aborted = 0

    def target(self, name: str, *, replace: bool = True) -> DictTarget:
        return DictTarget(self, name, replace=replace)

    def read(self, name: str) -> bytes | None:
        return self.objects.get(name)

    def names(self) -> list[str]:
        return list(self.objects)

    def metadata(self, name: str) -> Mapping[str, str]:
        return self.about[name]

    def debris(self) -> list[str]:
        return list(self.unfinished)

    def vanish(self) -> None:
        self.unfinished.clear()


class DictTarget:
    def __init__(self, store: DictStore, name: str, *, replace: bool) -> None:
        self.store = store
        self.name = name
        self.replace = replace
        self.uri = f"dict://{name}"

    def check(self) -> None:
        if not self.replace and self.name in self.store.objects:
            raise exists_error(self.uri)

    def open(self, info: ObjectInfo) -> DictSink:
        self.store.opened += 1
        return DictSink(self, info)

    def reopen(self, info: ObjectInfo, state: State) -> DictSink:
        sink = DictSink(self, info)
        saved = self.store.unfinished.get(sink.key)
        if saved is not None and len(saved) >= state["bytes"]:
            sink.content = io.BytesIO()
            sink.write(saved[: state["bytes"]])
        elif (
            "finished" in state and info.object_id and self.store.about.get(self.name, {}).get(SIGNATURE_KEY) == info.signature
        ):
            sink.is_published = True
        else:
            raise LostError(f"nothing is saved of {self.uri}")
        sink.late_metadata = state.get("finished", {})
        self.store.reopened += 1
        return sink

    def sweep(self, info: ObjectInfo, state: State | None = None) -> bool:
        keys = {DictSink(self, info).key, (state or {}).get("key")} & set(self.store.unfinished)
        for key in keys:
            del self.store.unfinished[key]
        return bool(keys)


class DictSink:
    can_go_on = True

    def __init__(self, target: DictTarget, info: ObjectInfo) -> None:
        self.target = target
        self.info = info
        self.key = f"{target.name}.{info.object_id or id(self)}"
        self.content = io.BytesIO()
        self.late_metadata: Mapping[str, str] = {}
        self.is_published = False

    def write(self, data: bytes) -> None:
        self.content.write(data)

    def prepare(self, size: int) -> bool:
        return False

    def durable(self) -> tuple[int, State] | None:
        content = self.content.getvalue()
        self.target.store.unfinished[self.key] = content
        return (len(content), {"key": self.key, "bytes": len(content)}) if content else None

    def end(self, metadata: Mapping[str, str]) -> None:
        self.late_metadata = dict(metadata)

    def finish(self) -> State | None:
        self.durable()
        return {"key": self.key, "bytes": len(self.content.getvalue()), "finished": self.late_metadata}

    def publish(self) -> None:
        if self.is_published:
            return
        self.target.check()
        store, name = self.target.store, self.target.name
        store.objects[name] = self.content.getvalue()
        mark = {SIGNATURE_KEY: self.info.signature} if self.info.signature else {}
        store.about[name] = {**self.info.metadata, **self.late_metadata, **mark}
        store.unfinished.pop(self.key, None)
        self.is_published = True

    def abort(self, keep: State | None = None) -> None:
        self.target.store.aborted += 1
        if keep is None:
            self.target.store.unfinished.pop(self.key, None)
        self.content = io.BytesIO()


class Wire(HTTPAdapter):
    """The connection of a requests session: notes what is sent, and may answer in the server's place.

    ``answer`` gives a status, a status and a body, or None to ask the server.
    """

    def __init__(self, answer: Callable[[requests.PreparedRequest], int | tuple[int, bytes] | None] = lambda _: None) -> None:
        super().__init__()
        self.answer = answer
        self.seen: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.seen.append(request)
        answer = self.answer(request)
        if answer is None:
            return super().send(request, *args, **kwargs)
        made_up = b'{"error": {"code": %d, "message": "made up by the test"}}'
        status, body = answer if isinstance(answer, tuple) else (answer, made_up % answer)
        response = requests.Response()
        response.status_code = status
        response.url = str(request.url)
        response.request = request
        response.raw = io.BytesIO(body)
        return response


class _Body(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


def s3_answer(status: int, code: str, body: bytes = b"") -> AWSResponse:
    """An answer of S3 with an error, or with that body, for botocore's own ``before-send`` event."""
    body = body or f"<Error><Code>{code}</Code><Message>made up by the test</Message></Error>".encode()
    return AWSResponse("http://s3", status, {"content-type": "application/xml"}, _Body(body))
