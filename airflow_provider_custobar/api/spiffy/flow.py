"""What to ask a store, in which order: steps for any driver, as in :mod:`airflow_provider_custobar.api.flow`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from airflow_provider_custobar.api.errors import CustobarError, MalformedResponseError, NotFoundError, TransportError
from airflow_provider_custobar.api.flow import Exchange, FlowContext, exchange
from airflow_provider_custobar.api.messages import Outcome, Request, Wait
from airflow_provider_custobar.api.responses import Response
from airflow_provider_custobar.api.spiffy.filters import MAX_PAGE_SIZE

T = TypeVar("T")

log = logging.getLogger(__name__)

Customer = dict[str, Any]
CustomerFlow = Generator[Request | Wait | list[Customer], Outcome, None]

_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
# Amounts keep their digits.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_MOST_PASSES = 4


class StoreChangedError(CustobarError):
    """Customers came and went while pages were read by number, so that some may have been passed over."""


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
    """A customer who is not there any more after a request that may have arrived is deleted."""
    steps: Exchange[None] = _ask(context, "DELETE", f"customers/{number}", lambda _: None)
    outcome: Outcome = None
    may_be_done = False
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration:
            return
        except NotFoundError:
            if may_be_done:
                return
            raise
        outcome = yield step
        if isinstance(outcome, TransportError):
            may_be_done |= outcome.may_have_arrived
        elif outcome is not None:
            may_be_done |= outcome.status >= 500


def customers(context: FlowContext, parameters: Mapping[str, str], page_size: int = MAX_PAGE_SIZE) -> CustomerFlow:
    """All customers that ``parameters`` select, page by page, no one twice.

    Neither an order nor the end of paging is documented. So reading ends with a page that is empty. As long as ids come in
    ascending order, each page is asked for by the id before it, which nobody who comes or goes meanwhile can shift, and in the
    end the number is compared with what the store counts. Where that does not hold, pages are read by number, again and again
    until nobody turns up who was passed over.

    :raises StoreChangedError: somebody still does.
    """
    path = "customers/search" if "query" in parameters else "customers"
    asked = {**parameters, "limit": str(page_size)}
    seen: set[int] = set()
    # Searches cannot be counted.
    if (yield from _by_id(context, path, asked, seen)) and "query" not in parameters:
        there = yield from count(context, parameters)
        if there <= len(seen):
            return
    for _ in range(_MOST_PASSES):
        missed = yield from _by_number(context, path, asked, seen)
        if not missed:
            return
    raise StoreChangedError(
        f"Customers were passed over in each of {_MOST_PASSES} readings, because the store changed meanwhile. Try again."
    )


_Reading = Generator[Request | Wait | list[Customer], Outcome, T]


def _by_id(context: FlowContext, path: str, asked: Mapping[str, str], seen: set[int]) -> _Reading[bool]:
    """Read on from each page's last id; return whether ids came in ascending order to the end."""
    last = 0
    while True:
        page = yield from _ask(context, "GET", path, _customers, {**asked, "since_id": str(last)})
        ids = [customer["id"] for customer in page]
        if not ids:
            return True
        if ids[0] <= last or any(earlier >= later for earlier, later in pairwise(ids)):
            log.warning("The store does not give its customers by ascending id: reading pages by number")
            return False
        last = ids[-1]
        seen.update(ids)
        yield page


def _by_number(context: FlowContext, path: str, asked: Mapping[str, str], seen: set[int]) -> _Reading[bool]:
    """Read all pages; return whether there was somebody who was passed over before, and is no newcomer."""
    newest = max(seen, default=None)
    missed = False
    number = 1
    while True:
        page = yield from _ask(context, "GET", path, _customers, {**asked, "page": str(number)})
        if not page:
            return missed
        new = {customer["id"]: customer for customer in page if customer["id"] not in seen}
        missed |= any(newest is None or each <= newest for each in new)
        seen.update(new)
        number += 1
        if new:
            yield list(new.values())


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
        None if body is None else _encode(body),
        repeatable=repeatable,
    )

    def decoded(reply: Response) -> T:
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
        if type(record["id"]) is not int:
            raise TypeError("id")
    return records
