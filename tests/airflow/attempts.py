"""Attempts at a task that can be killed: :class:`Attempts`, and, run as a program, the process that it starts.

That one forks an attempt for each line of JSON it reads, so that killing it costs no import of Airflow. A line names the
``operator`` as ``module:class``, its ``arguments``, the ``store`` (a file that stands for Airflow's task state store) or null,
the ``try_number``, and ``environment`` variables. Answers are ``{"pid": ...}``, and once the attempt has ended
``{"exit": ..., "said": ...}``, with the result or the error.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self


class FileStore:
    """As Airflow's store: JSON values by key, each set at once or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.read().get(key, default)

    def set(self, key: str, value: Any) -> None:
        assert json.loads(json.dumps(value)) == value is not None
        assert len(json.dumps(value)) < 65_535
        self._write(self.read() | {key: value})

    def delete(self, key: str) -> None:
        self._write({name: value for name, value in self.read().items() if name != key})

    def _write(self, values: dict[str, Any]) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(values))
        draft.replace(self.path)


class Attempts:
    """The forking process, and one attempt at a time in it."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(writing)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[writing]
        )
        os.close(writing)
        self._answers = os.fdopen(reading)
        assert self._answer() == {"ready": True}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._answers.close()

    def run(self, task: dict[str, Any], *, kill_when: Callable[[], bool] | None = None) -> dict[str, Any]:
        """Make an attempt and return how it ended; it is killed once ``kill_when`` is true."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task).encode() + b"\n")
        self._process.stdin.flush()
        pid = self._answer()["pid"]
        ended = threading.Event()

        def watch() -> None:
            while kill_when is not None and not ended.wait(0.0005):
                if kill_when():
                    # It may have just ended.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        answer = self._answer()
        ended.set()
        watcher.join()
        return answer

    def _answer(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._answers.readline())
        return document


def after(seconds: float) -> Callable[[], bool]:
    """For ``kill_when``: so long after now."""
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() >= ends


def attempt(task: dict[str, Any]) -> Any:
    os.environ.update(task["environment"])
    module, _, name = task["operator"].partition(":")
    operator = getattr(importlib.import_module(module), name)(task_id="export", **task["arguments"])
    ti = SimpleNamespace(
        dag_id="dag", run_id="run", task_id="export", map_index=-1, try_number=task["try_number"], max_tries=task["max_tries"]
    )
    context: dict[str, Any] = {"ti": ti}
    if task["store"]:
        context["task_state_store"] = FileStore(Path(task["store"]))
    return operator.execute(context)


def main() -> None:
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
    from airflow.sdk import BaseHook

    for name in ("s3", "gcs", "object_storage", "sql"):
        importlib.import_module(f"airflow_provider_custobar.transfers.custobar_to_{name}")
    importlib.import_module("airflow_provider_custobar.transfers.object_storage_to_custobar")
    importlib.import_module("airflow_provider_custobar.stores.s3")
    importlib.import_module("airflow_provider_custobar.stores.gcs")
    importlib.import_module("airflow_provider_custobar.export.parquet")
    importlib.import_module("airflow_provider_custobar.load.run")
    importlib.import_module("airflow.providers.amazon.aws.hooks.s3")
    importlib.import_module("airflow.providers.google.cloud.hooks.gcs")
    # pyarrow imports it when it is first used, if it is there.
    with contextlib.suppress(ImportError):
        importlib.import_module("pandas")
    # Airflow reads its plugins and the providers that are installed when it is first asked for one of theirs.
    get_hook_lineage_collector()
    for conn_type in ("postgres", "sqlite", "duckdb"):
        os.environ["AIRFLOW_CONN_FIRST"] = json.dumps({"conn_type": conn_type})
        BaseHook.get_hook("first")
    say({"ready": True})
    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            try:
                said, code = json.dumps(attempt(json.loads(line))), 0
            except BaseException as error:  # noqa: BLE001 - it is told to the test
                said, code = json.dumps(f"{type(error).__name__}: {error}\n{traceback.format_exc()}"), 1
            with os.fdopen(writing, "w") as out:
                out.write(said)
            os._exit(code)
        os.close(writing)
        say({"pid": pid})
        with os.fdopen(reading) as answer:
            said = answer.read()
        _, status = os.waitpid(pid, 0)
        say({"exit": os.waitstatus_to_exitcode(status), "said": json.loads(said) if said else None})


def say(document: Any) -> None:
    # Not standard output, to which Airflow logs.
    with os.fdopen(os.dup(int(sys.argv[1])), "w") as out:
        out.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
