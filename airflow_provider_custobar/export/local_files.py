"""Files of this machine, which outlive the process that writes them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from airflow_provider_custobar.export.targets import LostError, State, exists_error


class LocalSink:
    """A file of this machine, made durable before it gets its name, which it gets in one step.

    ``is_known`` says that the unfinished name is one that another process can find again.
    """

    def __init__(self, path: Path, unfinished: Path, uri: str, *, replace: bool, is_known: bool) -> None:
        self._path = path
        self._unfinished = unfinished
        self._uri = uri
        self._replace = replace
        self._is_known = is_known
        self._file: BinaryIO | None = None
        self._written = 0
        self._inode = 0
        self._finished = False
        self._published = False

    def begin(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # A leftover can only be this export's own, of an attempt that is dead.
        self._take(self._unfinished.open("wb" if self._is_known else "xb"))

    def write(self, data: bytes | memoryview) -> None:
        self._open_file().write(data)
        self._written += len(data)

    def save(self) -> State | None:
        file = self._open_file()
        file.flush()
        os.fdatasync(file.fileno())
        return self._state() if self._is_known else None

    def finish(self, metadata: Mapping[str, str]) -> State | None:
        file = self._open_file()
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._finished = True
        return {**self._state(), "finished": True} if self._is_known else None

    def publish(self) -> None:
        if self._published:
            return
        if not self._finished:
            self.finish({})
        if self._replace:
            self._unfinished.replace(self._path)
        else:
            self._link()
        self._published = True
        self._make_name_durable()

    def abort(self) -> None:
        if self._published:
            return
        # First of all: closing waits for a write that another thread is in.
        self._unfinished.unlink(missing_ok=True)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def resume(self, state: State) -> None:
        """Be as the sink was that gave this state.

        :raises LostError: the unfinished file is not there any more, or is too short.
        """
        self._written = state["bytes"]
        self._inode = state["inode"]
        self._finished = "finished" in state
        size = _local_size(self._unfinished)
        if self._finished:
            if size != self._written:
                if not self._is_published():
                    raise LostError(f"{self._unfinished} is not there any more, or not as it was finished.")
                self._published = True
            return
        if size is None or size < self._written:
            raise LostError(f"{self._unfinished} is not there any more, or is shorter than it was.")
        file = self._unfinished.open("r+b")
        # What was written after this state is written again.
        file.truncate(self._written)
        file.seek(self._written)
        self._take(file)

    def sweep(self) -> None:
        self._unfinished.unlink(missing_ok=True)

    def _take(self, file: BinaryIO) -> None:
        self._file = file
        self._inode = os.fstat(file.fileno()).st_ino

    def _open_file(self) -> BinaryIO:
        if self._file is None or self._finished:
            raise RuntimeError("this file is finished")
        return self._file

    def _state(self) -> State:
        return {"bytes": self._written, "inode": self._inode}

    def _link(self) -> None:
        try:
            # Unlike a rename, a link never replaces what is there.
            self._path.hardlink_to(self._unfinished)
        except FileExistsError as error:
            # A process that died right here has left both names.
            if not self._is_published():
                raise exists_error(self._uri) from error
        self._unfinished.unlink()

    def _is_published(self) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_ino, found.st_size) == (self._inode, self._written)

    def _make_name_durable(self) -> None:
        # Not every file system can, and the file has its name already.
        with contextlib.suppress(OSError):
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def canonical_uri(uri: str) -> str:
    """The same for all the ways to spell a file of this machine: through links, ``..`` or doubled slashes."""
    scheme, separator, path = uri.partition("://")
    return f"{scheme}://{os.path.realpath(path)}" if separator and scheme == "file" else uri


def _local_size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
