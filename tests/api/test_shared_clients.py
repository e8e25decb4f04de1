"""Many triggers of one event loop, one client: its connections, its pace and the server's pauses are everybody's."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest

from airflow_provider_custobar.api.async_client import AsyncCustobarClient
from airflow_provider_custobar.api.config import ClientConfig, config_from_connection
from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings
from airflow_provider_custobar.watch import shared_clients
from airflow_provider_custobar.watch.shared_clients import shared_client


@pytest.fixture
def sandbox(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    return custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)


@pytest.fixture
def connect_to(sandbox: CustobarSandbox) -> Callable[..., ClientConfig]:
    """A connection to the sandbox, each time a new object; keyword arguments are extras."""

    def make(token: str | None = None, **extra: Any) -> ClientConfig:
        extra = {"requests_per_minute": 1_000_000, "timeout": 10, **extra}
        return config_from_connection(host=sandbox.url, password=token or sandbox.token, extra=extra)

    return make


async def ask(client: AsyncCustobarClient) -> None:
    async for _ in client.pages(build_query("customers")):
        pass


async def use(config: ClientConfig) -> AsyncCustobarClient:
    """Take part, ask once and leave."""
    async with shared_client(config) as client:
        await ask(client)
        return client


async def is_open(client: AsyncCustobarClient) -> bool:
    try:
        await ask(client)
    except RuntimeError:
        return False
    return True


async def test_all_who_come_at_once_get_one_client(connect_to: Callable[..., ClientConfig]) -> None:
    """Rule: users with equal connections have the same client, also while the first of them is still opening it."""
    everybody = asyncio.Barrier(20)

    async def take_part() -> AsyncCustobarClient:
        async with shared_client(connect_to()) as client:
            await everybody.wait()
            return client

    clients = await asyncio.gather(*(take_part() for _ in range(20)))
    assert len({id(client) for client in clients}) == 1
    assert not await is_open(clients[0])


@pytest.mark.parametrize("fails", [False, True], ids=["in peace", "by error"])
async def test_the_last_one_to_leave_closes_the_client(connect_to: Callable[..., ClientConfig], *, fails: bool) -> None:
    """Rule: whoever leaves, and however, the client stays open for the others; the last one closes it for good."""
    config = connect_to()
    async with shared_client(config) as client:
        async with shared_client(config) as same:
            assert same is client
        if fails:
            with pytest.raises(ZeroDivisionError):
                async with shared_client(config):
                    raise ZeroDivisionError
        assert await is_open(client)
    assert not await is_open(client)
    async with shared_client(config) as another:
        assert another is not client
        assert await is_open(another)


async def test_a_client_that_is_being_closed_is_given_to_nobody(
    connect_to: Callable[..., ClientConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: who comes while the last one is closing the client gets another, which that closing leaves alone."""
    closing, go_on = asyncio.Event(), asyncio.Event()
    close = AsyncCustobarClient.aclose

    async def close_slowly(client: AsyncCustobarClient) -> None:
        closing.set()
        await go_on.wait()
        await close(client)

    monkeypatch.setattr(AsyncCustobarClient, "aclose", close_slowly)
    leaving = asyncio.create_task(use(connect_to()))
    await closing.wait()
    async with shared_client(connect_to()) as client:
        go_on.set()
        assert await leaving is not client
        assert await is_open(client)


@pytest.mark.parametrize(
    "change",
    [
        {"token": "APIOTHER"},
        {"requests_per_minute": 999_999},
        {"timezone": "Europe/Helsinki"},
        {"timeout": 9},
        {"max_attempts": 3},
    ],
    ids=str,
)
async def test_another_connection_has_another_client(connect_to: Callable[..., ClientConfig], change: dict[str, Any]) -> None:
    """Rule: a connection that differs in anything, such as a new token, shares nothing."""
    async with shared_client(connect_to()) as client, shared_client(connect_to(**change)) as other:
        assert other is not client
        assert other.config == connect_to(**change)
    assert not await is_open(client)


async def test_another_event_loop_has_another_client(connect_to: Callable[..., ClientConfig]) -> None:
    """Rule: a loop never gets a client whose connections belong to another one, at the same time or later."""
    others: list[AsyncCustobarClient] = []
    threads = [threading.Thread(target=lambda: others.append(asyncio.run(use(connect_to())))) for _ in range(2)]
    async with shared_client(connect_to()) as client:
        for thread in threads:
            thread.start()
            await asyncio.to_thread(thread.join)
        assert await is_open(client)
    assert len({id(each) for each in [client, *others]}) == 3


async def test_requests_of_all_are_paced_together(connect_to: Callable[..., ClientConfig], sandbox: CustobarSandbox) -> None:
    """Rule: requests_per_minute holds for all users of a connection together."""
    await asyncio.gather(*(use(connect_to(requests_per_minute=1200)) for _ in range(7)))
    times = sorted(record.at for record in sandbox.requests)
    assert len(times) == 7
    assert times[-1] - times[0] >= 0.2, "six times 0.05 s, less the way to the server"


