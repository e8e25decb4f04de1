"""What every task does around its work: refuse lost arguments, stop when told to, fail for good where retries are in vain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_custobar.api.errors import CustobarError, Fate
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.task.compat import TakesRetryPolicy
from airflow_provider_custobar.task.rendered import Rendered


class CustobarTask(Rendered, TakesRetryPolicy):
    """
    For operators and sensors, in front of Airflow's own class; their ``execute`` does all its work in :meth:`executing`.

    Airflow answers SIGTERM (a task marked failed, a worker that is shut down) by calling ``on_kill`` and lets the task go
    on; five seconds later it kills the process. So ``on_kill`` raises, in the main thread, out of what is being done there.
    ``SystemExit`` passes every ``except Exception``, and Airflow takes it for a failure that may be retried.
    """

    log: Any
    _is_executing = False

    @contextmanager
    def executing(self) -> Iterator[None]:
        """
        Inside the block, being told to stop raises ``SystemExit``, once.

        An error that is final leaves it as an ``AirflowFailException`` as well, which Airflow does not retry.

        :raises InvalidArgumentError: at once, where a template rendered to nothing.
        """
        self._is_executing = True
        try:
            self.refuse_lost_arguments()
            yield
        except CustobarError as error:
            self.tell_failure(error)
            if error.fate is Fate.FINAL:
                # Not another error because of this one: what it is, and what it knows, stays for who catches or logs it.
                kind: Any = type(error)
                error.__class__ = _not_retried(kind)
            raise
        finally:
            self._is_executing = False

    def tell_failure(self, error: CustobarError) -> None:
        """Airflow's log has the message in one line, behind a traceback: a long one is told in lines that can be read, too."""
        text = str(error)
        if (lines := in_lines(text)) != text:
            self.log.error("%s", lines)

    def on_kill(self) -> None:
        if self._is_executing:
            self._is_executing = False
            raise SystemExit("the task was told to stop")


@cache
def _not_retried(kind: Any) -> Any:
    """``kind`` for Airflow's eyes; under its own name, since that is what the log shows."""
    if issubclass(kind, AirflowFailException):
        return kind
    return type(kind.__name__, (kind, AirflowFailException), {"__module__": kind.__module__, "__doc__": kind.__doc__})
