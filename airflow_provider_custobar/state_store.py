"""What outlives a task's attempt."""

from __future__ import annotations

from typing import Any, Protocol


class StateStore(Protocol):
    """JSON values by key, which outlive the process: Airflow's ``task_state_store``."""

    def get(self, key: str, /) -> Any: ...

    def set(self, key: str, value: Any, /) -> None: ...

    def delete(self, key: str, /) -> None: ...