async def test_a_pause_that_one_is_told_holds_for_all(
    connect_to: Callable[..., ClientConfig], sandbox: CustobarSandbox
) -> None:
    """Rule: after Retry-After in an answer to one user nobody asks before its end; who has another token is not concerned."""
    sandbox.faults.add(Fault("status", status=429, retry_after=1))
    other_token = sandbox.create_token(None)
    async with shared_client(connect_to()) as client:
        told = asyncio.create_task(ask(client))
        while not sandbox.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        await asyncio.gather(told, *(use(connect_to()) for _ in range(3)), use(connect_to(other_token)))
    refusal, unconcerned, *paused = sandbox.requests
    assert (refusal.status, unconcerned.status) == (429, 200)
    assert unconcerned.token_hint != refusal.token_hint
    assert len(paused) == 4
    assert min(record.at for record in paused) - refusal.at >= 1


async def test_a_pause_outlives_the_client(connect_to: Callable[..., ClientConfig], sandbox: CustobarSandbox) -> None:
    """Rule: who comes after the last user has left still keeps to the pause that this one was told."""
    sandbox.faults.add(Fault("status", status=429, retry_after=1))
    told = asyncio.create_task(use(connect_to()))
    while not sandbox.requests:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    told.cancel()
    with pytest.raises(asyncio.CancelledError):
        await told
    await use(connect_to())
    refusal, after = sandbox.requests
    assert (refusal.status, after.status) == (429, 200)
    assert after.at - refusal.at >= 1


async def test_a_client_that_cannot_be_opened_may_be_tried_again(
    connect_to: Callable[..., ClientConfig], tmp_path: Path
) -> None:
    """Rule: all who wait for a client that fails to open are told so; once the cause is mended, the connection works."""
    bundle = tmp_path / "authorities.pem"
    bundle.write_text("no certificate", encoding="utf-8")
    config = connect_to(verify=str(bundle))
    failures = await asyncio.gather(*(use(config) for _ in range(3)), return_exceptions=True)
    assert [isinstance(failure, InvalidArgumentError) for failure in failures] == [True] * 3
    bundle.write_text(certifi.contents(), encoding="utf-8")
    assert not await is_open(await use(config))


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_who_is_cancelled_while_opening_takes_nothing_away(
    connect_to: Callable[..., ClientConfig], cancelled: int
) -> None:
    """Rule: whoever of those waiting for a client is cancelled, the others get it, and the last one closes it."""
    tasks = [asyncio.create_task(use(connect_to())) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[cancelled].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    clients = [result for result in results if isinstance(result, AsyncCustobarClient)]
    assert len(clients) == 2
    assert isinstance(results[cancelled], asyncio.CancelledError)
    assert [await is_open(client) for client in clients] == [False, False]


async def test_a_cancellation_is_not_lost_while_connecting(
    connect_to: Callable[..., ClientConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: who is cancelled ends, also where the libraries below take it for their own, as anyio before 4.16 may."""
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def swallowing(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return await send(transport, request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", swallowing)
    asking = asyncio.create_task(use(connect_to()))
    await asyncio.wait([asking])
    assert asking.cancelled()


def test_ended_loops_are_forgotten(make_config: Callable[..., ClientConfig]) -> None:
    """Rule: nothing is kept of an event loop that is gone."""

    async def use() -> None:
        async with shared_client(make_config()):
            await asyncio.sleep(0)

    async def together() -> None:
        await asyncio.gather(use(), use())

    gc.collect()
    before = len(shared_clients._by_loop)
    asyncio.run(together())
    gc.collect()
    assert len(shared_clients._by_loop) == before


async def test_old_connections_are_forgotten(make_config: Callable[..., ClientConfig]) -> None:
    """Rule: a token that was changed is not kept for as long as the triggerer lives, but a pause is kept to its end."""
    for number in range(5):
        async with shared_client(make_config(password=f"APITOKEN{number}")):
            pass
    async with shared_client(make_config(password="APIPAUSED")):
        shared_clients._by_loop[asyncio.get_running_loop()][make_config(password="APIPAUSED")].pacer.hold(time.monotonic() + 60)
    async with shared_client(make_config(password="APILAST")):
        kept = {config.secrets for config in shared_clients._by_loop[asyncio.get_running_loop()]}
    assert kept == {("APIPAUSED", "APIPAUSED"), ("APILAST", "APILAST")}


async def test_one_tls_context_is_made_for_all(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: of those who come while the client is being opened none opens another: reading certificates holds up the loop."""
    sandbox = custobar_sandbox_factory(generate=False)
    config = config_from_connection(host=sandbox.url, password=sandbox.token)
    made: list[Any] = []
    make = shared_clients.tls_context

    def count(of: Any) -> Any:
        made.append(of)
        return make(of)

    monkeypatch.setattr(shared_clients, "tls_context", count)

    async def take_part() -> None:
        async with shared_client(config):
            await asyncio.sleep(0.5)

    await asyncio.gather(*(take_part() for _ in range(50)))
    assert len(made) == 1
