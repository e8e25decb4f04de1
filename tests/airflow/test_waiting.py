"""The event sensor and its trigger, against a running sandbox."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.models.trigger import Trigger
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException, TaskDeferred
from airflow.sdk import DAG
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import StartTriggerArgs, TaskSuccessEvent

from airflow_provider_custobar.api import flow
from airflow_provider_custobar.api.errors import AccessDeniedError, InvalidArgumentError, ServerError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.task.compat import TRIGGERS_RENDER_TEMPLATES
from airflow_provider_custobar.triggers.custobar import CustobarEventTrigger
from tools.waiting import wait_until

DAY = "2026-02-10"
PERIOD = {"window_start": "2026-02-10T00:00:00+00:00", "window_end": "2026-02-11T00:00:00+00:00"}
#: Starts are counted where they arrive; a thread that gets no processor makes one look late. Without a pace, the six requests
#: of each test would arrive within a tenth of a second.
LATE_SECONDS = 0.8
STARTS_IN_TRIGGERER = pytest.mark.skipif(not TRIGGERS_RENDER_TEMPLATES, reason="Airflow 3.3 has it")
EVENT = {"type": "BROWSE", "date": f"{DAY}T12:00:00Z", "customer_id": "1"}


@pytest.fixture
def quiet_tenant(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Callable[[str, str], None]
) -> CustobarSandbox:
    """A tenant without any events yet."""
    sandbox = custobar_sandbox_factory(generate=False)
    connect("custobar_default", sandbox.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    return sandbox


def sensor(**arguments: Any) -> CustobarEventSensor:
    return CustobarEventSensor(task_id="wait", **{"event_types": ["BROWSE"], "date": DAY, **arguments})


async def deferred(operator: CustobarEventSensor) -> dict[str, Any]:
    """What Airflow does with a deferred task: serialise the trigger, build it anew, run it to its first event."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute({})
    assert caught.value.timeout == timedelta(seconds=operator.timeout)
    return await fired(caught.value)


async def fired(caught: TaskDeferred) -> dict[str, Any]:
    path, arguments = caught.trigger.serialize()
    trigger = import_string(path)(**arguments)
    assert trigger.serialize() == (path, arguments)
    event = await anext(aiter(trigger.run()))
    return dict(event.payload)


def test_poke_counts_what_the_window_holds(quiet_tenant: CustobarSandbox) -> None:
    """Rule: events on the days around the window, which the API sends along, do not count."""
    neighbours = [{**EVENT, "date": "2026-02-09T23:59:59Z"}, {**EVENT, "date": "2026-02-11T00:00:00Z"}]
    quiet_tenant.load("events", neighbours)
    assert not sensor().poke({}).is_done
    quiet_tenant.load("events", [EVENT])
    result = sensor().poke({})
    assert result.is_done
    assert result.xcom_value == {"BROWSE": {"count": 1, "first": EVENT["date"], "last": EVENT["date"]}}


@pytest.mark.parametrize(
    ("match", "min_events", "done"), [("any", 2, True), ("any", 3, False), ("all", 1, True), ("all", 2, False)]
)
def test_any_and_all(quiet_tenant: CustobarSandbox, match: str, min_events: int, done: bool) -> None:
    """Rule: ``any`` wants one type with enough events, ``all`` wants each of them to have enough."""
    quiet_tenant.load("events", [EVENT, EVENT, {**EVENT, "type": "MAIL_OPEN"}])
    result = sensor(event_types=["MAIL_OPEN", "BROWSE"], match=match, min_events=min_events).poke({})
    assert result.is_done is done


def test_a_poke_asks_for_no_more_than_it_needs(tenant: CustobarSandbox) -> None:
    """Rule: a poke is one small request, not a download, and ends once the answer is known."""
    sensor(event_types=["BROWSE", "MAIL_OPEN"]).poke({})
    assert [(r.query["type"], r.query["fields"]) for r in tenant.requests] == [(["BROWSE"], ["type,date"])]


