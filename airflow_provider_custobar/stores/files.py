"""Reading local files, and whatever else fsspec reaches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from airflow_provider_custobar.stores.reading import StoreError, read_in_ranges


class LocalFiles:
    """Files of this machine; their names are absolute paths. None of fsspec, which reads more out of some paths."""

    def uri(self, name: str) -> str:
        return f"file://{name}"

    def look(self, name: str) -> LocalFile | None:
        with _told(f"{self.uri(name)} cannot be read"):
            return LocalFile(name) if Path(name).is_file() else None

    def list(self, prefix: str, depth: int | None) -> Iterator[LocalFile]:
        folder = prefix[: prefix.rfind("/") + 1]
        with _told(f"files at {self.uri(prefix)} cannot be listed"):
            if Path(folder).is_dir():
                yield from (LocalFile(name) for name in _walk(folder, depth) if name.startswith(prefix))


def _walk(folder: str, depth: int | None, above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """The files in ``folder``, which ends in a slash. Links are followed, since what is behind them was named."""
    place = Path(folder).stat()
    here = (place.st_dev, place.st_ino)
    if here in above:
        # A link that leads back to where it came from.
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            path = folder + entry.name
            if entry.is_dir():
                if depth is None or depth > 1:
                    yield from _walk(f"{path}/", None if depth is None else depth - 1, (*above, here))
            elif entry.is_file() or not Path(path).exists():
                # A link that leads nowhere is an error when it is opened; pipes and sockets are no files.
                yield path


class LocalFile:
    content_encoding = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.uri = f"file://{name}"

    def open(self) -> BinaryIO:
        with _told(f"{self.uri} cannot be read"):
            return Path(self.name).open("rb")


class FileSystemFiles:
    """Files of an fsspec file system; their names are its paths."""

    def __init__(self, filesystem: Any) -> None:
        self._filesystem = filesystem
        # What an earlier task of this process saw may not be so any more.
        filesystem.invalidate_cache()

    def uri(self, name: str) -> str:
        return str(self._filesystem.unstrip_protocol(name))

    def look(self, name: str) -> FileSystemFile | None:
        with _told(f"{self.uri(name)} cannot be read"):
            return self._file(name) if self._filesystem.isfile(name) else None

    def list(self, prefix: str, depth: int | None) -> Iterator[FileSystemFile]:
        with _told(f"files at {self.uri(prefix)} cannot be listed"):
            try:
                found = self._filesystem.find(prefix.rpartition("/")[0], maxdepth=depth)
            except FileNotFoundError:
                return
            yield from (self._file(name) for name in found if name.startswith(prefix))

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
            with _told(f"{self.uri} cannot be read"):
                opened: BinaryIO = self._filesystem.open(self.name, "rb")
                return opened
        return read_in_ranges(self.uri, size, self._fetch)

    def _info(self) -> dict[str, Any]:
        with _told(f"{self.uri} cannot be read"):
            about: dict[str, Any] = self._filesystem.info(self.name)
            return about

    def _fetch(self, start: int, end: int) -> bytes:
        with _told(f"{self.uri} cannot be read"):
            return bytes(self._filesystem.cat_file(self.name, start=start, end=end))


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # every file system has errors of its own
        raise StoreError(f"{what}: {type(error).__name__}: {error}") from error
