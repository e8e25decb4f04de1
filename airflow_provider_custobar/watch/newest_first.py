"""The moments of events, newest first, read no further back than needed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pendulum

from airflow_provider_custobar.api.flow import FlowContext
from airflow_provider_custobar.api.messages import Outcome, Request, Wait
from airflow_provider_custobar.api.pages import JsonPage
from airflow_provider_custobar.api.paging import pages
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.selection import unplaceable
from airflow_provider_custobar.api.time_order import TimeOrder
from airflow_provider_custobar.api.windows import Window, parse_timestamp

#: So many records must have come, each older than the one before and none newer, before it is believed that the rest does so.
_EVIDENCE = 50


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event happened: in UTC, and as the API wrote it. ``at`` is None where that is no timestamp."""

    at: datetime | None
    text: str


MomentFlow = Generator[Request | Wait | list[Moment], Outcome, None]


class _Event(msgspec.Struct):
    date: Any = None


_event = msgspec.json.Decoder(_Event)


def newest_first(query: Query, window: Window) -> Query:
    """``query`` for the days around ``window``, newest events first, not looked at by anybody else."""
    days = window.days_to_ask_for()
    return on_days(replace(query, order=("-date",)), days[0].isoformat(), days[-1].isoformat())


def on_days(query: Query, first: str, last: str) -> Query:
    return replace(query, window=None, filters={**query.filters, "date.gte": first, "date.lte": last})


def moments(context: FlowContext, query: Query, *, down_to: datetime, keep_unplaceable: bool = False) -> MomentFlow:
    """The moments of the events of ``query``, page by page, until all those since ``down_to`` have come.

    ``order`` is documented, but not whether it holds for every field. So nothing is left out on its word alone: reading ends
    early only where enough records have come in that order, down to one from before ``down_to``.

    :param keep_unplaceable: let events without a readable timestamp through.
    :raises ProtocolError: such an event, unless they are kept.
    """
    zone = pendulum.timezone(context.config.timezone)
    descent = TimeOrder(descending=True)
    position = 0
    steps = pages(context, query)
    outcome: Outcome = None
    while not (descent.steps >= _EVIDENCE - 1 and not descent.is_broken and descent.last and descent.last < down_to):
        try:
            step = steps.send(outcome)
        except StopIteration:
            return
        if isinstance(step, (Request, Wait)):
            outcome = yield step
        elif isinstance(step, JsonPage):
            outcome = None
            placed: list[Moment] = []
            for record in step.records:
                position += 1
                value = _event.decode(record).date
                moment = _moment(value, zone)
                if moment.at is not None:
                    descent.take([moment.at])
                elif not keep_unplaceable:
                    raise unplaceable(position, query.resource.name, step.chain, "date", value)
                placed.append(moment)
            yield placed


def _moment(value: object, zone: Any) -> Moment:
    if not isinstance(value, str):
        return Moment(None, "")
    try:
        return Moment(parse_timestamp(value, zone).astimezone(UTC), value)
    except (OverflowError, ValueError):
        return Moment(None, value)