def test_a_poke_asks_for_nothing_by_day_alone(quiet_tenant: CustobarSandbox) -> None:
    """Rule: min_events beyond one page is found over pages."""
    quiet_tenant.settings.limit_max_json = 10
    quiet_tenant.settings.limit_over_max = "clamp"
    quiet_tenant.load("events", [EVENT] * 35)
    assert sensor(min_events=35).poke({}).is_done
    assert not sensor(min_events=36).poke({}).is_done


async def test_deferred_sensor_waits_for_events_that_come_later(quiet_tenant: CustobarSandbox) -> None:
    """Rule: the trigger polls until the events are there, and the sensor's result is theirs."""
    operator = sensor(deferrable=True, poke_interval=0.05)
    waiting = asyncio.create_task(deferred(operator))
    while len(quiet_tenant.requests) < 2:
        await asyncio.sleep(0.01)
    assert not waiting.done()
    quiet_tenant.load("events", [EVENT])
    payload = await asyncio.wait_for(waiting, 10)
    assert payload["status"] == "success"
    assert operator.execute_complete({}, payload)["BROWSE"]["count"] == 1


def test_a_deferrable_sensor_looks_once_before_it_defers(quiet_tenant: CustobarSandbox) -> None:
    """Rule: what is there already ends the task in the worker, after one request; what is not defers it after one."""
    with pytest.raises(TaskDeferred):
        sensor(deferrable=True).execute({})
    assert len(quiet_tenant.requests) == 1
    quiet_tenant.load("events", [EVENT])
    assert sensor(deferrable=True).execute({})["BROWSE"]["count"] == 1
    assert len(quiet_tenant.requests) == 2


@pytest.mark.parametrize(
    ("trouble", "pause"),
    [({"status": 503}, 10), ({"status": 429, "retry_after": 90}, 90), ({"status": 429}, 60)],
    ids=["503", "429 with Retry-After", "429 without"],
)
def test_a_first_look_that_fails_defers(
    quiet_tenant: CustobarSandbox, connect: Callable[[str, str], None], trouble: dict[str, Any], pause: float
) -> None:
    """Rule: a failure that passes neither fails the task nor keeps its worker, and the triggerer waits as the server says."""
    connect("custobar_default", quiet_tenant.airflow_connection(max_attempts=8))
    quiet_tenant.faults.add(Fault("status", times=None, **trouble))
    before = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as caught:
        sensor(deferrable=True, poke_interval=10).execute({})
    assert len(quiet_tenant.requests) == 1
    waits = datetime.fromisoformat(caught.value.trigger.not_before) - before
    assert timedelta(seconds=pause) <= waits < timedelta(seconds=pause + 20)


@pytest.mark.parametrize("in_triggerer", [False, True])
@pytest.mark.parametrize(("status", "said"), [(401, "check the token"), (403, "may not do this"), (404, "no such path")])
async def test_final_answers_end_the_wait_at_once(
    quiet_tenant: CustobarSandbox, status: int, said: str, *, in_triggerer: bool
) -> None:
    """Rule: what waiting cannot mend fails the task with its reason after one request, and does not flood the API."""
    quiet_tenant.faults.add(Fault("status", status=status, times=None, after=int(in_triggerer)))
    operator = sensor(deferrable=True, poke_interval=0.01)
    with pytest.raises(AirflowException, match=f"{status}.*{said}"):
        operator.execute_complete({}, await asyncio.wait_for(deferred(operator), 10)) if in_triggerer else operator.execute({})
    assert len(quiet_tenant.requests) == 1 + in_triggerer


async def test_passing_failures_do_not_end_the_wait(quiet_tenant: CustobarSandbox) -> None:
    """Rule: a failed poll is followed by the next one, an interval later."""
    quiet_tenant.load("events", [EVENT])
    quiet_tenant.faults.add(Fault("status", status=500, times=3))
    payload = await asyncio.wait_for(deferred(sensor(deferrable=True, poke_interval=0.01)), 10)
    assert payload["status"] == "success"
    assert [request.status for request in quiet_tenant.requests] == [500, 500, 500, 200]


