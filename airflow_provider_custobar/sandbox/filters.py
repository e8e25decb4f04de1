"""The filters of GET /api/data/<resource>/: which names are taken, and what they match (S1, S2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_custobar.sandbox.catalogue import CUSTOM_FIELD, TIMELINES, Resource
from airflow_provider_custobar.sandbox.data.protocol import Record, Wanted
from airflow_provider_custobar.sandbox.errors import ApiError
from airflow_provider_custobar.sandbox.instants import (
    day_bounds,
    is_plain_date,
    micros,
    parse_instant,
    stored_micros,
)
from airflow_provider_custobar.sandbox.settings import SandboxSettings

Test = Callable[[Record], bool]
#: Fields whose equality generated data can answer by itself, besides the range of a date.
_LOOKUPS = {"events": "type", "customers": "external_id", "sales": "external_id", "products": "external_id"}


@dataclass(frozen=True)
class Filters:
    """``wanted`` selects generated records, ``rest`` tests what it leaves open, ``keep`` tests any record."""

    wanted: Wanted
    keep: Test
    rest: Test | None


@dataclass(frozen=True)
class _Condition:
    field: str
    test: Test
    bounds: tuple[int | None, int | None] | None = None
    exact: str | None = None


def build_filters(
    resource: Resource,
    params: Mapping[str, list[str]],
    settings: SandboxSettings,
    campaigns_of: Callable[[Record], frozenset[str]],
) -> Filters:
    """Turn query parameters into conditions, all of which must hold (S1); ApiError 400 for unknown ones."""
    maker = _Maker(resource, settings, campaigns_of)
    conditions = []
    stock: dict[str, list[str]] = {}
    for name, values in params.items():
        chosen = values if settings.repeated_filter == "any" else values[-1:]
        if not maker.known(name):
            if settings.unknown_filter == "reject":
                raise ApiError(400, f"Unknown filter '{name}' for {resource.name}.")
            continue
        if name.startswith("stock."):
            stock[name] = chosen
            continue
        conditions.append(_any_of([maker.condition(name, value) for value in chosen]))
    if stock:
        conditions.append(_Condition("stock", _stock_test(stock)))
    return _combined(resource, conditions)


def _combined(resource: Resource, conditions: list[_Condition]) -> Filters:
    wanted: dict[str, Any] = {}
    rest: list[Test] = []
    low: int | None = None
    high: int | None = None
    for condition in conditions:
        if condition.exact is not None and condition.field == _LOOKUPS.get(resource.name):
            wanted[condition.field] = condition.exact
        elif condition.bounds is not None and condition.field == TIMELINES.get(resource.name):
            lower, upper = condition.bounds
            low = lower if low is None else low if lower is None else max(low, lower)
            high = upper if high is None else high if upper is None else min(high, upper)
        else:
            rest.append(condition.test)
    if wanted.get("external_id") is not None and (low is not None or high is not None):
        # Generated data looks an id up without regard to dates.
        rest.extend(condition.test for condition in conditions if condition.bounds is not None)
    return Filters(
        Wanted(**wanted, low=low, high=high),
        _all_of([condition.test for condition in conditions]),
        _all_of(rest) if rest else None,
    )


def _all_of(tests: list[Test]) -> Test:
    return lambda record: all(test(record) for test in tests)


def _any_of(conditions: list[_Condition]) -> _Condition:
    if len(conditions) == 1:
        return conditions[0]
    return _Condition(conditions[0].field, lambda record: any(condition.test(record) for condition in conditions))


class _Maker:
    """Makes one condition from one parameter."""

    def __init__(self, resource: Resource, settings: SandboxSettings, campaigns_of: Callable[[Record], frozenset[str]]) -> None:
        self._resource = resource
        self._settings = settings
        self._campaigns_of = campaigns_of
        self._zone = ZoneInfo(settings.tenant_timezone)

    def known(self, name: str) -> bool:
        """Tell whether the filter exists: documented, custom (our choice), or allowed by a setting."""
        field, _, operator = name.rpartition(".")
        if operator in ("gte", "lte"):
            return field in self._ranges()
        if self._settings.unknown_filter == "match" and name in self._resource.fields:
            return True
        return name in self._resource.filters or bool(CUSTOM_FIELD.match(name))

    def condition(self, name: str, value: str) -> _Condition:
        """Return the condition for one value."""
        field, _, operator = name.rpartition(".")
        if operator in ("gte", "lte"):
            return self._range(field, operator, value)
        if name == "campaign_key":
            return _Condition(name, lambda record: value in self._campaigns_of(record))
        kind = self._resource.fields.get(name)
        if kind == "datetime":
            return self._moment(name, value)
        if kind == "boolean":
            return _Condition(name, _boolean_test(name, value))
        if kind == "email":
            # Our choice: e-mails compare without regard to case, everything else with it.
            return _Condition(name, lambda record: str(record.get(name, "")).lower() == value.lower())
        if kind == "phone" and value.startswith(" "):
            # S1 shows a raw leading plus, which form decoding turns into a space.
            value = "+" + value[1:]
        return _Condition(name, lambda record: _equals(record.get(name), value), exact=value)

    def _ranges(self) -> frozenset[str]:
        resource, settings = self._resource, self._settings
        allowed = settings.sale_date_ranges if resource.name == "sales" else settings.date_ranges
        return resource.ranges | (resource.optional_ranges if allowed else frozenset())

    def _range(self, field: str, operator: str, value: str) -> _Condition:
        first, after = self._span(f"{field}.{operator}", value)
        if self._settings.last_day == "midnight" and is_plain_date(value):
            after = first + 1
        return self._within(field, (first, None) if operator == "gte" else (None, after))

    def _moment(self, field: str, value: str) -> _Condition:
        # sale_date=2017-12-01 finds the sales of that whole day (S1).
        return self._within(field, self._span(field, value))

    def _span(self, name: str, value: str) -> tuple[int, int]:
        """Return first microsecond and the one after the last: a tenant-local day, or a single instant."""
        try:
            if is_plain_date(value):
                return day_bounds(value, self._zone)
            if not self._settings.event_datetimes:
                raise ValueError
            instant = micros(parse_instant(value, self._zone))
        except ValueError:
            accepted = "a date (YYYY-MM-DD)"
            if self._settings.event_datetimes:
                accepted += " or an ISO 8601 datetime"
            raise ApiError(400, f"Invalid value '{value}' for {name}: expected {accepted}.") from None
        return instant, instant + 1

    @staticmethod
    def _within(field: str, bounds: tuple[int | None, int | None]) -> _Condition:
        low, high = bounds

        def test(record: Record) -> bool:
            if field not in record:
                return False
            instant = stored_micros(record[field])
            return (low is None or instant >= low) and (high is None or instant < high)

        return _Condition(field, test, bounds=bounds)


def _equals(present: Any, value: str) -> bool:
    """Compare as text; a list matches if any element does (our choice)."""
    if present is None:
        return False
    if isinstance(present, list):
        return any(_equals(element, value) for element in present)
    if isinstance(present, bool):
        return str(present).lower() == value.lower()
    return str(present) == value


def _boolean_test(name: str, value: str) -> Test:
    wanted = {"true": True, "false": False}.get(value.lower())
    if wanted is None:
        raise ApiError(400, f"Invalid value '{value}' for {name}: expected true or false.")
    return lambda record: record.get(name) is wanted


def _stock_test(stock: Mapping[str, list[str]]) -> Test:
    """All stock conditions must hold for the same entry (S1's "at this shop, at least N")."""
    shops = stock.get("stock.shop_id")
    least = _quantity(stock, "stock.quantity.gte")
    most = _quantity(stock, "stock.quantity.lte")

    def fits(entry: Mapping[str, Any]) -> bool:
        quantity = entry.get("quantity", 0)
        return (
            (shops is None or entry.get("shop_id") in shops)
            and (least is None or quantity >= least)
            and (most is None or quantity <= most)
        )

    return lambda record: any(fits(entry) for entry in record.get("stock", ()))


def _quantity(stock: Mapping[str, list[str]], name: str) -> float | None:
    if name not in stock:
        return None
    try:
        return float(stock[name][-1])
    except ValueError:
        raise ApiError(400, f"Invalid value '{stock[name][-1]}' for {name}: expected a number.") from None
