"""One file of this machine being written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from airflow_provider_custobar.stores.protocol import LostError, State, exists_error


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
            for file in unfinished_files(self._prefix):
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


def unfinished_files(prefix: str) -> list[Path]:
    """The files whose paths begin with ``prefix``, which ends within a name."""
    folder, name = Path(prefix).parent, Path(prefix).name
    return [file for file in folder.iterdir() if file.name.startswith(name)] if folder.is_dir() else []
