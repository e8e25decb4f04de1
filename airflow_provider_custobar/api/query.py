"""What is asked of the data API, checked before the first request and cut into chains of pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import Literal
from urllib.parse import urlencode

import pendulum

from airflow_provider_custobar.api.errors import InvalidArgumentError, did_you_mean, whole_number
from airflow_provider_custobar.api.resources import (
    EVENT_TYPES,
    MAX_PAGE_SIZE,
    TEXT_TYPES,
    ApiFormat,
    Resource,
    WindowFilter,
    find_resource,
    is_company_field,
)
from airflow_provider_custobar.api.windows import Window, build_window

OnBadTimestamp = Literal["fail", "keep", "drop"]
ON_BAD_TIMESTAMP: tuple[OnBadTimestamp, ...] = ("fail", "keep", "drop")

_OWN_PARAMETERS = ("limit", "format", "fields", "order")
_RENDER_NATIVE = "set render_template_as_native_obj=True on the DAG"
_FORCE = "Write your own fields as COMPANY__name; any other name needs allow_unknown_names=True."


class Role(Enum):
    """What a chain holds of a window, where neighbouring days are asked for their edges only."""

    MAIN = "the days of the window, or everything"
    BEFORE = "the days before them, of which the newest records may belong to the window"
    AFTER = "the days after them, of which the oldest records may belong to the window"
    ALL = "all of them in one, where the days beside the window hold little, or nobody knows in which order they come"


@dataclass(frozen=True)
class Chain:
    """One series of pages. ``label`` tells chains of one query apart: an event type or a day, else empty.

    Of one label's chains the one with the last role is in place of the others.
    """

    label: str
    parameters: tuple[tuple[str, str], ...]
    role: Role = Role.MAIN

    def path(self, resource: Resource, **changes: str) -> str:
        """Where its first page is; ``changes`` are other values of parameters."""
        # urlencode writes the plus of a phone number as %2B; a raw one would arrive as a space.
        return f"{resource.data_path}?{urlencode({**dict(self.parameters), **changes})}"


@dataclass(frozen=True, kw_only=True)
class Query:
    """A checked request for records. Make it with :func:`build_query`, which raises for what is not accepted.

    ``page_size`` is in records. ``filters`` are as the API is sent them. ``fields`` and ``order`` are names of fields, with
    ``-`` before one for descending; without ``fields`` the API sends all. ``event_types`` are for events only, at least one.
    A record without a readable timestamp in a ``window`` raises :class:`~airflow_provider_custobar.api.errors.ProtocolError`
    while pages are read, unless ``on_bad_timestamp`` keeps or drops it.
    """

    resource: Resource
    page_size: int
    api_format: ApiFormat = "json"
    filters: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    window: Window | None = None
    on_bad_timestamp: OnBadTimestamp = "fail"
    trust_day_filter: bool = False

    @property
    def checks_timestamps(self) -> bool:
        """Whether records are kept by their own timestamp. Not where the API's day filter is enough, and trusted."""
        return self.window is not None and not (self.trust_day_filter and self.window.is_whole_days)

    @property
    def selecting_field(self) -> str | None:
        """The field by which records are kept or left out: their timestamp in a window, else what identifies them."""
        if self.window is None:
            return self.resource.key
        return self.resource.timestamp if self.checks_timestamps else None

    @property
    def added_field(self) -> str | None:
        """The field asked for only to place records in the window; it is taken out of what the user gets."""
        timestamp = self.resource.timestamp
        return timestamp if self.checks_timestamps and self.fields and timestamp not in self.fields else None

    @property
    def columns(self) -> tuple[str, ...]:
        """What a record holds when ``fields`` are named: the API always adds ``external_id``."""
        adds = self.fields and "external_id" in self.resource.read_fields and "external_id" not in self.fields
        return ("external_id", *self.fields) if adds else self.fields

    def chains(self) -> Iterator[Chain]:
        """The series of pages that together hold every record asked for, in a fixed order."""
        common: list[tuple[str, str]] = [("limit", str(self.page_size))]
        if self.api_format == "csv":
            common.append(("format", "csv"))
        if self.fields:
            extra = (self.added_field,) if self.added_field else ()
            common.append(("fields", ",".join(self.fields + extra)))
        order = self.order or self.resource.default_order
        if order:
            common.append(("order", ",".join(order)))
        common.extend(self.filters.items())
        for label, own, role in self._splits():
            yield Chain(label, (*own, *common), role)

    def _splits(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...], Role]]:
        periods = self._periods()
        if self.resource.name == "events":
            for event_type in self.event_types:
                for days, role in periods:
                    period = (("date.gte", days[0].isoformat()), ("date.lte", days[-1].isoformat())) if days else ()
                    yield event_type, (("type", event_type), *period), role
            return
        for days, role in periods:
            for day in days:
                yield day.isoformat(), ((self.resource.timestamp or "", day.isoformat()),), role
            if not days:
                yield "", (), role

    def _periods(self) -> list[tuple[list[date], Role]]:
        if self.window is None:
            return [([], Role.MAIN)]
        if not self.checks_timestamps:
            return [(self.window.days, Role.MAIN)]
        days = self.window.days_to_ask_for()
        if self.order:
            # The user's own holds over all days.
            return [(days, Role.MAIN)]
        own = self.window.days
        before, after = days[: days.index(own[0])], days[days.index(own[-1]) + 1 :]
        edges = [(before, Role.BEFORE), (own, Role.MAIN), (after, Role.AFTER)]
        return edges if self.resource.window_filter is WindowFilter.SINGLE_DAY else [*edges, (days, Role.ALL)]


