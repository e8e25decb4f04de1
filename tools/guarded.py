"""``python -m tools.guarded COMMAND``: run a command that does not outlive the process which holds this one's standard input.

A process that is killed closes its pipes, whatever it had no time for. The kernel's signal to children of a dead parent reaches
direct children only, and Airflow has many more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

_is_over = threading.Event()


def _kill_all_at_end_of_input() -> None:
    os.read(sys.stdin.fileno(), 1)
    _is_over.set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    # Those whose own parent has gone already.
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    # It ends when the command does, which gets the same signals: both are in one group, of which this process is the first.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    killer = threading.Thread(target=_kill_all_at_end_of_input, daemon=True)
    killer.start()
    code = process.wait()
    if _is_over.is_set():
        # The command was but the first to be killed.
        killer.join()
    return code


if __name__ == "__main__":
    sys.exit(main())
