"""Sensors that wait for Custobar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowException, BaseSensorOperator, PokeReturnValue, conf

from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.api.event_check import MATCHES, EventCheck, Match, build_event_check
from airflow_provider_custobar.dag_run import check_period, names_given, period_arguments, refuse_lost_arguments
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.triggers.custobar import DEFAULT_MAX_CONSECUTIVE_FAILURES, CustobarEventTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class CustobarEventSensor(BaseSensorOperator):
    """
    Wait until a window of time holds enough events.

    What was found goes to XCom, by type: ``count`` (it stops at ``min_events``), ``first`` and ``last`` timestamp.

    :param event_types: Types of events, such as ``["MAIL_CLICK"]``. (templated)
    :param date: One day of the tenant's time zone, such as ``{{ ds }}``. (templated)
    :param window_start: Start of the window, included, in place of ``date``. (templated)
    :param window_end: End of the window, not included. (templated)
    :param window: ``auto`` in place of all of these: the period that the DAG run stands for; see
        :func:`~airflow_provider_custobar.dag_run.run_period`.
    :param min_events: How many events are enough. (templated)
    :param match: ``any``: at least one of the types has enough. ``all``: each of them has.
    :param max_consecutive_failures: Failed pokes in a row to give up after, each of them after all of its attempts. A final
        answer, such as 401 or 403, ends the wait at once. (In ``mode="reschedule"`` every poke begins a new count.)
    :param deferrable: Wait in the triggerer and give the worker slot back.
    :param allow_unknown_names: Let event types through that Custobar's documentation does not list.
    :param custobar_conn_id: The Custobar connection id. (templated)
    """

    template_fields: Sequence[str] = (
        "event_types",
        "date",
        "window_start",
        "window_end",
        "min_events",
        "custobar_conn_id",
    )
    ui_color = "#fdebd0"
    _failures = 0

    def __init__(
        self,
        *,
        event_types: str | Sequence[str],
        date: Any = None,
        window_start: Any = None,
        window_end: Any = None,
        window: Literal["auto"] | None = None,
        min_events: int | str = 1,
        match: Match = "any",
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        allow_unknown_names: bool = False,
        custobar_conn_id: str = CustobarHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if match not in MATCHES:
            raise InvalidArgumentError("match", match, f"give one of {', '.join(MATCHES)}")
        self.event_types = event_types
        self.date = date
        self.window_start = window_start
        self.window_end = window_end
        self.window = window
        check_period(date, window_start, window_end, window)
        self.given = names_given(date=date, window_start=window_start, window_end=window_end)
        self.min_events = min_events
        self.match = match
        self.max_consecutive_failures = max_consecutive_failures
        self.deferrable = deferrable
        self.allow_unknown_names = allow_unknown_names
        self.custobar_conn_id = custobar_conn_id

    def execute(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        config = CustobarHook(self.custobar_conn_id).get_config()
        check = self._check(config, context)
        self.defer(
            trigger=CustobarEventTrigger(
                event_types=list(check.queries),
                window_start=check.window.start.isoformat(),
                window_end=check.window.end.isoformat(),
                min_events=check.min_events,
                match=check.match,
                poke_interval=self.poke_interval,
                max_consecutive_failures=self.max_consecutive_failures,
                allow_unknown_names=self.allow_unknown_names,
                custobar_conn_id=self.custobar_conn_id,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )
        raise AssertionError("unreachable: defer() raises")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take over from the trigger."""
        if event["status"] != "success":
            raise AirflowException(event["message"])
        found: dict[str, Any] = event["found"]
        self.log.info("Found %s", found)
        return found

    def poke(self, context: Context) -> PokeReturnValue:
        config = CustobarHook(self.custobar_conn_id).get_config()
        check = self._check(config, context)
        try:
            with CustobarClient(config) as client:
                found = client.check_events(check)
        except CustobarError as error:
            self._failures += 1
            if not error.retriable or self._failures >= self.max_consecutive_failures:
                raise
            self.log.warning("Poke failed (%s in a row): %s", self._failures, error)
            return PokeReturnValue(is_done=False)
        self._failures = 0
        document = found.as_document()
        self.log.info("Found %s: %s", document, "enough" if found.satisfied else "not enough yet")
        return PokeReturnValue(is_done=found.satisfied, xcom_value=document)

    def _check(self, config: ClientConfig, context: Context) -> EventCheck:
        refuse_lost_arguments(self)
        return build_event_check(
            self.event_types,
            **period_arguments(self, context, config.timezone),
            min_events=self.min_events,
            match=self.match,
            allow_unknown_names=self.allow_unknown_names,
            timezone=config.timezone,
            trust_day_filter=config.trust_day_filter,
        )
