"""A throw-away Airflow: its own home and database, no examples, and one process for its DAG runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_END_OF_TRACEBACK = re.compile(r"^[\w.]*(?:Error|Exception|Exit): .+$", re.MULTILINE)
#: Where something hangs.
_LONGEST_RUN_SECONDS = 1800.0
PROJECT = Path(__file__).resolve().parent.parent


class AirflowError(RuntimeError):
    """An Airflow process failed; the text ends with the tail of what it printed."""


@dataclass(frozen=True)
class DagRunOutcome:
    """``state`` of the run, and by task id (with ``[map index]`` where mapped) the ``states`` and ``results`` (XCom)."""

    state: str
    states: dict[str, str]
    results: dict[str, Any]
    log: str

    @property
    def errors(self) -> list[str]:
        """The lines of the log that end tracebacks, each once: why tasks failed, wherever in the log that stands."""
        return list(dict.fromkeys(_END_OF_TRACEBACK.findall(self.log)))


class AirflowHome:
    """A context manager. ``connections`` maps connection ids to their JSON form.

    :param environment: further environment variables for every process.
    :param database_url: a database with Airflow's tables, as SQLAlchemy names it; without it a new one of SQLite, which takes
        seven seconds to make, and lets one process write at a time.
    """

    def __init__(
        self,
        connections: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
        *,
        database_url: str | None = None,
    ) -> None:
        self._connections = dict(connections)
        self._extra = dict(environment or {})
        self._database_url = database_url
        self._runner: subprocess.Popen[str] | None = None
        self.directory = Path()

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="airflow-home-"))
        try:
            if self._database_url is None:
                self.migrate()
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stop_runner()
        shutil.rmtree(self.directory, ignore_errors=True)

    def migrate(self) -> None:
        """Make or update Airflow's tables."""
        self.call([*_python(), "-m", "airflow", "db", "migrate"])

    @property
    def environment(self) -> dict[str, str]:
        """For every process that is to belong to this Airflow; nothing of the caller's own Airflow comes along."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "AWS_", "GOOGLE_"))}
        return {
            **kept,
            # The scripts of this environment, "airflow" among them, first.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "AIRFLOW_HOME": str(self.directory),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags_examples"),
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            # Nothing of a test or a demo leaves this machine.
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "SCARF_ANALYTICS": "False",
            **({"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database_url} if self._database_url else {}),
            **connection_variables(self._connections),
            **self._extra,
        }

    def call(self, command: list[str], *, timeout_seconds: float = 300.0) -> str:
        """Run ``command`` to its end; return what it printed.

        :raises AirflowError: it ended with another code than 0.
        """
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=PROJECT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_seconds,
            check=False,
        )
        if done.returncode:
            raise AirflowError(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stdout[-6000:]}")
        return done.stdout

    def run_dag(
        self,
        file: Path,
        dag_id: str,
        logical_dates: Sequence[str],
        conf: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        by_api: bool = False,
    ) -> list[DagRunOutcome]:
        """Run one DAG for each date with ``dag.test()``, retries and triggers included.

        A failed run is an outcome, not an error. ``log`` is what was printed for all dates.

        :param environment: further environment variables, for this call only
        :param by_api: the runs have no logical date, as those that Airflow's API starts; the dates are when they come
        :raises AirflowError: the process ended, as it does where the DAG cannot be imported; the next call starts another.
        """
        if self._runner is None:
            self._runner = subprocess.Popen(
                [*_python(), "-m", "tools.run_dag"],
                env=self.environment,
                cwd=PROJECT,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        process = self._runner
        assert process.stdin is not None
        assert process.stdout is not None
        answer = self.directory / f"{uuid.uuid4().hex}.json"
        order = {
            "file": str(file),
            "dag_id": dag_id,
            "dates": list(logical_dates),
            "conf": conf,
            "by_api": by_api,
            "answer": str(answer),
        }
        # Airflow keeps DAGs only that it finds in a bundle.
        bundle = {"name": "dags", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
        bundles = json.dumps([{**bundle, "kwargs": {"path": str(file.parent)}}])
        order["environment"] = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles, **(environment or {})}
        # It may have died before it reads; why is in what it printed.
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        timer = threading.Timer(_LONGEST_RUN_SECONDS, process.kill)
        timer.start()
        try:
            log = "".join(takewhile(f"{answer}\n".__ne__, process.stdout))
        finally:
            timer.cancel()
        if not answer.exists():
            self._stop_runner()
            raise AirflowError(f"the run of {dag_id} ended with code {process.returncode}:\n{log[-6000:]}")
        return [DagRunOutcome(**document, log=log) for document in json.loads(answer.read_text())]

    def _stop_runner(self) -> None:
        """It ends by itself when there is nothing more to read, also after the death of this process."""
        if self._runner is not None:
            self._runner.communicate()
            self._runner = None


def connection_variables(connections: Mapping[str, str]) -> dict[str, str]:
    """The environment variables in which Airflow looks for connections."""
    return {f"AIRFLOW_CONN_{conn_id.upper()}": document for conn_id, document in connections.items()}


def _python() -> list[str]:
    return [sys.executable, "-W", "ignore"]
