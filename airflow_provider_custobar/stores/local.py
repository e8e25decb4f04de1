"""Files of this machine. Nothing of fsspec, which reads more out of some paths."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.stores.protocol import LostError, ObjectInfo, State, TargetError, exists_error
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
                for file in _unfinished_files(prefix):
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


class LocalSink:
    """A file of this machine, made durable before it gets its name, which it gets in one step.

    Each ``attempt`` writes a file of its own, since one that was taken for dead may still write: ``prefix`` is what the names
    of all of them begin with. An empty ``attempt`` says that no other process can find its file again.
    """

    can_go_on = True

    def __init__(self, path: Path, unfinished: Path, prefix: str, uri: str, *, replace: bool, attempt: str) -> None:
        self._path = path
        self._unfinished = unfinished
        self._prefix = prefix
        self._uri = uri
        self._replace = replace
        self._attempt = attempt
        self._file: BinaryIO | None = None
        self._is_inherited = False
        self._written = 0
        self._inode = 0
        self._finished = False
        self._published = False

    def begin(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._take(self._unfinished.open("xb"))

    def prepare(self, size: int) -> bool:
        return False

    def write(self, data: bytes | memoryview) -> None:
        self._open_file().write(data)
        self._written += len(data)

    def durable(self) -> tuple[int, State] | None:
        file = self._open_file()
        if not self._attempt or not self._written:
            return None
        file.flush()
        os.fdatasync(file.fileno())
        return self._written, self._state()

    def end(self, metadata: Mapping[str, str]) -> None:
        """A file has no metadata."""

    def finish(self) -> State | None:
        file = self._open_file()
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._finished = True
        return {**self._state(), "finished": True} if self._attempt else None

    def publish(self) -> None:
        if self._published:
            self._remove_inherited()
            return
        if not self._finished:
            self.finish()
        if not self._is_published():
            if not self._is_ours(self._unfinished):
                raise LostError(f"{self._unfinished} is not there any more, or not as it was finished.")
            if self._replace:
                self._unfinished.replace(self._path)
            else:
                self._link()
        self._unfinished.unlink(missing_ok=True)
        self._published = True
        self._remove_inherited()
        self._make_name_durable()

    def abort(self, keep: State | None = None) -> None:
        if self._published:
            return
        if keep is None:
            self._remove_inherited()
        if keep is None or keep["attempt"] != self._attempt:
            # First of all: closing waits for a write that another thread is in.
            self._unfinished.unlink(missing_ok=True)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def resume(self, state: State) -> None:
        """Be as the sink was that finished with this state: nobody writes to its file any more.

        :raises LostError: the finished file is not there any more under either name.
        """
        self._written = state["bytes"]
        self._inode = state["inode"]
        self._finished = self._is_inherited = True
        if not self._is_ours(self._unfinished):
            if not self._is_published():
                raise LostError(f"{self._unfinished} is not there any more, or not as it was finished.")
            self._published = True

    def continue_from(self, earlier: Path, state: State) -> None:
        """Begin with a copy of what an earlier attempt had written to ``earlier`` when it gave this state.

        :raises LostError: that file is not there any more, or is too short.
        """
        self._is_inherited = True
        self._written = state["bytes"]
        try:
            if earlier.stat().st_size < self._written:
                raise LostError(f"{earlier} is shorter than it was.")
            shutil.copyfile(earlier, self._unfinished)
        except FileNotFoundError as error:
            raise LostError(f"{earlier} is not there any more.") from error
        except OSError:
            self._unfinished.unlink(missing_ok=True)
            raise
        file = self._unfinished.open("r+b")
        # What was written after this state is written again.
        file.truncate(self._written)
        file.seek(self._written)
        self._take(file)

    def _take(self, file: BinaryIO) -> None:
        self._file = file
        self._inode = os.fstat(file.fileno()).st_ino

    def _open_file(self) -> BinaryIO:
        if self._file is None or self._finished:
            raise RuntimeError("this file is finished")
        return self._file

    def _state(self) -> State:
        return {"prefix": self._prefix, "attempt": self._attempt, "bytes": self._written, "inode": self._inode}

    def _link(self) -> None:
        try:
            # Unlike a rename, a link never replaces what is there.
            self._path.hardlink_to(self._unfinished)
        except FileExistsError as error:
            raise exists_error(self._uri) from error

    def _is_published(self) -> bool:
        # A process that died while it published may have left both names.
        return self._is_ours(self._path)

    def _is_ours(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_ino, found.st_size) == (self._inode, self._written)

    def _remove_inherited(self) -> None:
        if self._is_inherited:
            for file in _unfinished_files(self._prefix):
                if file != self._unfinished:
                    file.unlink(missing_ok=True)

    def _make_name_durable(self) -> None:
        # Not every file system can, and the file has its name already.
        with contextlib.suppress(OSError):
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


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


def _unfinished_files(prefix: str) -> list[Path]:
    """The files whose paths begin with ``prefix``, which ends within a name."""
    folder, name = Path(prefix).parent, Path(prefix).name
    return [file for file in folder.iterdir() if file.name.startswith(name)] if folder.is_dir() else []


def canonical_uri(uri: str) -> str:
    """The same for all the ways to spell a file of this machine: through links, ``..`` or doubled slashes."""
    scheme, separator, path = uri.partition("://")
    return f"{scheme}://{os.path.realpath(path)}" if separator and scheme == "file" else uri
