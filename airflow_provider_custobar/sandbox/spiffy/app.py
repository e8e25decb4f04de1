"""The simulated API of a store as one function, request -> response; the server is only a door to it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from werkzeug import Request, Response

from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.errors import ConnectionDroppedError
from airflow_provider_custobar.sandbox.faults import Faults
from airflow_provider_custobar.sandbox.log import RequestLog, RequestRecord
from airflow_provider_custobar.sandbox.spiffy.access import Credentials, check_forms
from airflow_provider_custobar.sandbox.spiffy.answers import Answer, RefusedError, in_store_words, json_answer
from airflow_provider_custobar.sandbox.spiffy.changes import changed, created
from airflow_provider_custobar.sandbox.spiffy.filters import Selection, parse_selection
from airflow_provider_custobar.sandbox.spiffy.ratelimit import RateLimit
from airflow_provider_custobar.sandbox.spiffy.settings import SpiffyStoresSettings
from airflow_provider_custobar.sandbox.spiffy.store import CustomerStore

#: The store's own record (P4 names these fields among others).
STORE_RECORD: Mapping[str, Any] = {
    "id": 1,
    "name": "Sandbox Outfitters",
    "domain": "sandbox.spiffystores.com",
    "email": "owner@sandbox.example",
    "country_code": "AU",
    "currency": "AUD",
    "timezone": "Brisbane",
}


@dataclass
class Exchange:
    """What the log wants to know about one request while it is being answered."""

    request: Request
    record: RequestRecord
    caller: str = ""
    rows: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Route:
    """A path: the key of its answer's content, and what to do by method."""

    pattern: re.Pattern[str]
    key: str
    handlers: Mapping[str, Callable[[Exchange, int], Answer]]


