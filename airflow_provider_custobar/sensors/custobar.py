"""Sensors that wait for Custobar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import CustobarError, Fate
from airflow_provider_custobar.api.flow import asked_pause
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.task.compat import TRIGGERS_RENDER_TEMPLATES, say_once
from airflow_provider_custobar.task.execution import CustobarTask
from airflow_provider_custobar.task.run_period import check_period, period_arguments
from airflow_provider_custobar.triggers.custobar import DEFAULT_MAX_CONSECUTIVE_FAILURES, CustobarEventTrigger
from airflow_provider_custobar.watch.event_check import (
    EventCheck,
    EventsFound,
    Match,
    WaitFor,
    build_event_check,
    check_events,
    check_words,
    counts_in_words,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class CustobarEventSensor(CustobarTask, BaseSensorOperator):
    """
    Wait until a window of time holds enough events, or until it is complete.

    What was found goes to XCom, by type: ``count`` (it stops at ``min_events``), ``first`` and ``last`` timestamp of those
    counted. A poke is one small request for each type, newest events first, and ends with the type that decides.

    :param event_types: Types of events, such as ``["MAIL_CLICK"]``. (templated)
    :param date: One day of the tenant's time zone, such as ``{{ ds }}``. (templated)
    :param window_start: Start of the window, included, in place of ``date``. (templated)
    :param window_end: End of the window, not included. (templated)
    :param window: ``auto`` in place of all of these: the period that the DAG run stands for; see
        :func:`~airflow_provider_custobar.task.run_period.run_period`.
    :param min_events: How many events are enough. (templated)
    :param match: ``any``: at least one of the types has enough. ``all``: each of them has.
    :param filters: Further filters of the API, by name; Custobar documents none for events beside type and date. (templated)
    :param wait_for: ``events``, or ``complete``: until the window is over and an event later than its end has been seen
        (of any or of all types), or ``settle`` has passed since.
    :param settle: How long after its end a window counts as complete without a later event; a timedelta or seconds.
    :param max_consecutive_failures: Failed pokes in a row to give up after, each of them after all of its attempts. A final
        answer, such as 401, 403 or 404, ends the wait at once. (In ``mode="reschedule"`` every poke begins a new count.)
    :param deferrable: Wait in the triggerer and give the worker slot back, after one look in the worker, without a second
        attempt: where the events are there already, the task succeeds at once.
    :param start_from_trigger: Begin in the triggerer, without any worker; implies ``deferrable``. Templates are rendered there,
        without the DAG's own macros. Needs Airflow 3.3, without which the task defers from a worker. Mapped tasks do so, too.
    :param end_from_trigger: Let the triggerer end the task when the wait succeeds, without a worker. Airflow then serves no
        outlets, and writes what was found to XCom as a JSON text.
    :param allow_unknown_names: Let event types and filters through that Custobar's documentation does not list.
    :param custobar_conn_id: The Custobar connection id. (templated)
    """

    template_fields: Sequence[str] = (
        "event_types",
        "date",
        "window_start",
        "window_end",
        "min_events",
        "filters",
        "custobar_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"filters": "json"}
    ui_color = "#fdebd0"
    # Airflow reads both of the class for mapped tasks, which it cannot start in the triggerer.
    start_trigger_args: StartTriggerArgs | None = None
    start_from_trigger = False
    _failures = 0
    _pacer: Pacer | None = None

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
        filters: Mapping[str, Any] | None = None,
        wait_for: WaitFor = "events",
        settle: timedelta | float = timedelta(hours=1),
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        allow_unknown_names: bool = False,
        custobar_conn_id: str = CustobarHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.event_types = event_types
        self.date = date
        self.window_start = window_start
        self.window_end = window_end
        self.window = window
        check_period(date, window_start, window_end, window)
        self.min_events = min_events
        self.match = match
        self.filters = filters
        self.wait_for = wait_for
        self.settle = settle.total_seconds() if isinstance(settle, timedelta) else float(settle)
        check_words(match, wait_for, self.settle)
        self.max_consecutive_failures = max_consecutive_failures
        self.deferrable = deferrable or start_from_trigger
        self._needs_worker = start_from_trigger and not TRIGGERS_RENDER_TEMPLATES
        self.end_from_trigger = end_from_trigger
        self.allow_unknown_names = allow_unknown_names
        self.custobar_conn_id = custobar_conn_id
        if start_from_trigger and TRIGGERS_RENDER_TEMPLATES:
            self.start_from_trigger = True
            self.start_trigger_args = StartTriggerArgs(
                trigger_cls=f"{CustobarEventTrigger.__module__}.{CustobarEventTrigger.__qualname__}",
                trigger_kwargs=self._trigger_arguments(
                    date=date, window_start=window_start, window_end=window_end, window=window
                ),
                next_method="execute_complete",
                next_kwargs=None,
                timeout=timedelta(seconds=self.timeout),
            )

    def execute(self, context: Context) -> Any:
        with self.executing():
            return self._look_and_defer(context) if self.deferrable else super().execute(context)

    def _look_and_defer(self, context: Context) -> dict[str, Any]:
        if self._needs_worker:
            say_once("start_from_trigger needs Airflow 3.3, whose triggerer renders templates: deferring from a worker")
        config = CustobarHook(self.custobar_conn_id).get_config()
        check = self._check(config, context)
        # The triggerer keeps a pace of its own, which knows nothing of this request.
        pause = max(self.poke_interval, 60.0 / config.requests_per_minute)
        try:
            # A worker is not to wait for a better answer: that is what the triggerer is for.
            found = self._look(replace(config, max_attempts=1), check)
            if found.satisfied:
                return found.as_document()
        except CustobarError as error:
            if error.fate is Fate.FINAL:
                self._give_up(error)
            pause = max(pause, asked_pause(error) or 0.0)
            self.log.warning("%s", in_lines(f"The first look failed, and the triggerer goes on: {error}"))
        self.defer(
            trigger=CustobarEventTrigger(
                **self._trigger_arguments(window_start=check.window.start.isoformat(), window_end=check.window.end.isoformat()),
                not_before=(datetime.now(UTC) + timedelta(seconds=pause)).isoformat(),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )
        raise AssertionError("unreachable: defer() raises")

    def _look(self, config: ClientConfig, check: EventCheck) -> EventsFound:
        # One pace over all looks, however short the interval between them.
        self._pacer = self._pacer or Pacer(config.requests_per_minute)
        with CustobarHook.client_of(config, pacer=self._pacer) as client:
            found = client.exchange(partial(check_events, check=check, now=datetime.now(UTC)))
        self.log.info("%s", in_lines(str(found)))
        return found

    def _give_up(self, error: CustobarError) -> NoReturn:
        self._skip_if_wanted(error)
        raise error

    def _skip_if_wanted(self, error: CustobarError) -> None:
        # Airflow asks for never_fail where it pokes, not where a sensor defers, nor, before 3.2, where it resumes.
        for name in ("soft_fail", "never_fail"):
            if getattr(self, name):
                raise AirflowSkipException(f"Skipped, because {name} is set: {error}") from error

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any] | None:
        """Take over from the trigger."""
        if not isinstance(event, Mapping):
            # dag.test() resumes a task that its trigger has ended; what was found went to XCom, or nowhere.
            return None
        if event["status"] != "success":
            error = errors.from_document(event["error"])
            self.tell_failure(error)
            self._skip_if_wanted(error)
            # A final error is not retried.
            raise (AirflowFailException if error.fate is Fate.FINAL else AirflowException)(str(error)) from error
        found: dict[str, Any] = event["found"]
        counts = counts_in_words({name: each["count"] for name, each in found.items()}, self.min_events)
        self.log.info("%s", in_lines(f"The wait is over: {counts or 'the window is complete'}"))
        return found

    def poke(self, context: Context) -> PokeReturnValue:
        config = CustobarHook(self.custobar_conn_id).get_config()
        try:
            found = self._look(config, self._check(config, context))
        except CustobarError as error:
            self._failures += 1
            if error.fate is Fate.FINAL or self._failures >= self.max_consecutive_failures:
                self._give_up(error)
            self.log.warning("%s", in_lines(f"Poke failed ({self._failures} in a row): {error}"))
            return PokeReturnValue(is_done=False)
        self._failures = 0
        return PokeReturnValue(is_done=found.satisfied, xcom_value=found.as_document())

    def _check(self, config: ClientConfig, context: Context) -> EventCheck:
        return build_event_check(
            self.event_types,
            **period_arguments(self, context, config.timezone),
            min_events=self.min_events,
            match=self.match,
            filters=self.filters,
            wait_for=self.wait_for,
            settle=self.settle,
            allow_unknown_names=self.allow_unknown_names,
            timezone=config.timezone,
            trust_day_filter=config.trust_day_filter,
        )

    def _trigger_arguments(self, **period: Any) -> dict[str, Any]:
        return {
            **period,
            "event_types": self.event_types,
            "min_events": self.min_events,
            "match": self.match,
            "filters": self.filters,
            "wait_for": self.wait_for,
            "settle": self.settle,
            "poke_interval": self.poke_interval,
            "exponential_backoff": bool(self.exponential_backoff),
            "max_wait": self.max_wait.total_seconds() if self.max_wait is not None else None,
            "max_consecutive_failures": self.max_consecutive_failures,
            "end_from_trigger": self.end_from_trigger,
            "allow_unknown_names": self.allow_unknown_names,
            "custobar_conn_id": self.custobar_conn_id,
        }
