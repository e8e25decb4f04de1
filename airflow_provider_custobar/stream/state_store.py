"""What outlives a task's attempt."""

from __future__ import annotations

from typing import Any, Protocol

from airflow_provider_custobar.api.errors import CustobarError, Fate


class SupersededError(CustobarError):
    """Airflow does not know this attempt any more: it was taken for dead, and another one is at the task."""

    fate = Fate.FINAL


class StateStore(Protocol):
    """JSON values by key, which outlive the process: Airflow's ``task_state_store``.

    ``set`` and ``delete`` raise :class:`SupersededError` in an attempt that another one has replaced.
    """

    def get(self, key: str, /) -> Any: ...

    def set(self, key: str, value: Any, /) -> None: ...

    def delete(self, key: str, /) -> None: ...
