"""Waiting in a real Airflow: scheduler, triggerer and all, with a triggerer that dies in between."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from tools.airflow_server import AirflowServer

DAGS = """
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.triggers.custobar import CustobarNewEventsTrigger

START = {"start_date": pendulum.datetime(2026, 1, 1, tz="UTC"), "is_paused_upon_creation": False, "catchup": False}
WAIT = {"date": "{{ dag_run.conf.day }}", "poke_interval": 1, "retries": 0}

with DAG("deferred", schedule=None, **START):
    CustobarEventSensor(task_id="wait", event_types=["BROWSE"], deferrable=True, **WAIT)

with DAG("never_in_a_worker", schedule=None, **START):
    CustobarEventSensor(task_id="wait", event_types=["BROWSE"], start_from_trigger=True, end_from_trigger=True, **WAIT)

with DAG("own_period", schedule="@daily", **START):
    CustobarEventSensor(
        task_id="wait", event_types=["BROWSE"], window="auto", poke_interval=1, start_from_trigger=True, min_events=1_000_000
    )

with DAG("skips", schedule=None, **START):
    CustobarEventSensor(
        task_id="wait", event_types=["BROWSE"], start_from_trigger=True, soft_fail=True, timeout=timedelta(seconds=3), **WAIT
    )


def watcher(name, *event_types):
    trigger = CustobarNewEventsTrigger(event_types=event_types, poke_interval=1)
    return Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)])


def watched(name, *event_types):
    with DAG(name, schedule=[watcher(name, *event_types)], max_active_runs=1, **START):

        @task
        def payloads(triggering_asset_events=None):
            return [event.extra["payload"] for events in triggering_asset_events.values() for event in events]

        payloads()


watched("unsubscribes", "MAIL_UNSUBSCRIBE")
watched("unsubscribes_too", "MAIL_UNSUBSCRIBE")
watched("mail", "MAIL_UNSUBSCRIBE", "MAIL_OPEN")
"""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, what
        time.sleep(0.1)
    return found


class Run:
    """Airflow and a tenant without events, for the tests of this module."""

    def __init__(self, airflow: AirflowServer, sandbox: CustobarSandbox) -> None:
        self.airflow = airflow
        self.sandbox = sandbox

    def get(self, path: str) -> Any:
        answer = requests.get(f"{self.airflow.url}/api/v2/{path}", timeout=10)
        return answer.json() if answer.ok else None

    def start(self, dag_id: str, **conf: str) -> None:
        wait_for(lambda: self.get(f"dags/{dag_id}"), f"{dag_id} was not read: {self.logs()}")
        body = {"logical_date": None, "conf": conf, "dag_run_id": "run"}
        answer = requests.post(f"{self.airflow.url}/api/v2/dags/{dag_id}/dagRuns", json=body, timeout=10)
        assert answer.ok, answer.text

    def task(self, dag_id: str, task_id: str = "wait", run_id: str = "run") -> dict[str, Any]:
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}") or {"state": None}

    def result(self, dag_id: str, task_id: str = "wait", run_id: str = "run") -> Any:
        entry = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value")
        return entry["value"] if entry else None

    def batches(self, dag_id: str) -> list[dict[str, Any]]:
        """The payloads of all asset events that started a run of ``dag_id`` that has ended."""
        runs = (self.get(f"dags/{dag_id}/dagRuns?order_by=run_after") or {"dag_runs": []})["dag_runs"]
        found = [self.result(dag_id, "payloads", run["dag_run_id"]) for run in runs if run["state"] == "success"]
        return [payload for payloads in found for payload in payloads or []]

    def asked_for(self, event_type: str, day: str | None = None) -> int:
        return sum(
            request.query.get("type") == [event_type]
            and (day is None or request.query["date.gte"] <= [day] <= request.query["date.lte"])
            for request in self.sandbox.requests
        )

    def logs(self) -> str:
        return self.airflow.log_path.read_text()[-6000:]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "waiting.py").write_text(textwrap.dedent(DAGS))
    with CustobarSandbox(SandboxSettings(rate_limit=None), generate=False) as sandbox:
        connections = {"custobar_default": sandbox.airflow_connection(requests_per_minute=1200)}
        environment = {
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
            # So that another triggerer soon takes over what a dead one ran.
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
        }
        with AirflowServer(connections, environment) as airflow:
            yield Run(airflow, sandbox)


def event(event_type: str, at: datetime) -> dict[str, str]:
    return {"type": event_type, "date": at.isoformat(), "customer_id": "1"}


def test_a_wait_survives_the_death_of_its_triggerer(run: Run) -> None:
    """Rule: a deferred sensor goes on in the next triggerer, and one that begins and ends in the triggerer needs no worker."""
    day = "2026-02-10"
    for dag_id in ("deferred", "never_in_a_worker"):
        run.start(dag_id, day=day)
    for dag_id in ("deferred", "never_in_a_worker"):
        wait_for(lambda dag_id=dag_id: run.task(dag_id)["state"] == "deferred", f"{dag_id} does not wait: {run.logs()}")  # type: ignore[misc]
    wait_for(lambda: run.asked_for("BROWSE", day) >= 4, "nobody asks")
    run.airflow.kill_triggerer()
    asked = run.asked_for("BROWSE", day)
    time.sleep(3)
    assert run.asked_for("BROWSE", day) == asked
    run.sandbox.load("events", [event("BROWSE", datetime(2026, 2, 10, 12, tzinfo=UTC))])
    run.airflow.start_triggerer()
    for dag_id in ("deferred", "never_in_a_worker"):
        wait_for(lambda dag_id=dag_id: run.task(dag_id)["state"] == "success", f"{dag_id} did not end: {run.logs()}")  # type: ignore[misc]
        assert run.result(dag_id)["BROWSE"]["count"] == 1
    assert run.task("deferred")["hostname"]
    # No worker ever had it.
    assert not run.task("never_in_a_worker")["hostname"]
    assert not run.task("never_in_a_worker")["pid"]