def build_query(
    resource: str,
    *,
    filters: Mapping[str, object] | None = None,
    fields: str | Sequence[str] | None = None,
    order: str | Sequence[str] | None = None,
    event_types: str | Sequence[str] | None = None,
    date: object = None,
    window_start: object = None,
    window_end: object = None,
    page_size: int | str | None = None,
    api_format: ApiFormat = "json",
    on_bad_timestamp: OnBadTimestamp = "fail",
    allow_unknown_names: bool = False,
    timezone: str = "UTC",
    trust_day_filter: bool = False,
) -> Query:
    """Check everything that can be checked without asking the server.

    ``fields``, ``order`` and ``event_types`` are lists, or texts with commas. ``timezone`` is the tenant's zone.
    ``allow_unknown_names`` lets names through that the documentation does not list. ``on_bad_timestamp`` is what to do with
    a record that cannot be placed in the window: ``fail``, ``keep`` it or ``drop`` it. ``trust_day_filter`` says that the
    API's day filter cuts days in ``timezone``, so that windows of whole days need no second look.

    :raises InvalidArgumentError: names the argument, its value and what is accepted.
    """
    entry = find_resource(resource)
    zone = timezone
    if on_bad_timestamp not in ON_BAD_TIMESTAMP:
        raise InvalidArgumentError("on_bad_timestamp", on_bad_timestamp, f"give one of {', '.join(ON_BAD_TIMESTAMP)}")
    types = _event_types(entry, event_types, allow_unknown_names)
    window = _window(entry, date, window_start, window_end, zone)
    return Query(
        resource=entry,
        page_size=_page_size(page_size, api_format),
        api_format=api_format,
        filters=_filters(entry, filters, zone, window, allow_unknown_names),
        fields=_fields(entry, fields, allow_unknown_names),
        order=_order(entry, order, allow_unknown_names),
        event_types=types,
        window=window,
        on_bad_timestamp=on_bad_timestamp,
        trust_day_filter=trust_day_filter,
    )


def _window(entry: Resource, date: object, start: object, end: object, zone: str) -> Window | None:
    window = build_window(date=date, window_start=start, window_end=end, timezone=zone)
    if window is not None and entry.window_filter is WindowFilter.NONE:
        name, value = ("date", date) if date is not None else ("window_start", start)
        raise InvalidArgumentError(
            name,
            value,
            f"the API has no date filter for {entry.name}, so every export of them is a full snapshot: leave the window out",
        )
    return window


def _page_size(value: int | str | None, api_format: ApiFormat) -> int:
    if api_format not in MAX_PAGE_SIZE:
        raise InvalidArgumentError("api_format", api_format, f"give one of {', '.join(MAX_PAGE_SIZE)}")
    most = MAX_PAGE_SIZE[api_format]
    reason = f" (the API's maximum for {api_format.upper()} pages)"
    return most if value is None else whole_number("page_size", value, least=1, most=most, reason=reason)


