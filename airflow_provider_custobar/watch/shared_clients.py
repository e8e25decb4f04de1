"""One client for everybody in an event loop who asks the same tenant with the same credentials."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from airflow_provider_custobar.api.async_client import AsyncCustobarClient
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.network import tls_context
from airflow_provider_custobar.api.pacing import Pacer


@dataclass
class _Shared:
    pacer: Pacer
    opening: asyncio.Task[None] | None = None
    client: AsyncCustobarClient | None = None
    users: int = 0


# Without users, nothing in the values may refer to their loop: it would never be forgotten.
_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ClientConfig, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(config: ClientConfig) -> AsyncIterator[AsyncCustobarClient]:
    """A client that is open as long as somebody uses it; its connections, its pace and the server's pauses are everybody's.

    The pace outlives the client: who comes after the last user still keeps to a pause that the server asked for.
    """
    by_config = _by_loop.setdefault(asyncio.get_running_loop(), {})
    for other in [each for each, shared in by_config.items() if not shared.users and shared.pacer.is_idle(time.monotonic())]:
        # Such as one with a token that was changed since.
        del by_config[other]
    shared = by_config.setdefault(config, _Shared(Pacer(config.requests_per_minute)))
    shared.users += 1
    try:
        while shared.client is None:
            # Once for all who come meanwhile: to read certificates takes a while, and some of it in the loop's own time.
            shared.opening = shared.opening or asyncio.create_task(_open(shared, config))
            await asyncio.shield(shared.opening)
        yield shared.client
    finally:
        shared.users -= 1
        if not shared.users and shared.client is not None:
            client, shared.client = shared.client, None
            await client.aclose()


async def _open(shared: _Shared, config: ClientConfig) -> None:
    try:
        tls = await asyncio.to_thread(tls_context, config)
        if shared.users:
            shared.client = AsyncCustobarClient(config, pacer=shared.pacer, tls=tls)
    finally:
        shared.opening = None
