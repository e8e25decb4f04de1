"""Five hundred waits in one process, as a triggerer has them: what they cost its memory and the API.

Requests are timed where they arrive, on a machine that has other work to do. So what is asserted of them is how many come at
once: five or ten times as many as the pace allows are a burst, and without a pace there would be hundreds.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings
from airflow_provider_custobar.sandbox.log import RequestRecord
from airflow_provider_custobar.triggers.custobar import CustobarEventTrigger
from tools.bench_waits import WAITS

pytestmark = pytest.mark.processes

MOST_MEMORY_MB = 300
MOST_CONNECTIONS = 20


@dataclass(frozen=True)
class Outcome:
    """``memory`` in MB, ``connections`` the most at a time, ``starts`` when requests arrived, in seconds."""

    memory: float
    waiting: int
    connections: int
    requests: list[RequestRecord]

    @property
    def starts(self) -> list[float]:
        return [request.at for request in self.requests]


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
            [sys.executable, "-W", "ignore", "-m", "tools.bench_waits", str(seconds)],
            env={**os.environ, "AIRFLOW_CONN_CUSTOBAR_DEFAULT": sandbox.airflow_connection(**extra)},
            text=True,
            capture_output=True,
            check=False,
        )
    finally:
        done.set()
        counting.join()
    assert answer.returncode == 0, answer.stderr
    measured = json.loads(answer.stdout.splitlines()[-1])
    requests = sorted(sandbox.requests, key=lambda request: request.at)
    return Outcome(measured["memory"], measured["waiting"], max(counts), requests)


def most_in_a_second(starts: list[float]) -> int:
    return max(bisect_right(starts, start + 1) - number for number, start in enumerate(starts))


def test_five_hundred_waits_leave_room_for_others(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> None:
    """Rule: as many waits as a triggerer takes share one pace, below the server's limit, and little memory."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=180), generate=False)
    outcome = run(sandbox, 5, requests_per_minute=120)
    assert outcome.waiting == WAITS
    assert {request.status for request in outcome.requests} == {200}
    assert len(outcome.requests) > 1
    assert most_in_a_second(outcome.starts) <= 10
    assert outcome.memory < MOST_MEMORY_MB
    assert outcome.connections <= MOST_CONNECTIONS


def test_a_pause_of_the_server_holds_all_of_them(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> None:
    """Rule: one 429 stops all waits until Retry-After is over, after which they go on at their pace and not in a burst."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    sandbox.faults.add(Fault("status", status=429, retry_after=2, after=10))
    outcome = run(sandbox, 5, requests_per_minute=600)
    (refused,) = (request.at for request in outcome.requests if request.status == 429)
    after = [start - refused for start in outcome.starts if start > refused]
    # What had been sent when the answer came; without the pause, there would be twenty in that time.
    assert len([seconds for seconds in after if seconds < 1.9]) <= 5
    assert [seconds for seconds in after if seconds >= 1.9]
    assert most_in_a_second(outcome.starts) <= 30
    assert outcome.waiting == WAITS


def test_slow_answers_take_no_more_connections(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> None:
    """Rule: however slow the server, all waits together hold no more than twenty of its connections."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    sandbox.faults.add(Fault("delay", seconds=1.5, times=None))
    outcome = run(sandbox, 2, requests_per_minute=3000)
    assert outcome.connections == MOST_CONNECTIONS
    assert outcome.waiting == WAITS


async def wait_for_a_while(waits: int, seconds: float) -> None:
    async def wait() -> None:
        period = {"window_start": "2030-01-01T00:00:00+00:00", "window_end": "2030-01-02T00:00:00+00:00"}
        await anext(aiter(CustobarEventTrigger(event_types=["MAIL_CLICK"], poke_interval=60, **period).run()))

    tasks = [asyncio.create_task(wait()) for _ in range(waits)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_waited_for_a_connection_keeps_to_the_pace(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: when a server that was slow answers again, those who waited for a connection go on at the pace, in no burst."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    monkeypatch.setenv("AIRFLOW_CONN_CUSTOBAR_DEFAULT", sandbox.airflow_connection(requests_per_minute=600, max_attempts=1))
    # Twenty connections are taken for 4 s, in which forty requests are due.
    sandbox.faults.add(Fault("delay", seconds=4, times=20))
    await wait_for_a_while(100, 6)
    starts = sorted(request.at for request in sandbox.requests)
    assert len(starts) > 20
    # A burst would be the twenty that were due meanwhile, beside those of that second.
    assert most_in_a_second(starts) <= 25


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
    refused = [request.at for request in sandbox.requests if request.status == 429]
    assert len(refused) == 1
    # The answer leaves a second later, and may be read half a second after that. Forty a second would come in the two left.
    early = [request.at for request in sandbox.requests if 1.5 < request.at - refused[0] < 3.9]
    assert early == []
