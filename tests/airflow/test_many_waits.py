"""Five hundred waits in one process, as a triggerer has them: what they cost its event loop, its memory and the API."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings
from airflow_provider_custobar.sandbox.log import RequestRecord
from airflow_provider_custobar.triggers.custobar import CustobarEventTrigger
from tools.memory import peak_mib

pytestmark = pytest.mark.processes

WAITS = 500
LONGEST_BLOCK_SECONDS = 0.2
MOST_MEMORY_MB = 300
MOST_CONNECTIONS = 20
#: Requests are timed where they arrive, on a machine that has other work to do.
LATE_SECONDS = 0.4
#: While five hundred waits begin, each request waits for its turn in the loop.
LATE_AT_FIRST_SECONDS = 1.5


async def longest_block(seconds: float) -> float:
    """How long the loop kept a sleeper of 5 ms from waking up, at worst.

    On a machine that others use, too, a late sleeper alone proves nothing: as much of it counts as the process worked then.
    """
    longest, ends = 0.0, time.monotonic() + seconds
    while (began := time.monotonic()) < ends:
        worked = time.process_time()
        await asyncio.sleep(0.005)
        longest = max(longest, min(time.monotonic() - began - 0.005, time.process_time() - worked))
    return longest


async def wait_many(seconds: float) -> dict[str, float]:
    """Run in a process of its own: the waits, as a triggerer starts them, and what they cost."""

    async def wait() -> None:
        period = {"window_start": "2030-01-01T00:00:00+00:00", "window_end": "2030-01-02T00:00:00+00:00"}
        async for event in CustobarEventTrigger(event_types=["MAIL_CLICK"], poke_interval=1, **period).run():
            raise AssertionError(f"there is nothing to wait for: {event}")

    idle = await longest_block(0.3)
    metering = asyncio.create_task(longest_block(seconds))
    waits = []
    for _ in range(WAITS):
        waits.append(asyncio.create_task(wait()))
        await asyncio.sleep(0)
    block = await metering
    still = sum(not each.done() for each in waits)
    for each in waits:
        each.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    memory = peak_mib()
    return {"idle": idle, "block": block, "memory": memory, "waiting": still}


@dataclass(frozen=True)
class Outcome:
    """``block`` and ``idle`` in seconds, ``memory`` in MB, ``connections`` the most at a time."""

    block: float
    idle: float
    memory: float
    waiting: int
    connections: int
    requests: list[RequestRecord]


def run(sandbox: CustobarSandbox, seconds: float, **extra: Any) -> Outcome:
    """Five hundred waits in a new process, for so long."""
    done, counts = threading.Event(), [0]

    def count() -> None:
        while not done.wait(0.02):
            server = sandbox._server
            assert server is not None
            counts.append(len(server._connections))

    counting = threading.Thread(target=count)
    counting.start()
    try:
        answer = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, str(seconds)],
            env={**os.environ, "AIRFLOW_CONN_CUSTOBAR_DEFAULT": sandbox.airflow_connection(**extra)},
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )
    finally:
        done.set()
        counting.join()
    assert answer.returncode == 0, answer.stderr
    requests = sorted(sandbox.requests, key=lambda request: request.at)
    return Outcome(connections=max(counts), requests=requests, **json.loads(answer.stdout.splitlines()[-1]))


def assert_paced(starts: list[float], per_minute: float, *, late: float) -> None:
    """No stretch of time, however short or long, has more starts than the pace allows."""
    for first, begin in enumerate(starts):
        for count, end in enumerate(starts[first + 1 :], 1):
            assert end - begin >= count * 60 / per_minute - late, (count, [start - starts[0] for start in starts])


def test_five_hundred_waits_leave_room_for_others(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> None:
    """Rule: as many waits as a triggerer takes share one pace, below the server's limit, and block no other trigger."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=180), customers=500, events=20_000, days=3)
    outcome = run(sandbox, 6, requests_per_minute=120)
    assert outcome.waiting == WAITS
    assert {request.status for request in outcome.requests} == {200}
    assert 9 <= len(outcome.requests) <= 14
    starts = [request.at for request in outcome.requests]
    assert_paced(starts, 120, late=LATE_AT_FIRST_SECONDS)
    assert_paced(starts[4:], 120, late=LATE_SECONDS)
    assert outcome.memory < MOST_MEMORY_MB
    assert outcome.connections <= MOST_CONNECTIONS
    blocks = [outcome.block]
    # All that is heavy happens at the start. Who shares the machine slows that down, too, so it may be tried again.
    while blocks[-1] >= LONGEST_BLOCK_SECONDS and len(blocks) < 3:
        blocks.append(run(sandbox, 2, requests_per_minute=120).block)
    assert blocks[-1] < LONGEST_BLOCK_SECONDS, (blocks, outcome.idle)


