"""Files on any fsspec file system, local ones included: written under another name, then moved into place."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_custobar.export.targets import TargetError, exists_error

_LONGEST_NAME_BYTES = 255


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
        if self._filesystem.isdir(self._path):
            raise TargetError(f"{self._uri} is a directory: give the path of a file in it.")
        if isinstance(self._filesystem, LocalFileSystem):
            blocking = next((parent for parent in Path(self._path).parents if parent.is_file()), None)
            if blocking is not None:
                raise TargetError(f"{blocking} is a file, so {self._uri} cannot be in it.")
        elif _has_buckets(self._filesystem):
            bucket = self._path.lstrip("/").partition("/")[0]
            if not self._filesystem.exists(bucket):
                raise TargetError(f"There is no bucket or container {bucket!r} for {self._uri}: create it first.")
        if not self._replace and self._filesystem.exists(self._path):
            raise exists_error(self._uri)

    def open(self, content_type: str) -> LocalSink | FileSystemSink:
        if isinstance(self._filesystem, LocalFileSystem):
            return LocalSink(Path(self._path), self._uri, replace=self._replace)
        return FileSystemSink(self._filesystem, self._path, self._uri, replace=self._replace)


def _has_buckets(filesystem: Any) -> bool:
    protocols = {filesystem.protocol} if isinstance(filesystem.protocol, str) else set(filesystem.protocol)
    return bool(protocols & {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "r2"})


def unfinished_name(path: str) -> str:
    """A hidden neighbour: same directory, so that moving it is cheap; leading dot, so that readers of a directory skip it."""
    pure = PurePosixPath(path)
    ending = f".{uuid.uuid4().hex[:12]}.part"
    kept = pure.name.encode()[: _LONGEST_NAME_BYTES - len(ending) - 1].decode(errors="ignore")
    return str(pure.with_name(f".{kept}{ending}"))


class LocalSink:
    """A file of this machine, made durable before it gets its name, which it gets in one step."""

    def __init__(self, path: Path, uri: str, *, replace: bool) -> None:
        self._path = path
        self._uri = uri
        self._replace = replace
        path.parent.mkdir(parents=True, exist_ok=True)
        self._unfinished = Path(unfinished_name(str(path)))
        self._file = self._unfinished.open("xb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def commit(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._replace:
            self._unfinished.replace(self._path)
            return
        try:
            # Unlike a rename, a link never replaces what is there.
            self._path.hardlink_to(self._unfinished)
        except FileExistsError as error:
            raise exists_error(self._uri) from error
        self._unfinished.unlink()

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._unfinished.unlink(missing_ok=True)


class FileSystemSink:
    """A file of a remote file system. Its last step is the store's own copy or rename, after which it is whole.

    fsspec has no precondition that every store honours, so ``replace=False`` looks once more right before that step.
    """

    def __init__(self, filesystem: Any, path: str, uri: str, *, replace: bool) -> None:
        self._filesystem = filesystem
        self._path = path
        self._uri = uri
        self._replace = replace
        self._unfinished = unfinished_name(path)
        # Object stores have no folders to make, and s3fs would make a mistyped bucket.
        if not _has_buckets(filesystem):
            filesystem.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        self._file = filesystem.open(self._unfinished, "wb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def commit(self) -> None:
        self._file.close()
        if not self._replace and self._filesystem.exists(self._path):
            raise exists_error(self._uri)
        if type(self._filesystem).mv is AbstractFileSystem.mv:
            # fsspec's own takes *, ? and [ in names for patterns, and moves to another place than told.
            self._filesystem.cp_file(self._unfinished, self._path)
            self._filesystem.rm_file(self._unfinished)
        else:
            self._filesystem.mv(self._unfinished, self._path)

    def abort(self) -> None:
        # Stores publish on close, so the unfinished object may come to be only now, and is removed after it.
        with contextlib.suppress(Exception):
            self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(self._unfinished)
