"""One client for everybody in an event loop who asks the same tenant with the same credentials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from airflow_provider_custobar.api.async_client import AsyncCustobarClient, tls_context
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.steps import Pacer


@dataclass
class _Shared:
    pacer: Pacer
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    client: AsyncCustobarClient | None = None
    users: int = 0


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ClientConfig, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(config: ClientConfig) -> AsyncIterator[AsyncCustobarClient]:
    """A client that is open as long as somebody uses it; its connections, its pace and the server's pauses are everybody's.

    The pace outlives the client: who comes after the last user still keeps to a pause that the server asked for.
    """
    shared = _by_loop.setdefault(asyncio.get_running_loop(), {}).get(config)
    if shared is None:
        shared = _by_loop[asyncio.get_running_loop()][config] = _Shared(Pacer(config.requests_per_minute))
    shared.users += 1
    try:
        async with shared.opening:
            if shared.client is None:
                tls = await asyncio.to_thread(tls_context, config)
                shared.client = AsyncCustobarClient(config, pacer=shared.pacer, tls=tls)
        yield shared.client
    finally:
        shared.users -= 1
        if not shared.users and shared.client is not None:
            client, shared.client = shared.client, None
            await client.aclose()
