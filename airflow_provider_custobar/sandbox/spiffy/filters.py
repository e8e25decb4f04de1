"""The parameters of lists, counts and searches (P1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_custobar.sandbox.spiffy.answers import invalid
from airflow_provider_custobar.sandbox.spiffy.search import Test, parse_search
from airflow_provider_custobar.sandbox.spiffy.settings import SpiffyStoresSettings
from airflow_provider_custobar.sandbox.spiffy.store import Customer, CustomerStore
from airflow_provider_custobar.sandbox.spiffy.times import bound, in_utc, moment_of

#: What each word of a status asks of which field.
_STATUSES: dict[str, tuple[str, dict[str, bool]]] = {
    "wholesale_status": ("wholesale", {"wholesale": True, "retail": False}),
    "marketing_status": ("accepts_marketing", {"accepts_marketing": True, "rejects_marketing": False}),
}
_BOUNDS = ("created_at_min", "created_at_max", "updated_at_min", "updated_at_max")
_FILTERS = ("ids", "since_id", *_STATUSES, *_BOUNDS)
_PAGING = ("limit", "page", "fields")
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
#: Left out as soon as ``fields`` is given (P1).
_NEVER_CHOSEN = ("default_address", "addresses")


@dataclass
class Selection:
    """Whom a request wants, and which part of them."""

    limit: int
    page: int = 1
    since_id: int = 0
    fields: tuple[str, ...] | None = None
    tests: list[Test] = field(default_factory=list)

    def matching(self, store: CustomerStore, order: str) -> list[Customer]:
        """Return all that are wanted, in order."""
        found = store.all(order, self.since_id)
        return [customer for customer in found if all(test(customer) for test in self.tests)] if self.tests else found

    def page_of(self, customers: list[Customer]) -> list[Customer]:
        """Cut out the page."""
        start = (self.page - 1) * self.limit
        return customers[start : start + self.limit]

    def shown(self, customer: Customer, settings: SpiffyStoresSettings) -> Customer:
        """Return what is shown of a customer."""
        if self.fields is not None:
            names = [name for name in self.fields if name not in _NEVER_CHOSEN]
            customer = {name: customer[name] for name in names if name in customer}
        return in_utc(customer) if settings.timestamps == "utc" else customer


def parse_selection(parameters: Mapping[str, str], settings: SpiffyStoresSettings, *, searches: bool = False) -> Selection:
    """Read the parameters; a value that is none of those documented is refused with 422 (our choice)."""
    known = {*_FILTERS, *_PAGING, *(("query",) if searches else ())}
    if settings.unknown_parameter == "error":
        for name in parameters:
            if name not in known:
                raise invalid(name, "is not a parameter")
    selection = Selection(limit=_limit(parameters, settings))
    if "page" in parameters:
        selection.page = _number("page", parameters["page"], least=1)
    if "since_id" in parameters:
        selection.since_id = _number("since_id", parameters["since_id"])
    if "fields" in parameters:
        selection.fields = tuple(name.strip() for name in parameters["fields"].split(",") if name.strip())
    if "ids" in parameters:
        ids = {_number("ids", part.strip()) for part in parameters["ids"].split(",")}
        selection.tests.append(lambda customer: customer["id"] in ids)
    selection.tests += _tests(parameters, settings)
    if searches and parameters.get("query", "").strip():
        selection.tests.append(parse_search(parameters["query"]))
    return selection


def _tests(parameters: Mapping[str, str], settings: SpiffyStoresSettings) -> Iterator[Test]:
    for name, (flag, words) in _STATUSES.items():
        if name in parameters:
            if parameters[name] not in words:
                raise invalid(name, f"must be {' or '.join(words)}")
            yield _flag_test(flag, words[parameters[name]])
    for name in _BOUNDS:
        if name in parameters:
            yield _bound_test(name, parameters[name], inclusive=settings.inclusive_bounds)


def _limit(parameters: Mapping[str, str], settings: SpiffyStoresSettings) -> int:
    if "limit" not in parameters:
        return min(settings.limit_default, settings.limit_max)
    limit = _number("limit", parameters["limit"], least=1)
    if limit > settings.limit_max and settings.limit_over_max == "error":
        raise invalid("limit", f"must be {settings.limit_max} at most")
    return min(limit, settings.limit_max)


def _number(name: str, text: str, least: int = 0) -> int:
    if not _NUMBER.fullmatch(text) or int(text) < least:
        raise invalid(name, f"must be a whole number of at least {least}")
    return int(text)


def _flag_test(name: str, wanted: bool) -> Test:
    return lambda customer: bool(customer.get(name)) is wanted


def _bound_test(name: str, text: str, *, inclusive: bool) -> Test:
    try:
        limit = bound(text)
    except ValueError:
        raise invalid(name, "must be like 2019-04-25 16:15") from None
    is_least, column = name.endswith("_min"), name.rpartition("_")[0]

    def fits(moment: datetime) -> bool:
        if moment == limit:
            return inclusive
        return (moment > limit) is is_least

    def test(customer: Mapping[str, Any]) -> bool:
        moment = moment_of(customer.get(column))
        return moment is not None and fits(moment)

    return test
