"""All of a throw-away Airflow running: scheduler, DAG processor, triggerer, API server and UI."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import requests

from tools.airflow_home import PROJECT, AirflowError, AirflowHome
from tools.waiting import wait_until


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
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            port = int(probe.getsockname()[1])
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
                **(environment or {}),
            },
            database_url=database_url,
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.home)
            for conn_id, document in self._connections.items():
                self.home.call([sys.executable, "-m", "airflow", "connections", "add", conn_id, "--conn-json", document])
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

    def wait(self) -> None:
        """Wait until it ends, which it does not do by itself.

        :raises AirflowError: it did.
        """
        self._process.wait()
        raise AirflowError(f"Airflow ended by itself:\n{self._tail()}")

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
            if self._process.poll() is not None:
                raise AirflowError(f"Airflow ended with code {self._process.returncode}:\n{self._tail()}")
            return requests.get(f"{self.url}/api/v2/monitor/health", timeout=10).ok

        wait_until(f"Airflow answers at {self.url}", answers, log=self._tail)

    def _tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:]


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