async def test_failures_without_end_end_the_wait(quiet_tenant: CustobarSandbox) -> None:
    """Rule: after ``max_consecutive_failures`` polls in a row the trigger gives up and says why."""
    quiet_tenant.faults.add(Fault("status", status=500, times=None))
    trigger = CustobarEventTrigger(event_types="BROWSE", **PERIOD, poke_interval=0.01, max_consecutive_failures=3)
    payload = (await anext(aiter(trigger.run()))).payload
    assert payload["status"] == "error"
    assert "500" in payload["message"]
    assert len(quiet_tenant.requests) == 3


async def test_polls_keep_their_distance_on_every_path(quiet_tenant: CustobarSandbox) -> None:
    """Rule: neither an empty answer nor a failing server makes the trigger ask more often than its interval."""
    quiet_tenant.faults.add(Fault("status", status=503, times=3, after=2))
    began = time.monotonic()
    waiting = asyncio.create_task(deferred(sensor(deferrable=True, poke_interval=0.2)))
    while len(quiet_tenant.requests) < 8:
        assert not waiting.done()
        await asyncio.sleep(0.02)
    waiting.cancel()
    assert time.monotonic() - began >= 7 * 0.2, "however slow all else is, seven pauses are no shorter"


def test_sensor_in_the_worker_waits_too(quiet_tenant: CustobarSandbox) -> None:
    """Rule: without deferring, the sensor pokes at its interval until the events are there."""

    def arrive() -> None:
        wait_until("the sensor has asked", lambda: quiet_tenant.requests)
        quiet_tenant.load("events", [EVENT])

    threading.Thread(target=arrive).start()
    assert sensor(poke_interval=0.1, timeout=20).execute({})["BROWSE"]["count"] == 1


