"""One run of one contestant, alone in a new process: ``python -m tools.bench.job ORDER ANSWER_FILE``.

Imports come first and are not measured; nothing is warmed up. CPU time is that of this process with all its threads, and of
its children. Peak memory is what the kernel saw (``VmHWM``, set back after the imports), above what the imports take.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tools.bench.order import Order

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS = Path("/proc/self/status")


class Contestant(Protocol):
    """A module of ``contestants``."""

    def prepare(self, order: Order) -> Callable[[], object]:
        """Import all that the work needs, and return the work."""


def _memory(name: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _cpu_seconds() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def main(order: Order) -> dict[str, float]:
    contestant: Contestant = importlib.import_module(f"tools.bench.contestants.{order.contestant}")
    work = contestant.prepare(order)
    with contextlib.suppress(OSError):  # where the kernel refuses, the highest of the imports counts as well
        Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    if order.file_format == "parquet" and order.contestant != "floor":
        # Part of what a Parquet file takes in memory, but an import all the same, so not in its time.
        importlib.import_module("pyarrow.parquet")
        importlib.import_module("pyarrow.csv")
    cpu, began = _cpu_seconds(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    return {"wall_seconds": wall, "cpu_seconds": cpu, "peak_bytes": _memory("VmHWM") - before}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(Order.from_json(sys.argv[1]))))
