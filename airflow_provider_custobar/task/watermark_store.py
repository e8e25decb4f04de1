"""Where a watcher keeps its watermarks: in the state that Airflow keeps for assets (3.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_custobar.task.compat import asset_state, save_asset_state
from airflow_provider_custobar.watch.watermarks import Watermark

log = logging.getLogger(__name__)

_RETRY_SECONDS = 10.0


class WatermarkStore:
    """The watermarks of one watcher, one key for each event type.

    :param accessors: the trigger's ``asset_state_store``, or None where there is none.
    :param namespace: tells these watermarks from others of the same asset.
    """

    def __init__(self, accessors: Any, namespace: str) -> None:
        self._stores = _stores(accessors)
        self._namespace = namespace

    @property
    def exists(self) -> bool:
        return bool(self._stores)

    async def load(self, event_types: Iterable[str]) -> dict[str, Watermark]:
        """What was saved; nothing for a type that is watched for the first time. Does not give up: to go on without would be
        to skip events.
        """
        while True:
            try:
                found = {name: await self._read(name) for name in event_types}
            except Exception:
                log.exception("Airflow's asset state cannot be read; trying again in %g s", _RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return {name: mark for name, mark in found.items() if mark is not None}

    async def save(self, marks: Mapping[str, Watermark]) -> bool:
        """Save ``marks`` by event type; False if that failed."""
        try:
            for name, mark in marks.items():
                for store in self._stores:
                    await save_asset_state(store, self._key(name), mark.as_document())
        except Exception:
            log.exception("Airflow's asset state cannot be written; trying again with the next round")
            return False
        return True

    async def _read(self, name: str) -> Watermark | None:
        for store in self._stores:
            document = await asset_state(store, self._key(name))
            if document is None:
                continue
            try:
                return Watermark.from_document(document)
            except ValueError as error:
                log.warning("The watermark of %s is not readable (%s): beginning anew", name, error)
        return None

    def _key(self, name: str) -> str:
        return f"{self._namespace}/{name}"


def _stores(accessors: Any) -> list[Any]:
    if accessors is None:
        return []
    # Watchers with equal arguments are one trigger to Airflow, even of several assets. Then the accessors want to know which
    # of these is meant, and have no public way to list them.
    by_asset = {**getattr(accessors, "_by_name", {}), **getattr(accessors, "_by_uri", {})}
    return [by_asset[name] for name in sorted(by_asset)] or [accessors]