def test_a_final_answer_fails_the_poke(quiet_tenant: CustobarSandbox) -> None:
    """Rule: 403 fails the task at the first poke."""
    quiet_tenant.faults.add(Fault("status", status=403, times=None))
    with pytest.raises(AccessDeniedError):
        sensor(poke_interval=0.01).execute({})
    assert len(quiet_tenant.requests) == 1


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"date": None}, "date=None.*period"),
        ({"date": "yesterday"}, "date='yesterday'"),
        ({"window_start": "2026-02-10", "window_end": "2026-02-11"}, "not both"),
        ({"event_types": ["BROWZE"]}, "event_types='BROWZE'.*Did you mean 'BROWSE'"),
        ({"event_types": []}, "event_types="),
        ({"min_events": 0}, "min_events=0"),
        ({"min_events": "many"}, "min_events='many'"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_request(
    quiet_tenant: CustobarSandbox, deferrable: bool, arguments: dict[str, Any], said: str
) -> None:
    """Rule: wrong input fails the task in the worker, deferrable or not, before anything is asked."""
    with pytest.raises(InvalidArgumentError, match=said):
        sensor(deferrable=deferrable, **arguments).execute({})
    assert quiet_tenant.requests == []


def test_a_bad_match_is_refused_when_the_dag_is_read() -> None:
    """Rule: a choice that is no template is checked where the DAG file is parsed."""
    with pytest.raises(InvalidArgumentError, match="match='some'.*any, all"):
        sensor(match="some")


def test_passing_failures_do_not_fail_the_poke(quiet_tenant: CustobarSandbox) -> None:
    """Rule: in the worker, too, a failed poke is followed by the next one, up to ``max_consecutive_failures``."""
    quiet_tenant.load("events", [EVENT])
    quiet_tenant.faults.add(Fault("status", status=500, times=2))
    assert sensor(poke_interval=0.05, timeout=20).execute({})["BROWSE"]["count"] == 1
    quiet_tenant.faults.add(Fault("status", status=500, times=None))
    with pytest.raises(ServerError):
        sensor(poke_interval=0.05, timeout=20, max_consecutive_failures=2).execute({})


# Each option of the trigger, with a value that is not its default.
OPTIONS: dict[str, Any] = {
    "event_types": ["BROWSE", "OWN"],
    "date": "{{ ds }}",
    "window_start": "{{ data_interval_start }}",
    "window_end": "{{ data_interval_end }}",
    "window": "auto",
    "min_events": "7",
    "match": "all",
    "filters": {"source": "shop"},
    "wait_for": "complete",
    "settle": 12.5,
    "poke_interval": 3.0,
    "exponential_backoff": True,
    "max_wait": 40.0,
    "max_consecutive_failures": 4,
    "not_before": "2026-02-11T06:00:00+00:00",
    "end_from_trigger": True,
    "allow_unknown_names": True,
    "custobar_conn_id": "other",
}


def test_a_trigger_travels_whole() -> None:
    """Rule: what a trigger serialises is JSON, holds every option, and makes an equal trigger."""
    assert set(OPTIONS) == set(inspect.signature(CustobarEventTrigger).parameters)
    defaults = {name: each.default for name, each in inspect.signature(CustobarEventTrigger).parameters.items()}
    path, arguments = CustobarEventTrigger(**OPTIONS).serialize()
    assert arguments == OPTIONS
    assert not [name for name in OPTIONS if OPTIONS[name] == defaults[name]]
    again = import_string(path)(**json.loads(json.dumps(arguments)))
    assert type(again) is CustobarEventTrigger
    assert again.serialize() == (path, arguments)


@pytest.mark.parametrize("start_from_trigger", [False, pytest.param(True, marks=STARTS_IN_TRIGGERER)])
def test_every_option_of_the_sensor_reaches_the_trigger(quiet_tenant: CustobarSandbox, *, start_from_trigger: bool) -> None:
    """Rule: a wait means the same in the triggerer, whether a worker begins it or nobody does."""
    others = ("date", "window_start", "window_end", "window", "not_before")
    options = {name: value for name, value in OPTIONS.items() if name not in others} | PERIOD
    options |= {"custobar_conn_id": "custobar_default", "wait_for": "events"}
    quiet_tenant.settings.unknown_filter = "ignore"
    given = options | {"settle": timedelta(seconds=12.5), "max_wait": timedelta(seconds=40)}
    operator = sensor(date=None, deferrable=True, start_from_trigger=start_from_trigger, timeout=77, **given)
    if start_from_trigger:
        assert operator.start_trigger_args is not None
        started, timeout = operator.start_trigger_args.trigger_kwargs, operator.start_trigger_args.timeout
    else:
        with pytest.raises(TaskDeferred) as caught:
            operator.execute({})
        started, timeout = caught.value.trigger.serialize()[1], caught.value.timeout
    assert timeout == timedelta(seconds=77)
    found = {name: value for name, value in (started or {}).items() if value is not None}
    # Only who has just looked says when to look again.
    assert (found.pop("not_before", None) is None) is start_from_trigger
    assert found == options


def started(operator: CustobarEventSensor, context: dict[str, Any]) -> CustobarEventTrigger:
    """What Airflow does with a task that starts in the triggerer: the DAG is stored, the trigger made and rendered there."""
    from airflow.serialization.serialized_objects import DagSerialization

    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(operator.dag))))
    task = stored.get_task(operator.task_id)
    assert task.start_from_trigger is True
    arguments = task.start_trigger_args
    assert isinstance(arguments, StartTriggerArgs)
    assert arguments.next_method == "execute_complete"
    from airflow.serialization.decoders import smart_decode_trigger_kwargs

    row = Trigger(classpath=arguments.trigger_cls, kwargs=arguments.trigger_kwargs or {})
    kwargs = {name: smart_decode_trigger_kwargs(value) for name, value in row.kwargs.items()}
    trigger = import_string(row.classpath)(**kwargs)
    trigger.task_instance = SimpleNamespace(task=task, task_id=task.task_id)
    trigger.render_template_fields(context=context)
    return trigger