def _event_types(entry: Resource, value: str | Sequence[str] | None, allow_unknown: bool) -> tuple[str, ...]:
    types = _names("event_types", value)
    if entry.name != "events":
        if types:
            raise InvalidArgumentError("event_types", value, f"only events have a type; leave it out for {entry.name}")
        return ()
    if not types:
        raise InvalidArgumentError(
            "event_types",
            value,
            f"the API gives events of one type at a time; name at least one of {', '.join(EVENT_TYPES)}",
        )
    for event_type in types:
        if event_type not in EVENT_TYPES and not allow_unknown:
            raise InvalidArgumentError(
                "event_types",
                event_type,
                f"known types are {', '.join(EVENT_TYPES)}.{did_you_mean(event_type, EVENT_TYPES)}"
                " A type of your own needs allow_unknown_names=True.",
            )
    return types


def _fields(entry: Resource, value: str | Sequence[str] | None, allow_unknown: bool) -> tuple[str, ...]:
    names = _names("fields", value)
    for name in names:
        _check_name("fields", name, entry.read_fields, entry, allow_unknown)
    return names


def _order(entry: Resource, value: str | Sequence[str] | None, allow_unknown: bool) -> tuple[str, ...]:
    names = _names("order", value)
    for name in names:
        _check_name("order", name.removeprefix("-"), (*entry.read_fields, *entry.extra_order), entry, allow_unknown)
    return names


def _filters(
    entry: Resource, value: Mapping[str, object] | None, zone: str, window: Window | None, allow_unknown: bool
) -> dict[str, str]:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidArgumentError("filters", value, 'give a mapping such as {"country": "FI"}')
    checked: dict[str, str] = {}
    for name, wanted in (value or {}).items():
        if entry.name == "events" and name == "type":
            raise InvalidArgumentError("filters", name, "name the types in event_types")
        if window is not None and entry.timestamp and name.partition(".")[0] == entry.timestamp:
            raise InvalidArgumentError("filters", name, "the window already filters by it; give one or the other")
        _check_name("filters", name, entry.filters, entry, allow_unknown)
        if name in _OWN_PARAMETERS:
            raise InvalidArgumentError("filters", name, "it is no filter; use page_size, api_format, fields or order")
        field_type = entry.read_fields.get(name)
        if field_type in TEXT_TYPES and isinstance(wanted, (int, float)):
            raise InvalidArgumentError(
                f"filters[{name!r}]",
                wanted,
                "give a text: a number has lost its leading zeros or plus, as native rendering does",
            )
        checked[name] = _filter_value(name, wanted, zone)
    return checked


def _filter_value(name: str, value: object, zone: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() if value.strip() not in ("", "None"):
            return value
        case int() | float():
            return str(value)
        case datetime():
            # The API documents plain days only.
            return (value.astimezone(pendulum.timezone(zone)) if value.tzinfo else value).date().isoformat()
        case date():
            return value.isoformat()
    raise InvalidArgumentError(f"filters[{name!r}]", value, "give a text, a number, a boolean or a date")


def _names(argument: str, value: str | Sequence[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    accepted = "give a list of names, or one text with commas between them"
    if isinstance(value, str) and value.lstrip().startswith("["):
        raise InvalidArgumentError(
            argument, value, f"a template made a text of a list; join the names with commas in it, or {_RENDER_NATIVE}"
        )
    # A set has another order in each process: a retry would not know that its request is the same.
    if not isinstance(parts, Iterable) or isinstance(parts, (Mapping, set, frozenset)):
        raise InvalidArgumentError(argument, value, accepted)
    names = tuple(part.strip() if isinstance(part, str) else part for part in parts)
    if not all(isinstance(name, str) and name and name != "None" and "," not in name for name in names):
        raise InvalidArgumentError(argument, value, accepted)
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InvalidArgumentError(argument, value, f"{repeated} stands there twice")
    return names


def _check_name(argument: str, name: object, known: Iterable[str], entry: Resource, allow_unknown: bool) -> None:
    accepted = sorted(known)
    if isinstance(name, str) and name and (name in accepted or allow_unknown or is_company_field(name)):
        return
    hint = did_you_mean(name, accepted) if isinstance(name, str) else ""
    raise InvalidArgumentError(argument, name, f"{entry.name} have {', '.join(accepted)}.{hint} {_FORCE}")