def test_a_pause_of_the_server_holds_all_of_them(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> None:
    """Rule: one 429 stops all waits until Retry-After is over, after which they go on at their pace and not in a burst."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    sandbox.faults.add(Fault("status", status=429, retry_after=2, after=10))
    outcome = run(sandbox, 5, requests_per_minute=600)
    (refused,) = (request.at for request in outcome.requests if request.status == 429)
    after = [request.at - refused for request in outcome.requests if request.at > refused]
    # What had been sent when the answer came; without the pause, there would be twenty in that time.
    on_their_way = [seconds for seconds in after if seconds < 1.95]
    assert len(on_their_way) <= 2
    assert not [seconds for seconds in on_their_way if seconds > 0.5]
    assert len(after) >= 5
    assert_paced([request.at for request in outcome.requests], 600, late=LATE_SECONDS)
    assert outcome.waiting == WAITS


def test_slow_answers_take_no_more_connections(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> None:
    """Rule: however slow the server, all waits together hold no more than twenty of its connections."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    sandbox.faults.add(Fault("delay", seconds=1.5, times=None))
    outcome = run(sandbox, 2, requests_per_minute=3000)
    assert outcome.connections == MOST_CONNECTIONS
    assert outcome.waiting == WAITS


if __name__ == "__main__":
    # Airflow logs to standard output, too.
    measured = asyncio.run(wait_many(float(sys.argv[1])))
    sys.stdout.write(f"\n{json.dumps(measured)}\n")


async def wait_for_a_while(waits: int, seconds: float) -> None:
    async def wait() -> None:
        period = {"window_start": "2030-01-01T00:00:00+00:00", "window_end": "2030-01-02T00:00:00+00:00"}
        await anext(aiter(CustobarEventTrigger(event_types=["MAIL_CLICK"], poke_interval=60, **period).run()))

    tasks = [asyncio.create_task(wait()) for _ in range(waits)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def slow(custobar_sandbox_factory: Callable[..., CustobarSandbox], monkeypatch: pytest.MonkeyPatch) -> CustobarSandbox:
    """The first twenty answers take 4 s, all others none."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    monkeypatch.setenv("AIRFLOW_CONN_CUSTOBAR_DEFAULT", sandbox.airflow_connection(requests_per_minute=600, max_attempts=1))
    sandbox.faults.add(Fault("delay", seconds=4, times=20))
    return sandbox


async def test_who_waited_for_a_connection_keeps_to_the_pace(slow: CustobarSandbox) -> None:
    """Rule: when a server that was slow answers again, those who waited for a connection go on at the pace, in no burst."""
    await wait_for_a_while(100, 6)
    starts = sorted(request.at for request in slow.requests)
    for first, begin in enumerate(starts):
        for count, end in enumerate(starts[first + 1 :], 1):
            assert end - begin >= count * 0.1 - 0.25, (count, [round(start - starts[0], 2) for start in starts])


async def test_who_waited_for_a_connection_keeps_to_a_pause(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: a 429 holds those, too, who had their turn but no connection yet."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    monkeypatch.setenv("AIRFLOW_CONN_CUSTOBAR_DEFAULT", sandbox.airflow_connection(requests_per_minute=2400, max_attempts=1))
    # Each answer takes a second, also that 429: twenty connections let half of the pace through, so some wait for one.
    sandbox.faults.add(Fault("delay", seconds=1, times=None))
    sandbox.faults.add(Fault("status", status=429, retry_after=3, after=30))
    await wait_for_a_while(200, 6)
    requests = sorted(sandbox.requests, key=lambda request: request.at)
    (refused,) = (request.at + 1 for request in requests if request.status == 429)
    early = [round(request.at - refused, 2) for request in requests if 0.2 < request.at - refused < 2.9]
    assert not early