@STARTS_IN_TRIGGERER
@pytest.mark.parametrize(
    ("period", "context"),
    [
        ({"date": "{{ ds }}"}, {"ds": DAY}),
        (
            {"date": None, "window_start": "{{ start }}", "window_end": "{{ end }}"},
            {"start": PERIOD["window_start"], "end": PERIOD["window_end"]},
        ),
        (
            {"date": None, "window": "auto"},
            {
                "data_interval_start": datetime(2026, 2, 10, tzinfo=UTC),
                "data_interval_end": datetime(2026, 2, 11, tzinfo=UTC),
            },
        ),
        ({"date": None, "window": "auto"}, {"logical_date": datetime(2026, 2, 11, 5, tzinfo=UTC)}),
    ],
    ids=["date", "window", "auto with an interval", "auto without one"],
)
async def test_a_wait_that_starts_in_the_triggerer_knows_its_period(
    quiet_tenant: CustobarSandbox, connect: Callable[[str, str], None], period: dict[str, Any], context: dict[str, Any]
) -> None:
    """Rule: templates and window="auto" are resolved there, and stand for the same events as in a worker."""
    connect("rendered", quiet_tenant.airflow_connection(max_attempts=1))
    quiet_tenant.load("events", [EVENT, {**EVENT, "date": "2026-02-09T23:00:00Z"}, {**EVENT, "date": "2026-02-11T00:00:00Z"}])
    with DAG("waits", schedule=None):
        operator = sensor(
            start_from_trigger=True,
            event_types="{{ kind }}",
            min_events="{{ 1 + 0 }}",
            custobar_conn_id="{{ conn }}",
            poke_interval=0.05,
            **period,
        )
    trigger = started(operator, {**context, "kind": "BROWSE", "conn": "rendered"})
    event = await asyncio.wait_for(anext(aiter(trigger.run())), 10)
    assert event.payload == {
        "status": "success",
        "found": {"BROWSE": {"count": 1, "first": EVENT["date"], "last": EVENT["date"]}},
    }
    assert operator.execute_complete({}, event.payload) == event.payload["found"]
    assert len(quiet_tenant.requests) == 1


@STARTS_IN_TRIGGERER
async def test_a_template_of_nothing_is_refused_in_the_triggerer(quiet_tenant: CustobarSandbox) -> None:
    """Rule: what cannot be asked for ends the wait with its reason, and without a request, also where no worker was."""
    with DAG("waits", schedule=None):
        operator = sensor(start_from_trigger=True, date="{{ day }}")
    payload = (await anext(aiter(started(operator, {"day": "some day"}).run()))).payload
    with pytest.raises(AirflowException, match="date='some day'"):
        operator.execute_complete({}, payload)
    assert quiet_tenant.requests == []


