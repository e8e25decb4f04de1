"""A retry policy for tasks that talk to Custobar. Needs Airflow 3.3."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError as missing:
    raise ImportError("CustobarRetryPolicy needs Airflow 3.3 or newer, which has retry policies") from missing

from airflow_provider_custobar.api.errors import CustobarError, Fate, RateLimitedError, ResponseError, shorten
from airflow_provider_custobar.api.flow import LONGEST_WAIT_SECONDS, RATE_LIMIT_WAIT_SECONDS

# What Airflow's database has room for.
_LONGEST_REASON = 500


class CustobarRetryPolicy(RetryPolicy):
    """
    Retry what may pass, after the time that the server names; fail at once what will not.

    Final are wrong arguments, bad rows, a wrong token (401), a missing scope (403) and every other answer that trying again
    would only repeat. What comes from elsewhere, such as an object store, is left to the task's ``retries`` and
    ``retry_delay``, or to the next policy of a ``ChainRetryPolicy``.

    .. code-block:: python

        CustobarToS3Operator(..., retries=5, retry_policy=CustobarRetryPolicy())
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
    if isinstance(error, ResponseError) and error.retry_after is not None:
        return timedelta(seconds=min(error.retry_after, LONGEST_WAIT_SECONDS))
    return timedelta(seconds=RATE_LIMIT_WAIT_SECONDS) if isinstance(error, RateLimitedError) else None
