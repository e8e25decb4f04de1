"""How much memory a process has had."""

from __future__ import annotations

import re
from pathlib import Path


def peak_mib() -> float:
    """The most that this process has had resident, in MiB.

    Not what ``getrusage`` says, which begins with the peak of the process that started this one.
    """
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib) / 1024
