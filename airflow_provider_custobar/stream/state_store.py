"""What outlives a task's attempt."""

from __future__ import annotations

from typing import Any, Protocol

from airflow_provider_custobar.api.errors import CustobarError, Fate


class SupersededError(CustobarError):
    """Airflow does not know this attempt any more: it was taken for dead, and another one is at the task."""

    fate = Fate.FINAL


class UnreadableStateError(CustobarError):
    """Nobody knows what an earlier attempt has left, or done; the next one may be told."""


class StateStore(Protocol):
    """JSON values by key, which outlive the process: Airflow's ``task_state_store``.

    ``set`` and ``delete`` raise :class:`SupersededError` in an attempt that another one has replaced.
    """

    def get(self, key: str, /) -> Any: ...

    def set(self, key: str, value: Any, /) -> None: ...

    def delete(self, key: str, /) -> None: ...


def read_state(store: StateStore, key: str) -> Any:
    """What an earlier attempt has kept; None if it has kept nothing.

    :raises UnreadableStateError: the store does not answer.
    """
    try:
        return store.get(key)
    except Exception as error:
        raise UnreadableStateError(
            f"Airflow does not tell what an earlier attempt has left ({key}): {type(error).__name__}: {error}"
        ) from error
