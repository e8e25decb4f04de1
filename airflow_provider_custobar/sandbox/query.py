"""The parameters of one data request, read and checked (S1, S2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_custobar.sandbox.catalogue import CUSTOM_FIELD, Resource
from airflow_provider_custobar.sandbox.data.protocol import Record
from airflow_provider_custobar.sandbox.errors import ApiError
from airflow_provider_custobar.sandbox.filters import Filters, build_filters
from airflow_provider_custobar.sandbox.instants import shown, stored_micros
from airflow_provider_custobar.sandbox.settings import SandboxSettings
from airflow_provider_custobar.sandbox.table import Ref, Table

#: Orders in which the tables keep their records anyway (as the default order: our choice).
_BY_ID = ((), (("external_id", False),))
_BY_DATE = ((), (("date", False),))
#: Parameters that are not filters.
_CONTROLS = frozenset(("limit", "fields", "order", "format"))


@dataclass(frozen=True)
class Query:
    """What a client asked for; ``fields`` is None for everything."""

    resource: Resource
    csv: bool
    limit: int
    fields: tuple[str, ...] | None
    order: tuple[tuple[str, bool], ...]
    filters: Filters
    #: Orders records within a page, in place of ``order``.
    page_order: tuple[tuple[str, bool], ...] = ()
    shown: Callable[[str], str] | None = None

    def select(self, table: Table) -> Sequence[Ref]:
        """Return references to all matching records in the order asked for."""
        refs: Sequence[Ref] = table.refs(self.filters.wanted, self.filters.keep)
        rest = self.filters.rest
        if rest is not None:
            # Stored records were tested already; testing them again is harmless.
            refs = [ref for ref in refs if rest(table.resolve(ref))]
        if self.order in (_BY_ID, _BY_DATE)[self.resource.name == "events"]:
            return refs
        return self._sorted(refs, table, self.order)

    def within_page(self, refs: Sequence[Ref], table: Table) -> Sequence[Ref]:
        """The references of one page as it shows them."""
        return self._sorted(refs, table, self.page_order)

    def _sorted(self, refs: Sequence[Ref], table: Table, order: tuple[tuple[str, bool], ...]) -> Sequence[Ref]:
        for name, descending in reversed(order):

            def key(ref: Ref, name: str = name) -> Any:
                return _sort_key(table.resolve(ref), name, self.resource, self.shown)

            refs = sorted(refs, key=key, reverse=descending)
        return refs


def parse_query(
    resource: Resource,
    params: Mapping[str, list[str]],
    settings: SandboxSettings,
    campaigns_of: Callable[[Record], frozenset[str]],
) -> Query:
    """Read the parameters; ApiError 400 for a wrong one."""
    csv = _format(params) == "csv"
    filters = {name: values for name, values in params.items() if name not in _CONTROLS}
    if resource.name == "events" and settings.events_require_type and "type" not in filters:
        raise ApiError(400, "The filter 'type' is required for events.")
    order = _order(resource, params)
    page_order: tuple[tuple[str, bool], ...] = ()
    if any(resource.fields.get(name) == "datetime" for name, _ in order):
        match settings.time_order:
            case "reject":
                raise ApiError(400, f"The {resource.name} cannot be ordered by time.")
            case "ignore":
                order = ()
            case "page":
                order, page_order = (), order
    zone, style = ZoneInfo(settings.tenant_timezone), settings.datetime_style
    return Query(
        resource=resource,
        csv=csv,
        limit=_limit(params, csv, settings),
        fields=_fields(resource, params),
        order=order,
        filters=build_filters(resource, filters, settings, campaigns_of),
        page_order=page_order,
        shown=(lambda text: shown(text, style, zone)) if settings.time_order == "text" else None,
    )


def _last(params: Mapping[str, list[str]], name: str) -> str | None:
    return params[name][-1] if name in params else None


def _format(params: Mapping[str, list[str]]) -> str:
    wanted = _last(params, "format") or "json"
    if wanted not in ("json", "csv"):
        raise ApiError(400, f"Invalid value '{wanted}' for format: expected json or csv.")
    return wanted


def _limit(params: Mapping[str, list[str]], csv: bool, settings: SandboxSettings) -> int:
    most = settings.limit_max_csv if csv else settings.limit_max_json
    text = _last(params, "limit")
    if text is None:
        return min(settings.limit_default, most)
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise ApiError(400, f"Invalid value '{text}' for limit: expected a whole number from 1 to {most}.")
    if int(text) <= most:
        return int(text)
    if settings.limit_over_max == "clamp":
        return most
    raise ApiError(400, f"Invalid value '{text}' for limit: the maximum is {most}.")


def _fields(resource: Resource, params: Mapping[str, list[str]]) -> tuple[str, ...] | None:
    text = _last(params, "fields")
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    return tuple(dict.fromkeys((*resource.always, *names)))


def _order(resource: Resource, params: Mapping[str, list[str]]) -> tuple[tuple[str, bool], ...]:
    text = _last(params, "order")
    order = []
    for item in (text or "").split(","):
        name = item.strip().removeprefix("-")
        if not name:
            continue
        if name not in resource.fields and name not in resource.derived and not CUSTOM_FIELD.match(name):
            raise ApiError(400, f"Unknown field '{name}' in order for {resource.name}.")
        order.append((name, item.strip().startswith("-")))
    return tuple(order)


def _sort_key(record: Record, name: str, resource: Resource, as_shown: Callable[[str], str] | None = None) -> tuple[int, Any]:
    """Records without the field come first; numbers before texts, so that mixed custom values compare."""
    if name == "email_domain":
        value: Any = record.get("email", "").rpartition("@")[2].lower() or None
    else:
        value = record.get(name)
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    if resource.fields.get(name) == "datetime" and isinstance(value, str):
        return (2, as_shown(value)) if as_shown else (1, stored_micros(value))
    return (2, str(value))
