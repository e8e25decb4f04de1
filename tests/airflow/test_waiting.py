"""The event sensor and its trigger, against a running sandbox."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from airflow.sdk.module_loading import import_string

from airflow_provider_custobar.api.errors import AccessDeniedError, InvalidArgumentError, ServerError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.triggers.custobar import CustobarEventTrigger

DAY = "2026-02-10"
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
    path, arguments = caught.value.trigger.serialize()
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


def test_deferrable_defers_before_asking(quiet_tenant: CustobarSandbox) -> None:
    """Rule: a deferrable sensor does not poke in the worker first."""
    with pytest.raises(TaskDeferred):
        sensor(deferrable=True).execute({})
    assert quiet_tenant.requests == []


@pytest.mark.parametrize(("status", "said"), [(401, "check the token"), (403, "may not do this"), (404, "no such path")])
async def test_final_answers_end_the_wait_at_once(quiet_tenant: CustobarSandbox, status: int, said: str) -> None:
    """Rule: what waiting cannot mend fails the task with its reason after one request, and does not flood the API."""
    quiet_tenant.faults.add(Fault("status", status=status, times=None))
    operator = sensor(deferrable=True, poke_interval=0.01)
    payload = await asyncio.wait_for(deferred(operator), 10)
    with pytest.raises(AirflowException, match=f"{status}.*{said}"):
        operator.execute_complete({}, payload)
    assert len(quiet_tenant.requests) == 1


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
    trigger = CustobarEventTrigger(
        event_types="BROWSE",
        window_start="2026-02-10T00:00:00+00:00",
        window_end="2026-02-11T00:00:00+00:00",
        poke_interval=0.01,
        max_consecutive_failures=3,
    )
    payload = (await anext(aiter(trigger.run()))).payload
    assert payload["status"] == "error"
    assert "500" in payload["message"]
    assert len(quiet_tenant.requests) == 3


async def test_polls_keep_their_distance_on_every_path(quiet_tenant: CustobarSandbox) -> None:
    """Rule: neither an empty answer nor a failing server makes the trigger ask more often than its interval."""
    quiet_tenant.faults.add(Fault("status", status=503, times=3, after=2))
    waiting = asyncio.create_task(deferred(sensor(deferrable=True, poke_interval=0.2)))
    await asyncio.sleep(1.5)
    waiting.cancel()
    starts = [request.at for request in quiet_tenant.requests]
    assert len(starts) >= 4
    assert min(later - earlier for earlier, later in pairwise(starts)) >= 0.19


def test_sensor_in_the_worker_waits_too(quiet_tenant: CustobarSandbox) -> None:
    """Rule: without deferring, the sensor pokes at its interval until the events are there."""

    def arrive() -> None:
        while not quiet_tenant.requests:
            time.sleep(0.01)
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
