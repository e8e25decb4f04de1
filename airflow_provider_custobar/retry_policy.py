"""A retry policy for tasks that talk to Custobar. Airflow has retry policies from 3.3 on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_custobar.api.errors import CustobarError, Fate, shorten
from airflow_provider_custobar.api.flow import asked_pause
from airflow_provider_custobar.task.compat import RetryDecision, RetryPolicy

# What Airflow's database has room for.
_LONGEST_REASON = 500


class CustobarRetryPolicy(RetryPolicy):
    """
    Retry what may pass, after the time that the server names; fail at once what will not.

    What is final, such as wrong arguments, bad rows, a wrong token (401) or a missing scope (403), Airflow does not retry when
    an operator here raises it; the policy does as much for tasks of your own that use the hook. What comes from elsewhere, such
    as an object store, is left to the task's ``retries`` and ``retry_delay``, or to the next policy of a ``ChainRetryPolicy``.

    .. code-block:: python

        CustobarToS3Operator(..., retries=5, retry_policy=CustobarRetryPolicy())

    On Airflow 3.1 and 3.2, operators and sensors of this package take it and leave it at one warning. Others refuse the
    argument there; give it to them by ``default_args={"retry_policy": CustobarRetryPolicy()}``, where it is passed over.
    """

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        error = _custobar_error(exception)
        if error is None:
            return RetryDecision.default()
        reason = shorten(f"{type(error).__name__} {error.fate.value}: {error}", _LONGEST_REASON)
        return RetryDecision.fail(reason) if error.fate is Fate.FINAL else RetryDecision.retry(_delay(error), reason)

    def serialize(self) -> dict[str, Any]:
        return {"__type": f"{type(self).__module__}.{type(self).__qualname__}"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> CustobarRetryPolicy:
        return cls()


def _custobar_error(exception: BaseException | None) -> CustobarError | None:
    # A sensor that waited in the triggerer raises Airflow's error, because of ours.
    while exception is not None and not isinstance(exception, CustobarError):
        exception = exception.__cause__
    return exception


def _delay(error: CustobarError) -> timedelta | None:
    """What the server asked for; None leaves it to the task's ``retry_delay``."""
    seconds = asked_pause(error)
    return None if seconds is None else timedelta(seconds=seconds)
