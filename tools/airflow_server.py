"""All of a throw-away Airflow running: scheduler, DAG processor, triggerer, API server and UI."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import requests

from tools.airflow_home import PROJECT, AirflowError, AirflowHome
from tools.waiting import wait_until

#: Ports where parts of Airflow serve the logs of their tasks and triggers.
_TAKEN_PORTS = {8793: "scheduler", 8794: "triggerer"}
_SHOWN_LINES = 20
_LOOK_SECONDS = 0.5


def check_port(port: int | str) -> int:
    """A port where the API server can listen; for 0 any free one.

    :raises AirflowError: no port, or something else is there.
    """
    try:
        number = int(port)
    except ValueError:
        raise AirflowError(f"{port!r} is no port: give a number from 1 to 65535, or 0 for any free one") from None
    if number in _TAKEN_PORTS:
        raise AirflowError(f"{number} is where Airflow's own {_TAKEN_PORTS[number]} serves its logs: choose another port")
    with socket.socket() as probe:
        # As the API server itself does: what was closed just now is no hindrance, but who still listens is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except (OSError, OverflowError) as error:
            raise AirflowError(f"{number} cannot be had ({error}): choose another port, or 0 for any free one") from error
        return int(probe.getsockname()[1])


class AirflowServer:
    """A context manager around ``airflow standalone``, which asks for no login.

    ``connections`` are kept in Airflow's database, because the UI does not show those of the environment. ``port`` 0 is any
    free one. ``database_url`` is as in :class:`AirflowHome`.
    """

    def __init__(
        self,
        connections: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
        *,
        port: int = 0,
        database_url: str | None = None,
    ) -> None:
        port = check_port(port)
        self.url = f"http://127.0.0.1:{port}"
        self._connections = dict(connections)
        self.home = AirflowHome(
            {},
            {
                "AIRFLOW__API__HOST": "127.0.0.1",
                "AIRFLOW__API__PORT": str(port),
                "AIRFLOW__API__BASE_URL": self.url,
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
                "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
                # After five seconds, the default, tasks of a busy machine fail without a word.
                "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
                # The scheduler starts so many processes at once; 32 by default.
                "AIRFLOW__CORE__PARALLELISM": "8",
                **(environment or {}),
            },
            database_url=database_url,
        )
        self._stack = ExitStack()
        self.api_server: psutil.Process | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.home)
            if self._connections:
                file = self.home.directory / "connections.json"
                # This command does not take an empty extra, which "connections add" leaves out by itself.
                fields = {conn_id: json.loads(document).items() for conn_id, document in self._connections.items()}
                file.write_text(
                    json.dumps({conn_id: {name: value for name, value in each if value} for conn_id, each in fields.items()})
                )
                self.home.call([sys.executable, "-m", "airflow", "connections", "import", str(file)])
            self._process = self._start(stack, "standalone")
            self._wait()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stack.close()

    @property
    def log_path(self) -> Path:
        return self._log_of("standalone")

    def _log_of(self, command: str) -> Path:
        return self.home.directory / f"{command}.log"

    @property
    def triggerer(self) -> psutil.Process:
        """The triggerer's process; its children run the triggers."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "triggerer" in " ".join(process.cmdline()):
                    return process
        raise AirflowError(f"No triggerer is running:\n{self._tail()}")

    def kill_triggerer(self) -> None:
        """Kill the triggerer and its children, as a machine that fails does."""
        triggerer = self.triggerer
        family = [triggerer, *triggerer.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)

    def start_triggerer(self) -> None:
        """Start another one after :meth:`kill_triggerer`."""
        self._start(self._stack, "triggerer")

    def wait(self, seconds: float) -> None:
        """Wait so long.

        :raises AirflowError: it ended by itself, or its API server did.
        """
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(min(left, _LOOK_SECONDS))
            self._check()

    def _start(self, stack: ExitStack, command: str) -> subprocess.Popen[bytes]:
        output = stack.enter_context(self._log_of(command).open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.guarded", sys.executable, "-W", "ignore", "-m", "airflow", command],
            env=self.home.environment,
            cwd=PROJECT,
            # A group of its own, so that every part of Airflow can be stopped together.
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        stack.callback(_stop_group, process)
        return process

    def _wait(self) -> None:
        def answers() -> bool:
            self._check()
            return requests.get(f"{self.url}/api/v2/monitor/health", timeout=10).ok

        wait_until(f"Airflow answers at {self.url}", answers, log=self._tail)

    def _check(self) -> None:
        """``airflow standalone`` goes on without an API server, and says nothing of it."""
        if self._process.poll() is not None:
            raise AirflowError(f"Airflow ended with code {self._process.returncode}:\n{self._tail()}{self._kept_log()}")
        if self.api_server is None:
            self.api_server = self._find_api_server()
        elif not _is_alive(self.api_server):
            # What it printed last may still be on its way into the log.
            time.sleep(_LOOK_SECONDS)
            lines = self.log_path.read_text(errors="replace").splitlines()
            its_own = [line for line in lines if line.startswith("api-server")]
            raise AirflowError("\n".join(["Airflow's API server ended:", *its_own[-_SHOWN_LINES:]]) + self._kept_log())

    def _find_api_server(self) -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    # In its title there is an underscore.
                    if {"api-server", "api_server"} & set(" ".join(process.cmdline()).split()):
                        return process
        return None

    def _kept_log(self) -> str:
        """Everything else of this Airflow is removed."""
        kept = Path(tempfile.mkdtemp(prefix="airflow-log-")) / self.log_path.name
        shutil.copy(self.log_path, kept)
        return f"\nThe whole log is in {kept}"

    def _tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
