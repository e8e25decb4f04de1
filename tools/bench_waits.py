"""What many waits cost the triggerer that has them: ``python -m tools.bench_waits [SECONDS]``.

Five hundred waits in one process, as a triggerer holds them, against the connection ``custobar_default`` or, without one, a
sandbox. Printed as JSON: how many still wait, peak memory in MB, and how long at most other triggers were held up, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import ExitStack
from typing import Any

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from airflow_provider_custobar.triggers.custobar import CustobarEventTrigger
from tools.airflow_home import connection_variables
from tools.memory import peak_mib

WAITS = 500
_PERIOD: dict[str, Any] = {"window_start": "2030-01-01T00:00:00+00:00", "window_end": "2030-01-02T00:00:00+00:00"}


def main(seconds: float) -> None:
    with ExitStack() as stack:
        if "AIRFLOW_CONN_CUSTOBAR_DEFAULT" not in os.environ:
            sandbox = stack.enter_context(CustobarSandbox(SandboxSettings(rate_limit=None), generate=False))
            os.environ |= connection_variables({"custobar_default": sandbox.airflow_connection(requests_per_minute=120)})
        measured = asyncio.run(_wait(seconds))
    # Airflow logs to standard output, too.
    print(f"\n{json.dumps(measured)}")


async def _wait(seconds: float) -> dict[str, float]:
    metering = asyncio.create_task(_longest_block(seconds))
    waits = []
    for _ in range(WAITS):
        waits.append(asyncio.create_task(_wait_once()))
        await asyncio.sleep(0)
    block = await metering
    waiting = sum(not each.done() for each in waits)
    for each in waits:
        each.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return {"waiting": waiting, "memory": round(peak_mib()), "block": round(block, 3)}


async def _wait_once() -> None:
    async for event in CustobarEventTrigger(event_types=["MAIL_CLICK"], poke_interval=1, **_PERIOD).run():
        raise RuntimeError(f"there is nothing to wait for: {event}")


async def _longest_block(seconds: float) -> float:
    """How long the loop kept a sleeper of 5 ms from waking up, at worst.

    On a machine that others use, too, a late sleeper alone proves nothing: as much of it counts as the process worked then.
    """
    longest, ends = 0.0, time.monotonic() + seconds
    while (began := time.monotonic()) < ends:
        worked = time.process_time()
        await asyncio.sleep(0.005)
        longest = max(longest, min(time.monotonic() - began - 0.005, time.process_time() - worked))
    return longest


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
