"""One attempt at a task: what Airflow tells of it, and keeps for the next one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from airflow_provider_custobar.export.checkpoints import Checkpoints
from airflow_provider_custobar.stream.state_store import StateStore
from airflow_provider_custobar.task.compat import task_state_store

_MARKED = {"failed", "success", "skipped", "removed"}


class TaskAttempt:
    """Made of the context that Airflow gives to ``execute``; tests and scripts may leave anything out."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._store: StateStore | None = task_state_store(context)
        self._ti: Any = context.get("ti")
        self._checkpoints: list[Checkpoints] = []

    @property
    def is_later(self) -> bool:
        """Whether an earlier attempt may have left something."""
        return self._ti is None or self._ti.try_number > 1

    @property
    def store(self) -> StateStore | None:
        """What Airflow keeps for the next attempt, where it keeps anything."""
        return self._store

    @property
    def owner(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """What tells this task from others, and this run of it from its other runs."""
        ti = self._ti
        return ((ti.dag_id, ti.task_id), (ti.run_id, ti.map_index)) if ti is not None else ((), ())

    @property
    def max_tries(self) -> int | None:
        """The same in all attempts until the task is cleared: that raises its ``max_tries``."""
        return self._ti.max_tries if self._ti is not None else None

    @property
    def will_follow(self) -> bool:
        """Whether another attempt comes when this one fails."""
        return self._ti is None or self._ti.try_number <= self._ti.max_tries

    @property
    def was_marked(self) -> bool:
        """Whether somebody has marked the task while it ran: then no attempt follows, whatever ``retries`` say.

        Airflow answers that also while it stops the task, for a few seconds.
        """
        if self._ti is None:
            return False
        ti = self._ti
        try:
            found = ti.get_task_states(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index)
            states = {str(state) for state in found[ti.run_id].values()}
        except Exception:  # noqa: BLE001 - what is left then is found when the task is cleared
            return False
        return bool(states) and states <= _MARKED

    def object_id(self, uri: str) -> str | None:
        """Hexadecimal digits that are the same in all attempts of this task at writing to ``uri``."""
        if self._ti is None and self._store is None:
            return None
        ti = self._ti
        owner = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index) if ti is not None else ()
        return hashlib.blake2b(repr((owner, uri)).encode(), digest_size=8).hexdigest()

    def checkpoints(self, number: int, fingerprint: str, *, replace: bool) -> Checkpoints | None:
        """``replace`` tells whether a task that is cleared can write anew what was published before."""
        if self._store is None:
            return None
        max_tries = self.max_tries if replace else None
        checkpoints = Checkpoints(self._store, f"custobar_export.{number}", fingerprint, max_tries=max_tries)
        self._checkpoints.append(checkpoints)
        return checkpoints

    def forget(self) -> None:
        """The task is done: leave nothing that a run of the same task, when it is cleared, would go on from."""
        for checkpoints in self._checkpoints:
            checkpoints.clear()
