"""The simulated API as one function, request -> response; the server is only a door to it."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response
from werkzeug.utils import redirect

from airflow_provider_custobar.sandbox.accounts import Accounts
from airflow_provider_custobar.sandbox.auth import Identities, Token
from airflow_provider_custobar.sandbox.catalogue import RESOURCES
from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.cursors import Cursors
from airflow_provider_custobar.sandbox.errors import ApiError, ConnectionDroppedError, error_response
from airflow_provider_custobar.sandbox.faults import Faults
from airflow_provider_custobar.sandbox.imports import Imports
from airflow_provider_custobar.sandbox.log import RequestLog, RequestRecord
from airflow_provider_custobar.sandbox.ratelimit import RateLimit
from airflow_provider_custobar.sandbox.render import json_body
from airflow_provider_custobar.sandbox.retrieval import DataPage, Retrieval
from airflow_provider_custobar.sandbox.settings import SandboxSettings
from airflow_provider_custobar.sandbox.store import Store
from airflow_provider_custobar.sandbox.uploads import read_rows

#: Smaller bodies are not worth compressing.
_LARGE = 1_000


@dataclass
class Exchange:
    """What the log wants to know about one request while it is being answered."""

    request: Request
    caller: Token | None = None
    rows: int = 0
    faults: list[str] = field(default_factory=list)


Handler = Callable[[Exchange, str], Response]


class App:
    """All endpoints under ``/api/``; the sources of each stand with its module."""

    def __init__(self, store: Store, settings: SandboxSettings, clock: Clock, *, salt: str) -> None:
        self.store = store
        self.settings = settings
        self.clock = clock
        self.identities = Identities(clock, salt=salt)
        self.faults = Faults()
        self.log = RequestLog()
        self.imports = Imports(store, clock, settings, salt=salt)
        #: Unexpected exceptions, each also answered with a 500.
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()
        self._accounts = Accounts(self.identities)
        self._rate_limit = RateLimit(clock, settings)
        self._retrieval = Retrieval(store, Cursors(clock, salt=salt), settings)
        readable = "|".join(name for name, spec in RESOURCES.items() if spec.readable)
        self._routes: list[tuple[re.Pattern[str], Mapping[str, Handler]]] = [
            (re.compile(pattern), handlers)
            for pattern, handlers in (
                (rf"/api/data/({readable})/", {"GET": self._data}),
                # S3, S7 and others for the first; S22 has the shorter path for events, C2 the longer one.
                (rf"/api/({'|'.join(RESOURCES)})/upload/", {"POST": self._upload}),
                (r"/api/(events)/", {"POST": self._upload}),
                (r"/api/(integrations)/", {"POST": self._create_integration}),
                (r"/api/(access-tokens)/", {"POST": self._create_token}),
                (r"/api/runs/([0-9a-f]+)/", {"GET": self._run_status}),
            )
        ]

    def handle(self, request: Request) -> Response:
        """Answer and log a request; raises ConnectionDroppedError where a fault closes the connection."""
        exchange, arrived = Exchange(request), self.clock.monotonic()
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
                RequestRecord(
                    at=arrived,
                    method=request.method,
                    path=request.path,
                    query={name: list(values) for name, values in request.args.lists()},
                    status=status,
                    token_hint=_hint(exchange.caller),
                    content_length=request.content_length or 0,
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
                    return early
        try:
            response = self._routed(exchange)
        except ApiError as err:
            return error_response(err, self.settings.error_body)
        if response.status_code >= 300:
            return response
        leaving = self.faults.leaving(request, response, arriving)
        for fault in leaving:
            if fault.effect.late is not None:
                exchange.faults.append(fault.kind)
                response = fault.effect.late(request, response, fault.details)
        return response if leaving else self._compressed(request, response)

    def _routed(self, exchange: Exchange) -> Response:
        """Check in the order path, identity, scope, pace, method (our choice), then work."""
        request, settings = exchange.request, self.settings
        path = request.path
        handlers, argument = self._route(path)
        if handlers is None:
            # A missing last slash: GET is sent there, anything else would lose its body (our choice).
            if request.method == "GET" and self._route(f"{path}/")[0] is not None:
                query = request.query_string.decode("latin-1")
                return redirect(f"{request.base_url}/{'?' if query else ''}{query}", 301)
            raise ApiError(404, f"No such path: {path}")
        caller = self.identities.caller(request.headers.get("Authorization"), settings)
        exchange.caller = caller
        self.identities.check_scope(caller, request.method, path, settings.scope_status)
        self._rate_limit.take(caller.value)
        handler = handlers.get(request.method)
        if handler is None:
            allowed = ", ".join(handlers)
            raise ApiError(405, f"Method {request.method} is not allowed.", headers={"Allow": allowed})
        self.imports.run_due()
        return handler(exchange, argument)

    def _route(self, path: str) -> tuple[Mapping[str, Handler] | None, str]:
        for pattern, handlers in self._routes:
            match = pattern.fullmatch(path)
            if match:
                return handlers, match.group(1)
        return None, ""

    def _data(self, exchange: Exchange, name: str) -> DataPage:
        page = self._retrieval.page(RESOURCES[name], exchange.request)
        exchange.rows = page.rows
        return page

    def _upload(self, exchange: Exchange, name: str) -> Response:
        request, settings = exchange.request, self.settings
        rows = read_rows(RESOURCES[name], request, settings)
        exchange.rows = len(rows)
        run = self.imports.schedule(RESOURCES[name], rows, as_text=request.mimetype == "text/csv")
        # run_id is what S7 shows, response = ok what C2 asks for.
        body = {"run_id": run.run_id, "response": "ok"}
        if settings.upload_body != "both":
            unwanted = "response" if settings.upload_body == "run_id" else "run_id"
            del body[unwanted]
        return _json(body, settings.upload_status)

    def _create_integration(self, exchange: Exchange, _: str) -> Response:
        return _json(self._accounts.create_integration(exchange.request))

    def _create_token(self, exchange: Exchange, _: str) -> Response:
        assert exchange.caller is not None
        return _json(self._accounts.create_token(exchange.request, exchange.caller))

    def _run_status(self, exchange: Exchange, run_id: str) -> Response:
        runs = [run for run in self.imports.log if run.run_id == run_id] if self.settings.run_status else []
        if not runs:
            raise ApiError(404, f"No such path: {exchange.request.path}")
        run = runs[0]
        errors = [{"position": position, "reason": reason} for position, reason in run.errors]
        status = "done" if run.done else "pending"
        return _json({"run_id": run_id, "status": status, "accepted": run.accepted, "errors": errors})

    def _compressed(self, request: Request, response: Response) -> Response:
        if not self.settings.gzip_responses or not request.accept_encodings["gzip"]:
            return response
        body = response.get_data()
        if len(body) >= _LARGE:
            response.set_data(gzip.compress(body, 1))
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Vary"] = "Accept-Encoding"
        return response


def _json(body: Any, status: int = 200) -> Response:
    return Response(json_body(body), status=status, content_type="application/json")


def _hint(caller: Token | None) -> str:
    if caller is None:
        return ""
    # Basic acts as a token without an id, whose value is the user's name.
    return caller.hint if caller.id else caller.value
