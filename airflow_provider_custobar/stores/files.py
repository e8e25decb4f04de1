"""Files of any fsspec file system: written under another name, then moved into place."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.stores.protocol import LostError, ObjectInfo, State, TargetError, exists_error
from airflow_provider_custobar.stores.reading import read_in_ranges, told_of_anything
from airflow_provider_custobar.stores.unfinished import apart_prefix, unfinished_prefix

log = logging.getLogger(__name__)


class FileSystemStore:
    """Files of an fsspec file system; their names are its paths."""

    def __init__(self, filesystem: Any, *, replace: bool = True) -> None:
        self._filesystem = filesystem
        self._replace = replace
        # What an earlier task of this process saw may not be so any more.
        filesystem.invalidate_cache()

    def uri(self, name: str) -> str:
        return str(self._filesystem.unstrip_protocol(name))

    def look(self, name: str) -> FileSystemFile | None:
        with told_of_anything(f"{self.uri(name)} cannot be read"):
            return self._file(name) if self._filesystem.isfile(name) else None

    def list(self, prefix: str, depth: int | None) -> Iterator[FileSystemFile]:
        with told_of_anything(f"files at {self.uri(prefix)} cannot be listed"):
            try:
                found = self._filesystem.find(prefix.rpartition("/")[0], maxdepth=depth)
            except FileNotFoundError:
                return
            yield from (self._file(name) for name in found if name.startswith(prefix))

    def target(self, name: str, uri: str | None = None) -> FileSystemTarget:
        """``uri`` is how the target is to be called, if otherwise than here."""
        return FileSystemTarget(self._filesystem, name, uri or self.uri(name), replace=self._replace)

    def remove(self, name: str) -> None:
        self._filesystem.rm_file(name)

    def _file(self, name: str) -> FileSystemFile:
        return FileSystemFile(self._filesystem, name, self.uri(name))


class FileSystemFile:
    def __init__(self, filesystem: Any, name: str, uri: str) -> None:
        self.name = name
        self.uri = uri
        self._filesystem = filesystem

    @property
    def content_encoding(self) -> str | None:
        about = self._info()
        # As gcsfs, s3fs and adlfs call it.
        settings = about.get("content_settings") or {}
        return about.get("contentEncoding") or about.get("ContentEncoding") or settings.get("content_encoding")

    def open(self) -> BinaryIO:
        size = self._info().get("size")
        if size is None:
            with told_of_anything(f"{self.uri} cannot be read"):
                opened: BinaryIO = self._filesystem.open(self.name, "rb")
                return opened
        return read_in_ranges(self.uri, size, self._fetch)

    def _info(self) -> dict[str, Any]:
        with told_of_anything(f"{self.uri} cannot be read"):
            about: dict[str, Any] = self._filesystem.info(self.name)
            return about

    def _fetch(self, start: int, end: int) -> bytes:
        with told_of_anything(f"{self.uri} cannot be read"):
            return bytes(self._filesystem.cat_file(self.name, start=start, end=end))


class FileSystemTarget:
    """One file. ``filesystem`` is an fsspec file system, ``path`` the file's path in it, ``uri`` its full address."""

    def __init__(self, filesystem: Any, path: str, uri: str, *, replace: bool = True) -> None:
        self._filesystem = filesystem
        self._path = path
        self._uri = uri
        self._replace = replace

    @property
    def uri(self) -> str:
        return self._uri

    def check(self) -> None:
        try:
            self._check()
        except OSError as error:
            raise TargetError(f"{self._uri} cannot be looked at: {type(error).__name__}: {error}") from error

    def _check(self) -> None:
        if self._filesystem.isdir(self._path):
            raise TargetError(f"{self._uri} is a directory: give the path of a file in it.")
        if _has_buckets(self._filesystem):
            bucket = self._path.lstrip("/").partition("/")[0]
            if not self._filesystem.exists(bucket):
                raise TargetError(f"There is no bucket or container {bucket!r} for {self._uri}: create it first.")
        if not self._replace and self._filesystem.exists(self._path):
            raise exists_error(self._uri)

    def open(self, info: ObjectInfo) -> FileSystemSink:
        sink = self._sink(info, uuid.uuid4().hex[:8])
        try:
            sink.begin()
        except OSError as error:
            raise CustobarError(f"{self._uri} cannot be written: {type(error).__name__}: {error}") from error
        return sink

    def reopen(self, info: ObjectInfo, state: State) -> FileSystemSink:
        sink = self._sink(info, state["attempt"])
        sink.resume(state)
        return sink

    def sweep(self, info: ObjectInfo, state: State | None = None) -> bool:
        here = None if info.object_id is None else self._unfinished_prefix(info.object_id)
        there = (state or {}).get("prefix")
        swept = [self._sweep(prefix) for prefix in filter(None, {here, there})]
        return any(swept)

    def _sweep(self, prefix: str) -> bool:
        is_anything = False
        try:
            self._filesystem.invalidate_cache()
            for name in self._filesystem.ls(prefix.rpartition("/")[0], detail=False):
                if name.lstrip("/").startswith(prefix.lstrip("/")):
                    is_anything = True
                    self._filesystem.rm_file(name)
        except FileNotFoundError:
            # No folder, or another attempt was quicker.
            pass
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            log.warning("Could not look for or remove %s*: %s", prefix, error)
        return is_anything

    def _unfinished_prefix(self, object_id: str) -> str:
        if not _has_buckets(self._filesystem):
            return unfinished_prefix(self._path, object_id)
        bucket, _, name = self._path.lstrip("/").partition("/")
        return f"{bucket}/{apart_prefix(name, object_id)}"

    def _sink(self, info: ObjectInfo, attempt: str) -> FileSystemSink:
        prefix = self._unfinished_prefix(info.object_id or uuid.uuid4().hex[:12])
        unfinished = f"{prefix}{attempt}.part"
        # Without an object_id no other process finds its name again.
        found_by = {} if info.object_id is None else {"prefix": prefix, "attempt": attempt}
        return FileSystemSink(self._filesystem, self._path, unfinished, self._uri, replace=self._replace, found_by=found_by)


