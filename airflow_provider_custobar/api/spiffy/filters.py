"""What can be asked of the customers of a store, checked before the first request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from airflow_provider_custobar.api.errors import InvalidArgumentError, did_you_mean
from airflow_provider_custobar.api.windows import parse_moment

#: The most customers a page holds.
MAX_PAGE_SIZE = 50
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "wholesale_status": ("wholesale", "retail"),
        "marketing_status": ("accepts_marketing", "rejects_marketing"),
    }
)
_MOMENTS = ("created_at_min", "created_at_max", "updated_at_min", "updated_at_max")
#: The filters that Spiffy Stores documents for its customers, beside ``since_id``, by which pages are read.
FILTERS = ("ids", *_CHOICES, *_MOMENTS)


def build_filters(
    filters: Mapping[str, object] | None = None, *, query: str | Mapping[str, object] | None = None
) -> dict[str, str]:
    """The parameters of a request.

    :param filters: ``ids`` (a list, or a text with commas), ``wholesale_status``, ``marketing_status``, ``created_at_min`` and
        its like (datetimes or ISO 8601; whole minutes are asked for, so a minute more at either end).
    :param query: A search, such as ``country:Australia total_spent:>100 -state:declined``; or its terms by name, with ``-``
        before the names of those that must not be.
    :raises InvalidArgumentError: names the filter, its value and what is accepted.
    """
    if filters is not None and not isinstance(filters, Mapping):
        raise InvalidArgumentError("filters", filters, 'give values by name, such as {"wholesale_status": "retail"}')
    parameters: dict[str, str] = {}
    for name, value in (filters or {}).items():
        if name not in FILTERS:
            raise InvalidArgumentError("filters", name, f"give some of {', '.join(FILTERS)}.{did_you_mean(str(name), FILTERS)}")
        parameters[name] = _value(name, value)
    if query is not None:
        parameters["query"] = _search(query)
    return parameters


def _value(name: str, value: Any) -> str:
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise InvalidArgumentError(name, value, f"give {' or '.join(_CHOICES[name])}")
        return str(value)
    if name == "ids":
        ids = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
        texts = [str(each).strip() for each in ids] if isinstance(ids, (list, tuple, set, frozenset)) else []
        if not texts or not all(text.isascii() and text.isdecimal() for text in texts):
            raise InvalidArgumentError(name, value, "give customers' ids: a list of numbers, or a text with commas")
        return ",".join(texts)
    moment = parse_moment(name, value, UTC)
    return _minute(moment, up=name.endswith("_max"))


def _minute(moment: datetime, *, up: bool) -> str:
    """In the form that the API takes; in UTC, as its documentation has all times."""
    moment = moment.astimezone(UTC)
    if up and (moment.second or moment.microsecond):
        moment += timedelta(minutes=1)
    return f"{moment:%Y-%m-%d %H:%M}"


def _search(query: str | Mapping[str, object]) -> str:
    if isinstance(query, Mapping):
        terms = [f"{name}:{value}" for name, value in query.items()]
        if any(not str(name).strip("-") or not str(value) or " " in f"{name}{value}" for name, value in query.items()):
            raise InvalidArgumentError("query", dict(query), "names and values with spaces need the whole search as a text")
        query = " ".join(terms)
    if not isinstance(query, str) or not query.strip():
        raise InvalidArgumentError("query", query, "give a search, such as country:Australia total_spent:>100")
    return query.strip()