class SpiffyApp:
    """All endpoints under ``/api/``: the store (P4) and its customers (P1)."""

    def __init__(self, store: CustomerStore, settings: SpiffyStoresSettings, clock: Clock, credentials: Credentials) -> None:
        self.faults = Faults()
        self.log = RequestLog()
        #: Unexpected exceptions, each also answered with a 500.
        self.errors: list[BaseException] = []
        #: Called with each request before it is answered.
        self.callbacks: list[Callable[[RequestRecord], object]] = []
        self._store = store
        self._settings = settings
        self._clock = clock
        self._credentials = credentials
        self._rate_limit = RateLimit(clock, settings)
        self._lock = threading.Lock()
        self._routes = [
            _Route(re.compile(pattern, re.ASCII), key, handlers)
            for pattern, key, handlers in (
                (r"/api/store\.json", "store", {"GET": self._store_record}),
                (r"/api/customers\.json", "customers", {"GET": self._list, "POST": self._create}),
                (r"/api/customers/count\.json", "count", {"GET": self._count}),
                (r"/api/customers/search\.json", "customers", {"GET": self._search}),
                (
                    r"/api/customers/(\d{1,18})\.json",
                    "customer",
                    {"GET": self._get, "PUT": self._change, "DELETE": self._delete},
                ),
            )
        ]

    def handle(self, request: Request) -> Response:
        """Answer and log a request; raises ConnectionDroppedError where a fault closes the connection."""
        record = RequestRecord(
            at=self._clock.monotonic(),
            method=request.method,
            path=request.path,
            query={name: list(values) for name, values in request.args.lists()},
            status=0,
            content_length=request.content_length or 0,
        )
        exchange = Exchange(request, record)
        status, size = 0, 0
        try:
            response = self._answer(exchange)
            status, size = response.status_code, response.content_length or 0
        except ConnectionDroppedError:
            raise
        except Exception as err:  # noqa: BLE001 - whatever it is, it must reach the test that owns the sandbox
            with self._lock:
                self.errors.append(err)
            response = Response(f"{type(err).__name__}: {err}", status=500, content_type="text/plain")
            status = 500
        finally:
            self.log.add(
                replace(
                    record,
                    status=status,
                    token_hint=exchange.caller,
                    rows=exchange.rows,
                    response_bytes=size,
                    faults=tuple(exchange.faults),
                )
            )
        return response

    def _answer(self, exchange: Exchange) -> Response:
        request = exchange.request
        arriving = self.faults.arriving(request)
        for fault in arriving:
            if fault.effect.early is not None:
                exchange.faults.append(fault.kind)
                early = fault.effect.early(request, fault.details)
                if early is not None:
                    return in_store_words(early)
        values, refusal = self._rate_limit.take(request.headers.get("Authorization", ""))
        try:
            if refusal is not None:
                raise refusal
            answer, key = self._routed(exchange)
        except RefusedError as err:
            answer, key = err.answer(), ""
        self._rate_limit.tell(answer, values)
        response: Response = answer
        if response.status_code < 300:
            for fault in self.faults.leaving(request, response, arriving):
                if fault.effect.late is not None:
                    exchange.faults.append(fault.kind)
                    response = fault.effect.late(_as_named(request, key), response, fault.details)
        return response

    def _routed(self, exchange: Exchange) -> tuple[Answer, str]:
        """Check in the order path, identity, forms, method (our choice), then work."""
        request = exchange.request
        for route in self._routes:
            match = route.pattern.fullmatch(request.path)
            if match:
                break
        else:
            raise RefusedError(404, "Not Found")
        exchange.caller = self._credentials.caller(request, self._settings)
        check_forms(request, self._settings)
        handler = route.handlers.get(request.method)
        if handler is None:
            raise RefusedError(405, "Method Not Allowed", headers={"Allow": ", ".join(route.handlers)})
        for callback in tuple(self.callbacks):
            callback(replace(exchange.record, token_hint=exchange.caller))
        number = int(match.group(1)) if match.groups() else 0
        try:
            answer = handler(exchange, number)
        except KeyError as err:
            if err.args != (number,):
                raise
            raise RefusedError(404, "Not Found") from None
        exchange.rows = answer.rows
        return answer, route.key

    def _store_record(self, exchange: Exchange, _: int) -> Answer:
        return json_answer({"store": STORE_RECORD})

    def _list(self, exchange: Exchange, _: int) -> Answer:
        return self._page(self._selection(exchange))

    def _search(self, exchange: Exchange, _: int) -> Answer:
        return self._page(self._selection(exchange, searches=True))

    def _count(self, exchange: Exchange, _: int) -> Answer:
        return json_answer({"count": len(self._selection(exchange).matching(self._store, "id"))})

    def _get(self, exchange: Exchange, number: int) -> Answer:
        selection = self._selection(exchange)
        return self._one(selection, self._store.get(number))

    def _create(self, exchange: Exchange, _: int) -> Answer:
        selection = self._selection(exchange)
        return self._one(selection, created(self._store, _body(exchange.request)), status=201)

    def _change(self, exchange: Exchange, number: int) -> Answer:
        selection = self._selection(exchange)
        return self._one(selection, changed(self._store, number, _body(exchange.request)))

    def _delete(self, exchange: Exchange, number: int) -> Answer:
        self._store.delete(number)
        return json_answer({}, rows=1)

    def _page(self, selection: Selection) -> Answer:
        page = selection.page_of(selection.matching(self._store, self._settings.order))
        shown = [selection.shown(customer, self._settings) for customer in page]
        return json_answer({"customers": shown}, rows=len(shown))

    def _one(self, selection: Selection, customer: dict[str, Any], status: int = 200) -> Answer:
        return json_answer({"customer": selection.shown(customer, self._settings)}, status=status, rows=1)

    def _selection(self, exchange: Exchange, *, searches: bool = False) -> Selection:
        return parse_selection(exchange.request.args.to_dict(), self._settings, searches=searches)


def _body(request: Request) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(request.get_data())
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RefusedError(400, "The body is not JSON.") from None
    customer = content.get("customer") if isinstance(content, dict) else None
    if not isinstance(customer, dict):
        raise RefusedError(400, "Required parameter missing: customer")
    return customer


def _as_named(request: Request, key: str) -> Request:
    """Return a request whose path ends with the content's key, where faults look for it."""
    return Request({**request.environ, "PATH_INFO": f"/api/{key}"})
