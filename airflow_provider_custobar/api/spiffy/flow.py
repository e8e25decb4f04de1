"""What to ask a store, in which order: steps for any driver, as in :mod:`airflow_provider_custobar.api.flow`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from airflow_provider_custobar.api.answers import Reply
from airflow_provider_custobar.api.errors import CustobarError, MalformedResponseError
from airflow_provider_custobar.api.flow import Exchange, FlowContext, exchange
from airflow_provider_custobar.api.spiffy.filters import MAX_PAGE_SIZE
from airflow_provider_custobar.api.steps import Outcome, Request, Wait

T = TypeVar("T")

log = logging.getLogger(__name__)

Customer = dict[str, Any]
CustomerFlow = Generator[Request | Wait | list[Customer], Outcome, None]

_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
# Amounts keep their digits.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class StoreChangedError(CustobarError):
    """Customers were added or removed while pages were read by number, so that some may have been passed over."""

    retriable = True


def store(context: FlowContext) -> Exchange[dict[str, Any]]:
    """The store's own record, which every private app may read."""
    return _ask(context, "GET", "store", lambda answer: _member(answer, "store", dict))


def count(context: FlowContext, parameters: Mapping[str, str]) -> Exchange[int]:
    """How many customers there are; ``parameters`` without a search."""
    return _ask(context, "GET", "customers/count", lambda answer: _member(answer, "count", int), parameters)


def get(context: FlowContext, number: int) -> Exchange[Customer]:
    return _ask(context, "GET", f"customers/{number}", _customer)


def create(context: FlowContext, customer: Mapping[str, Any]) -> Exchange[Customer]:
    """Not repeated where it may have arrived: the second one would be refused, and the first one's id would be lost."""
    return _ask(context, "POST", "customers", _customer, body={"customer": customer}, repeatable=False)


def update(context: FlowContext, number: int, changes: Mapping[str, Any]) -> Exchange[Customer]:
    return _ask(context, "PUT", f"customers/{number}", _customer, body={"customer": changes})


def delete(context: FlowContext, number: int) -> Exchange[None]:
    return _ask(context, "DELETE", f"customers/{number}", lambda _: None)


def customers(context: FlowContext, parameters: Mapping[str, str], page_size: int = MAX_PAGE_SIZE) -> CustomerFlow:
    """All customers that ``parameters`` select, page by page, no one twice.

    Neither an order nor the end of paging is documented. So reading ends with a page that is empty. As long as ids come in
    ascending order, each page is asked for by the id before it, which nobody who comes or goes meanwhile can shift; where they
    do not, by number, and then the number of customers is compared with what the store counts.

    :raises StoreChangedError: it counts more than came, while pages were read by number.
    """
    path = "customers/search" if "query" in parameters else "customers"
    seen: set[int] = set()
    last, number, is_ascending = 0, 1, True
    while True:
        place = {"since_id": str(last)} if is_ascending else {"page": str(number)}
        page = yield from _ask(context, "GET", path, _customers, {**parameters, **place, "limit": str(page_size)})
        ids = [customer["id"] for customer in page]
        if is_ascending and ids and not (ids[0] > last and all(a < b for a, b in pairwise(ids))):
            log.warning("The store does not give its customers by ascending id: reading pages by number")
            is_ascending = False
            continue
        if not page:
            break
        new = [customer for customer in page if customer["id"] not in seen]
        if is_ascending:
            last = ids[-1]
        else:
            seen.update(ids)
            number += 1
        if new:
            yield new
    if not is_ascending:
        yield from _compare(context, parameters, len(seen))


def _compare(context: FlowContext, parameters: Mapping[str, str], came: int) -> Exchange[None]:
    if "query" in parameters:
        # Searches cannot be counted.
        return
    there = yield from count(context, parameters)
    if there > came:
        raise StoreChangedError(
            f"The store counts {there:,} customers, but {came:,} came: it changed while they were read, and some may have been"
            " passed over. Try again."
        )
    if there < came:
        log.warning("The store counts %s customers, and %s came: some were removed meanwhile", f"{there:,}", f"{came:,}")


def _ask(
    context: FlowContext,
    method: str,
    path: str,
    read: Callable[[Any], T],
    parameters: Mapping[str, str] | None = None,
    *,
    body: object = None,
    repeatable: bool = True,
) -> Exchange[T]:
    query = f"?{urlencode(parameters)}" if parameters else ""
    request = Request(
        method,
        context.config.url_for(f"/api/{path}.json{query}"),
        _JSON,
        None if body is None else msgspec.json.encode(body),
        repeatable=repeatable,
    )

    def decoded(reply: Reply) -> T:
        try:
            return read(_decode(reply.body))
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, RecursionError) as error:
            raise MalformedResponseError(
                f"The answer about {path} does not have the documented shape ({type(error).__name__}): check that the"
                " connection's host is a store of Spiffy Stores, and that no proxy answers in its place."
            ) from None

    return exchange(context, request, decoded, subject=path)


def _member(answer: Any, name: str, kind: type[T]) -> T:
    value = answer[name]
    if not isinstance(value, kind):
        raise TypeError(name)
    return value


def _customer(answer: Any) -> Customer:
    return _member(answer, "customer", dict)


def _customers(answer: Any) -> list[Customer]:
    records: list[Customer] = _member(answer, "customers", list)
    for record in records:
        _member(record, "id", int)
    return records
