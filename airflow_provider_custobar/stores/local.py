"""Files of this machine. Nothing of fsspec, which reads more out of some paths."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.stores.local_sink import LocalSink, unfinished_files
from airflow_provider_custobar.stores.protocol import ObjectInfo, State, TargetError, exists_error
from airflow_provider_custobar.stores.reading import told_of_anything
from airflow_provider_custobar.stores.unfinished import unfinished_prefix

log = logging.getLogger(__name__)


class LocalStore:
    """Their names are absolute paths."""

    def __init__(self, *, replace: bool = True) -> None:
        self._replace = replace

    def uri(self, name: str) -> str:
        return f"file://{name}"

    def look(self, name: str) -> LocalFile | None:
        with told_of_anything(f"{self.uri(name)} cannot be read"):
            return LocalFile(name) if Path(name).is_file() else None

    def list(self, prefix: str, depth: int | None) -> Iterator[LocalFile]:
        folder = prefix[: prefix.rfind("/") + 1]
        with told_of_anything(f"files at {self.uri(prefix)} cannot be listed"):
            if Path(folder).is_dir():
                yield from (LocalFile(name) for name in _walk(folder, depth) if name.startswith(prefix))

    def target(self, name: str) -> LocalTarget:
        return LocalTarget(name, replace=self._replace)

    def remove(self, name: str) -> None:
        Path(name).unlink()


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
        with told_of_anything(f"{self.uri} cannot be read"):
            return Path(self.name).open("rb")


class LocalTarget:
    """A place for one file.

    Until it is whole, each attempt writes a hidden neighbour of its own: same folder, so that moving it is one step.
    """

    def __init__(self, path: str, *, replace: bool = True) -> None:
        self._path = path
        self._replace = replace

    @property
    def uri(self) -> str:
        return f"file://{self._path}"

    def check(self) -> None:
        try:
            self._check(Path(self._path))
        except OSError as error:
            raise TargetError(f"{self.uri} cannot be looked at: {type(error).__name__}: {error}") from error

    def _check(self, path: Path) -> None:
        if path.is_dir():
            raise TargetError(f"{self.uri} is a directory: give the path of a file in it.")
        blocking = next((parent for parent in path.parents if parent.is_file()), None)
        if blocking is not None:
            raise TargetError(f"{blocking} is a file, so {self.uri} cannot be in it.")
        if not self._replace:
            if os.path.lexists(path):
                raise exists_error(self.uri)
            _check_links(path, self.uri)

    def open(self, info: ObjectInfo) -> LocalSink:
        sink = self._sink(info, uuid.uuid4().hex[:8])
        try:
            sink.begin()
        except OSError as error:
            raise CustobarError(f"{self.uri} cannot be written: {type(error).__name__}: {error}") from error
        return sink

    def reopen(self, info: ObjectInfo, state: State) -> LocalSink:
        if "finished" in state:
            sink = self._sink(info, state["attempt"])
            sink.resume(state)
        else:
            sink = self._sink(info, uuid.uuid4().hex[:8])
            sink.continue_from(self._unfinished(info, state["attempt"]), state)
        return sink

    def sweep(self, info: ObjectInfo, state: State | None = None) -> bool:
        is_anything = False
        here = None if info.object_id is None else unfinished_prefix(self._path, info.object_id)
        there = (state or {}).get("prefix")
        for prefix in filter(None, {here, there}):
            try:
                for file in unfinished_files(prefix):
                    is_anything = True
                    file.unlink(missing_ok=True)
            except OSError as error:
                log.warning("Could not look for or remove %s*: %s", prefix, error)
        return is_anything

    def _unfinished(self, info: ObjectInfo, attempt: str) -> Path:
        return Path(f"{unfinished_prefix(self._path, info.object_id or uuid.uuid4().hex[:12])}{attempt}.part")

    def _sink(self, info: ObjectInfo, attempt: str) -> LocalSink:
        return LocalSink(
            Path(self._path),
            self._unfinished(info, attempt),
            unfinished_prefix(self._path, info.object_id or ""),
            self.uri,
            replace=self._replace,
            # Without an object_id no other process finds its name again.
            attempt=attempt if info.object_id is not None else "",
        )


def _check_links(path: Path, uri: str) -> None:
    """``replace=False`` needs hard links, which not every file system has.

    :raises TargetError: that of ``path`` has none.
    """
    folder = next(parent for parent in path.parents if parent.is_dir())
    with contextlib.suppress(PermissionError), tempfile.TemporaryDirectory(dir=folder, prefix=".custobar-") as trial:
        file = Path(trial, "file")
        file.touch()
        try:
            Path(trial, "link").hardlink_to(file)
        except OSError as error:
            raise TargetError(
                f"{uri} cannot be written with replace=False: its file system has no hard links ({error}), which alone never"
                " replace a file that comes meanwhile. Use replace=True, or another place."
            ) from error


def canonical_uri(uri: str) -> str:
    """The same for all the ways to spell a file of this machine: through links, ``..`` or doubled slashes."""
    scheme, separator, path = uri.partition("://")
    return f"{scheme}://{os.path.realpath(path)}" if separator and scheme == "file" else uri
