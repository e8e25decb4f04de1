"""This provider where Airflow keeps a task's state, so with a checkpoint after every part: what resuming costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tools.bench.contestants.provider import prepare_with_context
from tools.bench.order import Order


class TaskStateStore:
    """Airflow's store as far as tasks see it, in memory; the request to Airflow's API server is not measured."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self._values[key]) if key in self._values else default

    def set(self, key: str, value: Any) -> None:
        self._values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self._values.pop(key, None)


def prepare(order: Order) -> Callable[[], object]:
    return prepare_with_context(order, {"task_state_store": TaskStateStore()})
