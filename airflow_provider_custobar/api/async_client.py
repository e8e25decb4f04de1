"""The asynchronous client, for triggers: the same flows driven with httpx."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from airflow_provider_custobar.api import event_check, flow
from airflow_provider_custobar.api.answers import Reply, no_answer, untrusted
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import CertificateError, ProtocolError, TransportError
from airflow_provider_custobar.api.event_check import EventCheck, EventsFound
from airflow_provider_custobar.api.flow import FlowContext
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.steps import Outcome, Pacer, Request, Wait

log = logging.getLogger(__name__)


class AsyncCustobarClient:
    """One tenant's API over one connection pool; an asynchronous context manager.

    ``sleep`` and ``clock`` are for tests.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._sleep = sleep
        self._context = FlowContext(config, Pacer(config.requests_per_minute), clock)
        self._http = httpx.AsyncClient(
            # Given explicitly, so that no ~/.netrc entry takes its place.
            auth=self._sign,
            timeout=config.timeout,
            verify=_tls(config.verify),
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def pages(self, query: Query, *, after: Position | None = None) -> AsyncIterator[Page]:
        """As :meth:`airflow_provider_custobar.api.client.CustobarClient.pages`; each page is asked for in its turn."""
        steps = flow.pages(self._context, query, after)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration:
                return
            if isinstance(step, (Request, Wait)):
                outcome = await self._perform(step)
            else:
                outcome = None
                yield step

    async def check_events(self, check: EventCheck) -> EventsFound:
        """As :meth:`airflow_provider_custobar.api.client.CustobarClient.check_events`."""
        steps = event_check.check_events(self._context, check)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                found: EventsFound = done.value
                return found
            outcome = await self._perform(step)

    async def _perform(self, step: Request | Wait) -> Outcome:
        if isinstance(step, Request):
            return await self._transfer(step)
        if step.reason:
            log.warning(step.reason)
        await self._sleep(step.seconds)
        return None

    async def _transfer(self, request: Request) -> Outcome:
        try:
            response = await self._http.request(
                request.method, request.url, headers=dict(request.headers), content=request.body
            )
        except httpx.InvalidURL as error:
            raise ProtocolError(f"The server named an address that is no URL ({error}).") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            cause = self.config.redact(f"{type(error).__name__}: {error}")
            if "CERTIFICATE_VERIFY_FAILED" in cause:
                return CertificateError(untrusted(self.config, cause), may_have_arrived=False)
            never_connected = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
            return TransportError(no_answer(self.config, cause), may_have_arrived=not never_connected)
        return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)

    def _sign(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = self.config.authorization
        return request


def _tls(verify: bool | str) -> ssl.SSLContext | bool:
    if isinstance(verify, bool):
        return verify
    is_folder = Path(verify).is_dir()
    return ssl.create_default_context(capath=verify if is_folder else None, cafile=None if is_folder else verify)