@pytest.mark.parametrize("how", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("where", ["poke", "first look", "triggerer"])
async def test_soft_fail_skips_on_a_final_answer(quiet_tenant: CustobarSandbox, where: str, how: str) -> None:
    """Rule: with soft_fail and never_fail, what waiting cannot mend skips the task, with its reason and without another try."""
    in_triggerer = where == "triggerer"
    quiet_tenant.faults.add(Fault("status", status=403, times=None, after=int(in_triggerer)))
    operator = sensor(poke_interval=0.01, deferrable=where != "poke", **{how: True})
    if in_triggerer:
        event = {"event": await deferred(operator)}
        with pytest.raises(AirflowSkipException) as skipped:
            operator.resume_execution("execute_complete", event, {})
    else:
        with pytest.raises(AirflowSkipException) as skipped:
            operator.execute({})
    assert "403" in str(skipped.value.__cause__)
    assert len(quiet_tenant.requests) == 1 + in_triggerer


async def test_pauses_grow_up_to_max_wait(quiet_tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: with exponential_backoff each pause is twice the one before, and none is longer than max_wait."""
    operator = sensor(deferrable=True, poke_interval=10, exponential_backoff=True, max_wait=timedelta(seconds=40))
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        # Less is slept elsewhere, such as until the pace lets a request through.
        pauses.extend([seconds] if seconds >= 10 else [])
        await sleep(min(seconds, 0.01))

    monkeypatch.setattr(asyncio, "sleep", note)
    waiting = asyncio.create_task(deferred(operator))
    while len(pauses) < 6:
        assert not waiting.done()
        await sleep(0.01)
    waiting.cancel()
    assert pauses == [10, 20, 40, 40, 40, 40]


async def test_a_wait_may_end_in_the_triggerer(quiet_tenant: CustobarSandbox) -> None:
    """Rule: with end_from_trigger success ends the task with its result in XCom, and failure is left for a worker to raise."""
    trigger = CustobarEventTrigger(event_types="BROWSE", **PERIOD, poke_interval=0.05, end_from_trigger=True)
    quiet_tenant.load("events", [EVENT])
    event = await anext(aiter(trigger.run()))
    assert isinstance(event, TaskSuccessEvent)
    found = {"BROWSE": {"count": 1, "first": EVENT["date"], "last": EVENT["date"]}}
    assert event.xcoms == {"return_value": found}
    assert sensor(end_from_trigger=True, deferrable=True).execute_complete({}, None) is None
    quiet_tenant.faults.add(Fault("status", status=403))
    event = await anext(aiter(trigger.run()))
    assert not isinstance(event, TaskSuccessEvent)
    assert event.payload["status"] == "error"


async def wait_to_the_end(operator: CustobarEventSensor, *, deferrable: bool) -> Any:
    """The result of the whole wait, in a worker or in the triggerer."""
    if not deferrable:
        return await asyncio.to_thread(operator.execute, {})
    try:
        return await asyncio.to_thread(operator.execute, {})
    except TaskDeferred as caught:
        return operator.execute_complete({}, await fired(caught))


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


@pytest.mark.parametrize("deferrable", [False, True])
async def test_a_window_long_over_is_complete(quiet_tenant: CustobarSandbox, *, deferrable: bool) -> None:
    """Rule: once settle has passed since its end a window is complete, whatever it holds, and nobody is asked."""
    period = {"date": None, "window_start": ago(hours=3), "window_end": ago(hours=2)}
    operator = sensor(settle=timedelta(minutes=90), deferrable=deferrable, poke_interval=0.05, wait_for="complete", **period)
    assert await asyncio.wait_for(wait_to_the_end(operator, deferrable=deferrable), 10) == {}
    assert quiet_tenant.requests == []


@pytest.mark.parametrize("deferrable", [False, True])
async def test_a_later_event_completes_a_window(quiet_tenant: CustobarSandbox, *, deferrable: bool) -> None:
    """Rule: before settle has passed only an event later than the window ends the wait; one inside it does not."""
    inside, later = ago(minutes=25), ago(minutes=10)
    quiet_tenant.load("events", [{**EVENT, "date": inside}])
    period = {"date": None, "window_start": ago(minutes=30), "window_end": ago(minutes=20)}
    operator = sensor(deferrable=deferrable, poke_interval=0.05, timeout=20, wait_for="complete", **period)
    waiting = asyncio.create_task(wait_to_the_end(operator, deferrable=deferrable))
    while len(quiet_tenant.requests) < 3:
        await asyncio.sleep(0.01)
    assert not waiting.done()
    quiet_tenant.load("events", [{**EVENT, "date": later}])
    assert (await asyncio.wait_for(waiting, 10))["BROWSE"]["count"] == 1


@pytest.mark.parametrize("deferrable", [False, True])
async def test_nobody_is_asked_before_a_window_is_over(quiet_tenant: CustobarSandbox, *, deferrable: bool) -> None:
    """Rule: a window that is not over yet cannot be complete, so it costs no request until then, and one afterwards."""
    ends = datetime.now(UTC) + timedelta(seconds=1.2)
    quiet_tenant.load("events", [{**EVENT, "date": ends.isoformat()}])
    period = {"date": None, "window_start": ago(hours=1), "window_end": ends.isoformat()}
    operator = sensor(wait_for="complete", deferrable=deferrable, poke_interval=0.1, timeout=20, **period)
    result = await asyncio.wait_for(wait_to_the_end(operator, deferrable=deferrable), 10)
    assert datetime.now(UTC) >= ends
    assert result["BROWSE"]["count"] == 1
    assert len(quiet_tenant.requests) == 1


@pytest.mark.parametrize("deferrable", [False, True])
async def test_the_token_is_told_to_nobody(
    quiet_tenant: CustobarSandbox,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    *,
    deferrable: bool,
) -> None:
    """Rule: neither a log line, a serialised argument, an event nor an error holds the token, though the server repeats it."""
    caplog.set_level(logging.DEBUG)
    quiet_tenant.faults.add(Fault("status", status=500, reason=f"bad day for {quiet_tenant.token}"))
    quiet_tenant.faults.add(Fault("status", status=403, reason=f"never with {quiet_tenant.token}", after=2, times=None))
    operator = sensor(deferrable=deferrable, poke_interval=0.01)
    said: list[Any] = []
    if deferrable:
        with pytest.raises(TaskDeferred) as caught:
            operator.execute({})
        payload = await deferred(operator)
        said = [caught.value.trigger.serialize(), repr(caught.value.trigger), payload]
        with pytest.raises(AirflowException) as failure:
            operator.execute_complete({}, payload)
    else:
        with pytest.raises(AccessDeniedError) as failure:
            operator.execute({})
    said += [repr(failure.value), repr(failure.value.__cause__)]
    # Airflow's loggers write to standard output, httpx's do not.
    logged = capsys.readouterr().out + caplog.text
    assert [request.status for request in quiet_tenant.requests] == [500, 200, 403]
    assert "bad day for ***" in logged
    assert "never with ***" in repr(failure.value)
    assert quiet_tenant.token not in json.dumps(said) + logged


#: What may happen while somebody waits: the faults of some requests, by kind.
TROUBLES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "nothing": [],
    "429 with Retry-After": [("status", {"status": 429, "retry_after": 1, "times": 2})],
    "429 without": [("status", {"status": 429, "times": 2})],
    "500": [("status", {"status": 500, "times": 4})],
    "cut bodies": [("truncate", {"times": 2}), ("cut_json", {"times": 2})],
    "slow answers": [("delay", {"seconds": 0.5, "times": 1}), ("slow_body", {"seconds": 0.5, "times": 2})],
    "no answer in time": [("delay", {"seconds": 1.0, "times": 2})],
    "dropped connections": [("drop", {"times": 2}), ("drop_after", {"times": 2})],
    "another's page": [("html", {"times": 4})],
}
REQUESTS_PER_MINUTE = 240


def assert_paced(starts: list[float]) -> None:
    """No stretch of time, however short or long, has more starts than the pace allows."""
    starts = sorted(starts)
    for first, begin in enumerate(starts):
        for count, end in enumerate(starts[first + 1 :], 1):
            assert end - begin >= count * 60 / REQUESTS_PER_MINUTE - LATE_SECONDS, (count, [s - starts[0] for s in starts])


@pytest.fixture
def two_tenants(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Callable[[str, str], None]
) -> dict[bool, CustobarSandbox]:
    """Tenants without events, so that a wait in the triggerer (True) and one in a worker are counted each by itself."""
    extra = {"requests_per_minute": REQUESTS_PER_MINUTE, "max_attempts": 1, "timeout": 0.7}
    tenants = {deferrable: custobar_sandbox_factory(generate=False) for deferrable in (True, False)}
    for deferrable, tenant in tenants.items():
        connect(f"tenant_{deferrable}", tenant.airflow_connection(**extra))
    return tenants


def patient(*, deferrable: bool) -> CustobarEventSensor:
    """One that only its pace keeps from asking all the time."""
    return sensor(
        custobar_conn_id=f"tenant_{deferrable}",
        deferrable=deferrable,
        poke_interval=0.001,
        timeout=30,
        max_consecutive_failures=100,
    )


@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_no_trouble_makes_a_wait_ask_faster_than_its_pace(
    two_tenants: dict[bool, CustobarSandbox], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Rule: whatever the server does, requests keep to requests_per_minute and Retry-After, and the wait ends with events."""
    monkeypatch.setattr(flow, "RATE_LIMIT_WAIT_SECONDS", 1.0)

    async def wait(tenant: CustobarSandbox, *, deferrable: bool) -> None:
        faults = [tenant.faults.add(Fault(kind, **details)) for kind, details in TROUBLES[trouble]]
        met = sum(fault.times or 0 for fault in faults)
        waiting = asyncio.create_task(wait_to_the_end(patient(deferrable=deferrable), deferrable=deferrable))
        while len(tenant.requests) < max(met, 4) + 2:
            assert not waiting.done()
            await asyncio.sleep(0.02)
        tenant.load("events", [EVENT])
        assert (await asyncio.wait_for(waiting, 10))["BROWSE"]["count"] == 1
        requests = sorted(tenant.requests, key=lambda request: request.at)
        assert sum(len(request.faults) for request in requests) == met
        assert_paced([request.at for request in requests])
        waited = [later.at - earlier.at for earlier, later in pairwise(requests) if earlier.status == 429]
        assert all(pause >= 0.95 for pause in waited), waited

    await asyncio.gather(*(wait(tenant, deferrable=deferrable) for deferrable, tenant in two_tenants.items()))


@asynccontextmanager
async def gone(sandbox: CustobarSandbox) -> AsyncIterator[list[float]]:
    """In place of the sandbox nobody, and then somebody who hangs up at once; when each call came."""
    calls: list[float] = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(time.monotonic())
        writer.close()

    sandbox.stop()
    await asyncio.sleep(0.3)
    async with await asyncio.start_server(hang_up, "127.0.0.1", urlsplit(sandbox.url).port):
        yield calls
    sandbox.start()


async def test_a_server_that_goes_away_is_called_at_the_same_pace(two_tenants: dict[bool, CustobarSandbox]) -> None:
    """Rule: a server that is gone is called no faster than one that answers, and the wait goes on when it is back."""

    async def wait(tenant: CustobarSandbox, *, deferrable: bool) -> None:
        waiting = asyncio.create_task(wait_to_the_end(patient(deferrable=deferrable), deferrable=deferrable))
        while len(tenant.requests) < 3:
            await asyncio.sleep(0.02)
        async with gone(tenant) as calls:
            while len(calls) < 5:
                assert not waiting.done()
                await asyncio.sleep(0.02)
        tenant.load("events", [EVENT])
        assert (await asyncio.wait_for(waiting, 10))["BROWSE"]["count"] == 1
        assert_paced([request.at for request in tenant.requests] + calls)

    await asyncio.gather(*(wait(tenant, deferrable=deferrable) for deferrable, tenant in two_tenants.items()))


async def test_a_connection_that_cannot_be_read_for_a_moment_does_not_end_the_wait(
    quiet_tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: Airflow may be unable to tell a connection; the wait goes on when it can, and gives up with the reason."""
    quiet_tenant.load("events", [EVENT])
    document = os.environ["AIRFLOW_CONN_CUSTOBAR_DEFAULT"]
    monkeypatch.delenv("AIRFLOW_CONN_CUSTOBAR_DEFAULT")
    wait = {"event_types": "BROWSE", "date": DAY, "poke_interval": 0.05}
    (event,) = [each async for each in CustobarEventTrigger(**wait, max_consecutive_failures=2).run()]
    assert event.payload["status"] == "error"
    assert "'custobar_default' cannot be read" in event.payload["message"]
    waiting = asyncio.create_task(anext(aiter(CustobarEventTrigger(**wait, max_consecutive_failures=1000).run())))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    monkeypatch.setenv("AIRFLOW_CONN_CUSTOBAR_DEFAULT", document)
    assert (await asyncio.wait_for(waiting, 20)).payload["status"] == "success"
