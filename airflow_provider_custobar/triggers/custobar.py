"""Triggers: waiting for Custobar in the triggerer, without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.api.event_check import Match, build_event_check
from airflow_provider_custobar.hooks.custobar import CustobarHook

DEFAULT_MAX_CONSECUTIVE_FAILURES = 10


class CustobarEventTrigger(BaseTrigger):
    """
    Wait until a window holds enough events; the deferred half of ``CustobarEventSensor``.

    Fires once: with ``{"status": "success", "found": {...}}``, or with ``{"status": "error", "message": ...}`` when the
    server's answer is final (such as 401 or 403) or ``max_consecutive_failures`` polls in a row have failed, each of them
    after all of its attempts.

    :param event_types: Types of events.
    :param window_start: Start of the window, an ISO 8601 datetime.
    :param window_end: End of the window, not included.
    :param min_events: How many events are enough.
    :param match: ``any`` of the types has enough, or ``all`` of them have.
    :param poke_interval: Seconds between two polls.
    :param max_consecutive_failures: Failed polls in a row to give up after.
    :param allow_unknown_names: Let event types through that the documentation does not list.
    :param custobar_conn_id: The Custobar connection id.
    """

    def __init__(
        self,
        *,
        event_types: str | Sequence[str],
        window_start: str,
        window_end: str,
        min_events: int = 1,
        match: Match = "any",
        poke_interval: float = 60.0,
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        allow_unknown_names: bool = False,
        custobar_conn_id: str = CustobarHook.default_conn_name,
    ) -> None:
        super().__init__()
        # serialize() gives exactly these back: one list of fields for both directions.
        self._fields: dict[str, Any] = {
            "event_types": [event_types] if isinstance(event_types, str) else list(event_types),
            "window_start": window_start,
            "window_end": window_end,
            "min_events": min_events,
            "match": match,
            "poke_interval": poke_interval,
            "max_consecutive_failures": max_consecutive_failures,
            "allow_unknown_names": allow_unknown_names,
            "custobar_conn_id": custobar_conn_id,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", dict(self._fields)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield TriggerEvent(await self._wait())

    async def _wait(self) -> dict[str, Any]:
        fields = self._fields
        failures = 0
        try:
            async with await CustobarHook(fields["custobar_conn_id"]).get_async_conn() as client:
                check = build_event_check(
                    fields["event_types"],
                    window_start=fields["window_start"],
                    window_end=fields["window_end"],
                    min_events=fields["min_events"],
                    match=fields["match"],
                    allow_unknown_names=fields["allow_unknown_names"],
                    timezone=client.config.timezone,
                    trust_day_filter=client.config.trust_day_filter,
                )
                while True:
                    try:
                        found = await client.check_events(check)
                        failures = 0
                        if found.satisfied:
                            return {"status": "success", "found": found.as_document()}
                    except CustobarError as error:
                        failures += 1
                        if not error.retriable or failures >= fields["max_consecutive_failures"]:
                            raise
                        self.log.warning("Poll failed (%s in a row): %s", failures, error)
                    await asyncio.sleep(fields["poke_interval"])
        except CustobarError as error:
            return {"status": "error", "message": str(error)}
