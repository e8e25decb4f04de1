"""The asynchronous client, for triggers: the same flows driven with httpx."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx

from airflow_provider_custobar.api import paging
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.content_encoding import ACCEPT_ENCODING, Body, BodyError
from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.flow import Exchange, FlowContext
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.api.messages import Outcome, Request, Wait
from airflow_provider_custobar.api.network import Proxy, network_of, tls_context
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.responses import Response

T = TypeVar("T")
YieldT = TypeVar("YieldT")

log = logging.getLogger(__name__)

#: Hundreds of triggers share a client, and the API one rate limit: more at once would only wait at its door.
_MOST_CONNECTIONS = 20
# Reading a page takes some 10 ms a megabyte, during which no other trigger would run.
_LARGE_BYTES = 128 * 1024


@dataclass(frozen=True)
class _Done(Generic[T]):
    """A flow has ended, and returned ``value``."""

    value: T


class AsyncCustobarClient:
    """One tenant's API over one connection pool; an asynchronous context manager.

    ``tls`` is what :func:`~airflow_provider_custobar.api.network.tls_context` makes, for who must not wait for it here.
    ``sleep`` and ``clock`` are for tests.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        pacer: Pacer | None = None,
        tls: ssl.SSLContext | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._sleep = sleep
        self._context = FlowContext(config, pacer or Pacer(config.requests_per_minute), clock)
        self._free_connections = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._sending = Pacer(config.requests_per_minute)
        self._network = network_of(config)
        tls = tls or tls_context(config)
        # A connection is used once: httpx takes bytes that are left over from one answer for the beginning of the next.
        limits = httpx.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=0)
        self._http = httpx.AsyncClient(
            # Given explicitly, so that no ~/.netrc entry takes its place.
            auth=self._sign,
            headers={"Accept-Encoding": ACCEPT_ENCODING},
            # A connection comes free when its request ends, and each of these has a timeout.
            timeout=httpx.Timeout(config.timeout, pool=None),
            limits=limits,
            verify=tls,
            # What the environment says is in these two.
            trust_env=False,
            mounts={place: _through(self._network.proxy_for(place), tls, limits) for place in config.places()},
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
        pages: AsyncIterator[Page] = self._run(paging.pages(self._context, query, after))
        async for page in pages:
            yield page

    async def stream(
        self, flow: Callable[[FlowContext], Generator[Request | Wait | YieldT, Outcome, None]]
    ) -> AsyncIterator[YieldT]:
        """What ``flow`` hands on between its requests and waits.

        :raises CustobarError: the last failure.
        """
        async for item in self._run(flow(self._context)):
            yield item

    async def exchange(self, flow: Callable[[FlowContext], Exchange[T]]) -> T:
        """As :meth:`airflow_provider_custobar.api.driver.Driver.exchange`."""
        steps = flow(self._context)
        outcome: Outcome = None
        while True:
            step = await _advance(steps, outcome)
            if isinstance(step, _Done):
                return step.value
            outcome = await self._perform(step)

    async def _run(self, steps: Generator[Request | Wait | YieldT, Outcome, None]) -> AsyncIterator[YieldT]:
        outcome: Outcome = None
        while True:
            step = await _advance(steps, outcome)
            if isinstance(step, _Done):
                return
            outcome = None
            if isinstance(step, (Request, Wait)):
                outcome = await self._perform(step)
            else:
                yield step

    async def _perform(self, step: Request | Wait) -> Outcome:
        if isinstance(step, Request):
            return await self._transfer(step)
        if step.reason:
            log.warning("%s", in_lines(step.reason))
        await self._sleep(step.seconds)
        return None

    async def _transfer(self, request: Request) -> Outcome:
        async with self._free_connections:
            await self._keep_pace()
            task = asyncio.current_task()
            cancelled_before = task.cancelling() if task else 0
            outcome = await self._exchange(request)
            if task and task.cancelling() > cancelled_before:
                # anyio before 4.16 may swallow what arrives just when it has connected (its issue 1214).
                raise asyncio.CancelledError
            return outcome

    async def _keep_pace(self) -> None:
        """Who had to wait for a connection is late for its start. Without this, all of them would go at once after a server
        that was slow, and in a pause that it asked for.
        """
        pacer, clock = self._context.pacer, self._context.clock
        while True:
            delay = self._sending.reserve(clock())
            if delay > 0:
                await self._sleep(delay)
            pause = pacer.pause_left(clock())
            if pause <= 0:
                return
            await self._sleep(pause)

    async def _exchange(self, request: Request) -> Outcome:
        try:
            async with self._http.stream(
                request.method, request.url, headers=dict(request.headers), content=request.body
            ) as response:
                return await self._read(request, response)
        except httpx.InvalidURL as error:
            raise ProtocolError(f"The server named an address that is no URL ({error}).") from None
        except httpx.TransportError as error:
            never_connected = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))
            return self._network.error(request.url, f"{type(error).__name__}: {error}", may_have_arrived=not never_connected)

    async def _read(self, request: Request, response: httpx.Response) -> Outcome:
        """The whole answer, of which the head is there."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            body = Body(headers, response.status_code)
            async for piece in response.aiter_raw():
                body.write(piece)
            return Response(response.status_code, headers, body.whole(), is_ended=body.is_ended)
        except (BodyError, httpx.TransportError) as error:
            if response.status_code >= 300:
                # The status says more than the body would.
                return Response(response.status_code, headers, b"")
            return self._network.error(request.url, f"{type(error).__name__}: {error}", may_have_arrived=True)

    def _sign(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = self.config.authorization
        return request


def _through(proxy: Proxy | None, tls: ssl.SSLContext, limits: httpx.Limits) -> httpx.AsyncHTTPTransport | None:
    """What sends through ``proxy``; None for the client's own way, which is straight on."""
    if proxy is None:
        return None
    # To httpx both kinds of SOCKS 5 are one, and its older versions know only this name.
    url = proxy.url.replace("socks5h://", "socks5://", 1)
    way = httpx.Proxy(url, ssl_context=tls if url.startswith("https") else None)
    return httpx.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits, proxy=way)


async def _advance(steps: Generator[YieldT, Outcome, T], outcome: Outcome) -> YieldT | _Done[T]:
    """The flow's next step. A large answer is read beside the event loop."""
    if isinstance(outcome, Response) and len(outcome.body) > _LARGE_BYTES:
        return await asyncio.to_thread(_next_step, steps, outcome)
    return _next_step(steps, outcome)


def _next_step(steps: Generator[YieldT, Outcome, T], outcome: Outcome) -> YieldT | _Done[T]:
    # A thread cannot pass StopIteration on.
    try:
        return steps.send(outcome)
    except StopIteration as done:
        return _Done(done.value)