def _has_buckets(filesystem: Any) -> bool:
    protocols = {filesystem.protocol} if isinstance(filesystem.protocol, str) else set(filesystem.protocol)
    return bool(protocols & {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "r2"})


class FileSystemSink:
    """A file of a remote file system. Its last step is the store's own copy or rename, after which it is whole.

    fsspec has no precondition that every store honours, so ``replace=False`` looks once more right before that step. Nor
    can it add to a file that another process began, so an export is continued only once the file is finished.
    """

    can_go_on = False

    def __init__(self, filesystem: Any, path: str, unfinished: str, uri: str, *, replace: bool, found_by: State) -> None:
        self._filesystem = filesystem
        self._path = path
        self._unfinished = unfinished
        self._uri = uri
        self._replace = replace
        self._found_by = found_by
        self._file: Any = None
        self._written = 0
        self._finished = False
        self._published = False
        # What had the name when this file was finished; as far as an earlier attempt has told.
        self._older: str | None = None
        self._is_resumed = False

    def begin(self) -> None:
        # Object stores have no folders to make, and s3fs would make a mistyped bucket.
        if not _has_buckets(self._filesystem):
            self._filesystem.makedirs(str(PurePosixPath(self._path).parent), exist_ok=True)
        self._file = self._filesystem.open(self._unfinished, "wb")

    def prepare(self, size: int) -> bool:
        return False

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._written += len(data)

    def durable(self) -> None:
        """Nothing, until it is finished."""

    def end(self, metadata: Mapping[str, str]) -> None:
        """A file has no metadata."""

    def finish(self) -> State | None:
        self._file.close()
        self._finished = True
        if not self._found_by:
            return None
        return {**self._found_by, "bytes": self._written, "finished": True, "older": self._fingerprint()}

    def publish(self) -> None:
        if self._published:
            return
        if not self._finished:
            self.finish()
        if not self._replace and self._filesystem.exists(self._path):
            # A process that died between copying and removing has left both names.
            if not self._is_resumed or not self._was_published():
                raise exists_error(self._uri)
            self._remove_unfinished()
        elif isinstance(self._filesystem, AsyncFileSystem) or type(self._filesystem).mv is AbstractFileSystem.mv:
            # fsspec's own, and gcsfs's, take *, ? and [ in names for patterns, and move to another place than told.
            self._filesystem.cp_file(self._unfinished, self._path)
            self._remove_unfinished()
        else:
            self._filesystem.mv(self._unfinished, self._path)
        self._published = True

    def abort(self, keep: State | None = None) -> None:
        if self._published:
            return
        # Stores publish on close, so the unfinished object may come to be only now, and is removed after it.
        with contextlib.suppress(Exception):
            self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(self._unfinished)

    def _remove_unfinished(self) -> None:
        """After publishing, which is done even where the store refuses that."""
        try:
            self._filesystem.rm_file(self._unfinished)
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            log.warning("Could not remove %s: %s", self._unfinished, error)

    def resume(self, state: State) -> None:
        """Be as the sink was that gave this state, which can only be that of a finished one.

        :raises LostError: the file is not there any more under either name.
        """
        self._filesystem.invalidate_cache()
        self._written = state["bytes"]
        self._older = state["older"]
        self._finished = self._is_resumed = True
        if self._size(self._unfinished) != self._written:
            if not self._was_published():
                raise LostError(f"The finished file for {self._uri} is not there any more.")
            self._published = True

    def _size(self, path: str) -> int | None:
        try:
            return int(self._filesystem.info(path)["size"])
        except FileNotFoundError:
            return None

    def _was_published(self) -> bool:
        """Whether an earlier attempt came so far: the name has a new file since it finished one, of the same size."""
        return self._size(self._path) == self._written and self._fingerprint() != self._older

    def _fingerprint(self) -> str | None:
        """Of what has the name now: changes when that is replaced."""
        try:
            return str(self._filesystem.ukey(self._path))
        except FileNotFoundError:
            return None
