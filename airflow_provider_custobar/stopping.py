"""Ending a task when Airflow tells it to stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Stoppable:
    """For operators whose ``execute`` has something to clean up.

    Airflow answers SIGTERM (a task marked failed, a worker that is shut down) by calling ``on_kill`` and lets the task go
    on; five seconds later it kills the process. So ``on_kill`` raises, in the main thread, out of what is being done there.
    ``SystemExit`` passes every ``except Exception``, and Airflow takes it for a failure that may be retried.
    """

    _is_executing = False

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Inside the block, being told to stop raises ``SystemExit``, once."""
        self._is_executing = True
        try:
            yield
        finally:
            self._is_executing = False

    def on_kill(self) -> None:
        if self._is_executing:
            self._is_executing = False
            raise SystemExit("the task was told to stop")
