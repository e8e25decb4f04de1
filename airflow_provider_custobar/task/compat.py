"""What only some Airflows have, found by looking for it, and what is done where it is missing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseTrigger

from airflow_provider_custobar.stream.state_store import SupersededError

if TYPE_CHECKING:
    from airflow_provider_custobar.stream.state_store import StateStore

__all__ = [
    "TRIGGERS_RENDER_TEMPLATES",
    "RetryDecision",
    "RetryPolicy",
    "SharedStreamProducer",
    "TakesRetryPolicy",
    "add_partitions",
    "arguments_of",
    "asset_state",
    "asset_state_of",
    "is_lineage_read",
    "partition_of",
    "save_asset_state",
    "say_once",
    "takes_partitions",
    "task_state_store",
    "tell_sql_lineage",
]

log = logging.getLogger(__name__)

#: Templates in the arguments of a task that starts in the triggerer are rendered there (3.3).
TRIGGERS_RENDER_TEMPLATES = hasattr(BaseTrigger, "render_template_fields")

try:
    # One stream for several watchers, told when what came of it is stored (3.3).
    from airflow.triggers.shared_stream import SharedStreamProducer
except ImportError:
    SharedStreamProducer = object

try:
    # A policy says what is retried, and when (3.3).
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:
    RetryDecision = None

    class RetryPolicy:  # type: ignore[no-redef]
        """Airflow does not ask it; what uses it can be parsed all the same."""

        def __init__(self) -> None:
            say_once("This Airflow has no retry policies (3.3 has): retries and retry_delay alone decide what is retried")

    class TakesRetryPolicy:
        """For operators and sensors: ``retry_policy`` may be given, and does nothing."""

        def __init__(self, *, retry_policy: Any = None, **kwargs: Any) -> None:
            super().__init__(**kwargs)

        @classmethod
        def partial(cls, *, retry_policy: Any = None, **kwargs: Any) -> Any:
            return super().partial(**kwargs)  # type: ignore[misc]
else:

    class TakesRetryPolicy:  # type: ignore[no-redef]
        """For operators and sensors: Airflow's own take a ``retry_policy``."""


def arguments_of(function: Callable[..., Any], args: Collection[Any], context: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of ``context`` a function takes by name, beside its positional arguments."""
    try:
        from airflow.sdk.bases.decorator import determine_kwargs  # noqa: PLC0415 - not known to Airflow 3.1
    except ImportError:
        from airflow.utils.operator_helpers import determine_kwargs  # noqa: PLC0415
    found: Mapping[str, Any] = determine_kwargs(function, args, context)
    return found


def partition_of(context: Mapping[str, Any]) -> tuple[str | None, datetime | None]:
    """The key of the run's partition, and the moment it begins where that is told.

    Both stand in the context (3.3), or the key alone in its DAG run (3.2).
    """
    run = context.get("dag_run")
    key, begins = context.get("partition_key"), context.get("partition_date")
    return getattr(run, "partition_key", None) if key is None else key, begins


def task_state_store(context: Mapping[str, Any]) -> StateStore | None:
    """What Airflow keeps for the task's next attempt (3.3)."""
    store: StateStore | None = context.get("task_state_store")
    ti: Any = context.get("ti")
    if store is None and ti is not None and ti.max_tries:
        say_once("This Airflow keeps no state for tasks (3.3 does): after an attempt that fails, the next one starts over")
    return None if store is None else _FencedStore(store)


class _FencedStore:
    """Airflow gives each attempt an id, and knows the last one only: others are answered with 404, or 410."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def get(self, key: str) -> Any:
        return self._store.get(key)

    def set(self, key: str, value: Any) -> None:
        with self._fence():
            self._store.set(key, value)

    def delete(self, key: str) -> None:
        with self._fence():
            self._store.delete(key)

    @contextlib.contextmanager
    def _fence(self) -> Iterator[None]:
        try:
            yield
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                raise SupersededError("Airflow has given this task to another attempt: this one stops.") from error
            raise


async def asset_state(store: Any, key: str) -> Any:
    """What an asset's store holds; Airflow 3.3.0 and 3.3.1 have the blocking methods only."""
    return await store.aget(key) if hasattr(store, "aget") else await asyncio.to_thread(store.get, key)


async def save_asset_state(store: Any, key: str, value: Any) -> None:
    if hasattr(store, "aset"):
        await store.aset(key, value)
    else:
        await asyncio.to_thread(store.set, key, value)


def is_lineage_read() -> bool:
    """Whether there is a reader of lineage, as OpenLineage's provider brings one where it is set up.

    For nobody, Airflow takes the better part of a second: it imports the handlers of all providers.
    """
    try:
        from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins  # noqa: PLC0415 - not in all of them
    except ImportError:
        return True
    return bool(get_hook_lineage_readers_plugins())


def asset_state_of(context: Mapping[str, Any], outlet: Any) -> Any:
    """The state of an asset that a task writes, with blocking ``get`` and ``set``; None where Airflow keeps none (3.3 does)."""
    states = context.get("asset_state_store")
    try:
        return None if states is None else states[outlet]
    except (KeyError, TypeError):
        return None


def takes_partitions(event: Any, *, of_lookback: bool) -> bool:
    """Whether an outlet's event takes partition keys (3.3), and the DAG's author has not added any by now."""
    if not hasattr(event, "add_partitions"):
        if of_lookback:
            say_once(
                "This Airflow's tasks add no partitions to assets (3.3's do): nobody is told which days of lookback changed"
            )
        return False
    return not event.partition_keys


def add_partitions(event: Any, keys: list[str], *, and_none: bool) -> None:
    """Let there be an asset event for each key, and with ``and_none`` one without a key.

    DAGs that are scheduled on the asset, and not on its partitions, are started by events without a key only.
    """
    event.add_partitions(keys)
    if and_none:
        # What stands for no key in the events that a task sends. There is no other way to have both.
        event.partition_keys.add(None)


def tell_sql_lineage(hook: Any, sql: str) -> None:
    """A query reads from tables, which whoever listens can find in it: as common-sql's own hooks tell it, from 1.31 on."""
    try:
        from airflow.providers.common.sql.hooks.lineage import send_sql_hook_lineage  # noqa: PLC0415
    except ImportError:
        return
    # Parameters are people's data. It raises nothing.
    send_sql_hook_lineage(context=hook, sql=sql)


@cache
def say_once(sentence: str) -> None:
    """Warn of what this Airflow lacks, once in a process."""
    log.warning(sentence)
