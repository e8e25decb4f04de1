"""A process that forks one attempt at a task for each line of JSON it reads: killing those costs no import of Airflow.

A line names the ``operator`` as ``module:class``, its ``arguments``, the ``store`` (a file that stands for Airflow's task state
store) or null, the ``try_number``, and ``environment`` variables. Answers are ``{"pid": ...}``, and once the attempt has ended
``{"exit": ..., "said": ...}``, with the result or the error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any


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
    for name in ("s3", "gcs", "object_storage", "sql"):
        importlib.import_module(f"airflow_provider_custobar.transfers.custobar_to_{name}")
    importlib.import_module("airflow_provider_custobar.export.s3")
    importlib.import_module("airflow_provider_custobar.export.gcs")
    importlib.import_module("airflow_provider_custobar.export.parquet")
    importlib.import_module("airflow_provider_custobar.load.run")
    importlib.import_module("airflow.providers.amazon.aws.hooks.s3")
    importlib.import_module("airflow.providers.google.cloud.hooks.gcs")
    importlib.import_module("airflow.providers.postgres.hooks.postgres")
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
