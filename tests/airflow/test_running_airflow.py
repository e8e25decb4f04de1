"""A whole Airflow running, scheduler, triggerer and all: waiting, and an export, while triggerers and workers die."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from airflow_provider_custobar.stores.parts import PART_BYTES
from airflow_provider_custobar.task.compat import TRIGGERS_RENDER_TEMPLATES
from tools.airflow_home import PROJECT
from tools.airflow_server import AirflowServer
from tools.servers import S3Server
from tools.waiting import wait_until

pytestmark = pytest.mark.processes

BUCKET = "custobar-exports"
#: Before 3.3: no templates in triggerers, no state of tasks, no shared streams.
IS_OLDER = not TRIGGERS_RENDER_TEMPLATES

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

#: Enough for two parts of an upload.
ROWS = 80_000
PAGES = 80
EXPORT = """
import os
from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator


def note_process(context):
    Path(__file__).with_name(f"pid-{context['ti'].try_number}").write_text(str(os.getpid()))


with DAG("killed", schedule=None, start_date=pendulum.datetime(2026, 1, 1), is_paused_upon_creation=False):
    CustobarToS3Operator(
        task_id="export",
        custobar_conn_id="custobar_busy",
        resource="events",
        event_types="BROWSE",
        file_format="jsonl",
        page_size=1000,
        s3_bucket="killed",
        s3_key="events.jsonl",
        retries=1,
        retry_delay=0,
        on_execute_callback=note_process,
    )

with DAG("marked", schedule=None, start_date=pendulum.datetime(2026, 1, 1), is_paused_upon_creation=False):
    CustobarToS3Operator(
        task_id="export",
        custobar_conn_id="custobar_slow",
        resource="events",
        event_types="BROWSE",
        file_format="jsonl",
        page_size=1000,
        s3_bucket="marked",
        s3_key="events.jsonl",
        retries=1,
    )
"""


@dataclass
class Run:
    """Airflow, a tenant without events and one with many, for the tests of this module."""

    airflow: AirflowServer
    sandbox: CustobarSandbox
    busy: CustobarSandbox
    s3: S3Server
    folder: Path

    def wait_until(self, what: str, look: Callable[[], Any]) -> None:
        # A look is several requests, and what serves them is what it waits for.
        wait_until(what, look, every_seconds=0.4, log=lambda: self.airflow.log_path.read_text()[-6000:])

    @cached_property
    def session(self) -> requests.Session:
        session = requests.Session()
        # Airflow 3.1 wants one even where everybody is an administrator.
        token = requests.get(f"{self.airflow.url}/auth/token", timeout=60).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        return session

    def get(self, path: str) -> Any:
        """What the API says; None where there is no such thing (yet). A busy server is asked again."""

        def ask() -> requests.Response:
            answer = self.session.get(f"{self.airflow.url}/api/v2/{path}", timeout=60)
            if answer.status_code >= 500:
                answer.raise_for_status()
            return answer

        answer = wait_until("the API answers", lambda: [ask()])[0]
        return answer.json() if answer.ok else None

    def start(self, dag_id: str, **conf: str) -> None:
        self.wait_until(f"{dag_id} is read", lambda: self.get(f"dags/{dag_id}"))
        body = {"logical_date": None, "conf": conf, "dag_run_id": "run"}
        answer = self.session.post(f"{self.airflow.url}/api/v2/dags/{dag_id}/dagRuns", json=body, timeout=120)
        assert answer.ok, answer.text

    def task(self, dag_id: str, task_id: str = "wait", run_id: str = "run") -> dict[str, Any]:
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}") or {"state": None}

    def mark(self, dag_id: str, task_id: str, state: str) -> None:
        path = f"dags/{dag_id}/dagRuns/run/taskInstances/{task_id}"
        answer = self.session.patch(f"{self.airflow.url}/api/v2/{path}", json={"new_state": state}, timeout=120)
        assert answer.ok, answer.text

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

    def exported(self) -> list[dict[str, str]]:
        """The records in all objects of the bucket, as often as they are there."""
        client = self.s3.client()
        found = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        texts = [client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in found]
        return [json.loads(line) for text in texts for line in text.splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, airflow_database: Callable[[], str]) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "waiting.py").write_text(DAGS)
    (folder / "killed.py").write_text(EXPORT)
    example = (PROJECT / "dags_examples" / "custobar_new_unsubscribes.py").read_text()
    assert "poke_interval=60" in example
    (folder / "example.py").write_text(
        example.replace("poke_interval=60", "poke_interval=1").replace(
            "    catchup=False,", "    catchup=False,\n    is_paused_upon_creation=False,"
        )
    )
    unlimited = SandboxSettings(rate_limit=None)
    busy = CustobarSandbox(unlimited, customers=200, events=4 * ROWS, days=1)
    with CustobarSandbox(unlimited, generate=False) as sandbox, busy, S3Server() as s3:
        s3.create_bucket(BUCKET)
        s3.create_bucket("killed")
        s3.create_bucket("marked")
        environment = {
            "AIRFLOW_CONN_CUSTOBAR_DEFAULT": sandbox.airflow_connection(requests_per_minute=1200),
            # Slow enough to be met in the middle.
            "AIRFLOW_CONN_CUSTOBAR_BUSY": busy.airflow_connection(requests_per_minute=600),
            "AIRFLOW_CONN_CUSTOBAR_SLOW": busy.airflow_connection(requests_per_minute=200),
            "AIRFLOW_CONN_AWS_DEFAULT": s3.airflow_connection(),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
            # So that another triggerer soon takes over what a dead one ran.
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
        }
        with AirflowServer({}, environment, database_url=airflow_database()) as airflow:
            yield Run(airflow, sandbox, busy, s3, folder)


def event(event_type: str, at: datetime) -> dict[str, str]:
    return {"type": event_type, "date": at.isoformat(), "customer_id": "1"}


def test_what_waits_survives_the_death_of_its_triggerer(run: Run) -> None:
    """Rule: deferred sensors, also those without a worker, and watchers go on in the next triggerer: once a batch of events."""
    day = "2026-02-10"
    waits = ("deferred", "never_in_a_worker")
    watched = ("unsubscribes", "unsubscribes_too", "mail")
    for dag_id in waits:
        run.start(dag_id, day=day)
    for dag_id in (*watched, "custobar_new_unsubscribes"):
        run.wait_until(f"{dag_id} is read", lambda: run.get(f"dags/{dag_id}"))  # noqa: B023 - called at once
    asked = run.asked_for("MAIL_UNSUBSCRIBE")
    run.wait_until("the watchers ask", lambda: run.asked_for("MAIL_UNSUBSCRIBE") > asked + 5)

    def load(*types: str) -> None:
        run.sandbox.load("events", [event(name, datetime.now(UTC)) for name in types])

    def counted(dag_id: str, event_type: str) -> int:
        return sum(batch["types"].get(event_type, 0) for batch in run.batches(dag_id))

    load("MAIL_UNSUBSCRIBE", "MAIL_UNSUBSCRIBE", "MAIL_OPEN")
    for dag_id in watched:
        run.wait_until(f"{dag_id} runs", lambda: counted(dag_id, "MAIL_UNSUBSCRIBE") == 2)  # noqa: B023 - called at once
    assert [batch["count"] for batch in run.batches("unsubscribes")] == [2]
    for dag_id in waits:
        run.wait_until(f"{dag_id} waits", lambda: run.task(dag_id)["state"] == "deferred")  # noqa: B023 - called at once
    run.wait_until("the API is asked", lambda: run.asked_for("BROWSE", day) >= 4)

    run.airflow.kill_triggerer()
    asked = run.asked_for("BROWSE", day)
    time.sleep(2)
    assert run.asked_for("BROWSE", day) == asked
    run.sandbox.load("events", [event("BROWSE", datetime(2026, 2, 10, 12, tzinfo=UTC))])
    if not IS_OLDER:
        load("MAIL_UNSUBSCRIBE")
        load("MAIL_UNSUBSCRIBE")
    asked = run.asked_for("MAIL_UNSUBSCRIBE")
    run.airflow.start_triggerer()
    if IS_OLDER:
        # Its watchers have no place to remember in, and tell of what comes from now on.
        run.wait_until("the watchers ask again", lambda: run.asked_for("MAIL_UNSUBSCRIBE") > asked + 20)
        load("MAIL_UNSUBSCRIBE", "MAIL_UNSUBSCRIBE")

    for dag_id in waits:
        run.wait_until(f"{dag_id} ends", lambda: run.task(dag_id)["state"] == "success")  # noqa: B023 - called at once
    assert run.result("deferred")["BROWSE"]["count"] == 1
    # Airflow 3.3 writes what a trigger puts into XCom as JSON twice.
    assert json.loads(run.result("never_in_a_worker"))["BROWSE"]["count"] == 1
    assert run.task("deferred")["hostname"]
    # No worker ever had it, where triggerers render templates.
    assert bool(run.task("never_in_a_worker")["hostname"]) == IS_OLDER
    assert bool(run.task("never_in_a_worker")["pid"]) == IS_OLDER
    for dag_id in watched:
        run.wait_until(f"{dag_id} runs", lambda: counted(dag_id, "MAIL_UNSUBSCRIBE") == 4)  # noqa: B023 - called at once
    load("MAIL_OPEN")
    run.wait_until("mail runs", lambda: counted("mail", "MAIL_OPEN") == 2)
    assert [batch["count"] for batch in run.batches("unsubscribes")] == [2, 2]
    assert [batch["count"] for batch in run.batches("unsubscribes_too")] == [2, 2]
    assert sum(batch["count"] for batch in run.batches("mail")) == 6
    # The example exports what has come, and a late event would be in two of its objects, but none was late.
    run.wait_until("all is exported", lambda: len(run.exported()) >= 4)
    loaded = [(r["type"], r["date"]) for r in run.sandbox.records("events") if r["type"] == "MAIL_UNSUBSCRIBE"]
    assert sorted((r["type"], r["date"]) for r in run.exported()) == sorted(loaded)
    # Four watchers of a type ask for it as often as one would; in older Airflows each asks by itself.
    before, began = run.asked_for("MAIL_UNSUBSCRIBE"), time.monotonic()
    time.sleep(4)
    a_second = 4 if IS_OLDER else 1
    most = a_second * (time.monotonic() - began + 1)
    assert run.asked_for("MAIL_UNSUBSCRIBE") - before <= most, f"{a_second} a second, however long that was"


def test_a_task_that_starts_in_the_triggerer_knows_its_period_and_its_end(run: Run) -> None:
    """Rule: window="auto" and soft_fail mean there what they mean in a worker."""
    run.start("own_period")
    run.start("skips", day="2026-03-03")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    run.wait_until(f"{yesterday} is asked for", lambda: run.asked_for("BROWSE", yesterday))
    run.wait_until("the wait times out", lambda: run.task("skips")["state"] == "skipped")


def test_a_killed_task_goes_on_in_its_retry(run: Run) -> None:
    """Rule: the scheduler's retry continues a killed export from where it stopped, says so, and leaves every row once.

    Older Airflows keep no state for it: it says so, and starts over.
    """
    run.start("killed")
    run.wait_until("the export is in its middle", lambda: len(run.busy.requests) >= PAGES * 2 // 3)
    os.kill(int((run.folder / "pid-1").read_text()), signal.SIGKILL)
    run.wait_until("the retry ends", lambda: run.task("killed", "export")["state"] in ("success", "failed"))
    (log,) = (path.read_text() for path in run.airflow.home.directory.rglob("*dag_id=killed/**/attempt=2.log"))
    assert run.task("killed", "export")["state"] == "success", log
    assert ("keeps no state for tasks" if IS_OLDER else "Going on where an earlier attempt stopped") in log
    client = run.s3.client()
    content = client.get_object(Bucket="killed", Key="events.jsonl")["Body"].read()
    assert [json.loads(line) for line in content.splitlines()] == [
        event for event in run.busy.records("events") if event["type"] == "BROWSE"
    ]
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket="killed")["Contents"]] == ["events.jsonl"]
    # Without a state nobody can tell whose the first one's upload is.
    assert IS_OLDER or "Uploads" not in client.list_multipart_uploads(Bucket="killed")
    result = run.result("killed", "export")
    assert result["resumed"] is not IS_OLDER
    if not IS_OLDER:
        most_again = math.ceil(result["pages"] * PART_BYTES / len(content)) + 2
        assert result["pages"] <= len(run.busy.requests) <= result["pages"] + most_again


def test_a_task_that_is_marked_failed_leaves_nothing(run: Run) -> None:
    """Rule: where a person ends a running export, no attempt follows, and its parts go with it, whatever its retries."""
    client = run.s3.client()
    run.start("marked")
    run.wait_until("an upload is on its way", lambda: client.list_multipart_uploads(Bucket="marked").get("Uploads"))
    (upload,) = client.list_multipart_uploads(Bucket="marked")["Uploads"]
    where = {"Bucket": "marked", "Key": upload["Key"], "UploadId": upload["UploadId"]}
    run.wait_until("it has a part", lambda: client.list_parts(**where).get("Parts"))
    run.mark("marked", "export", "failed")
    run.wait_until("it is gone", lambda: "Uploads" not in client.list_multipart_uploads(Bucket="marked"))
    assert run.task("marked", "export")["state"] == "failed"
    assert "Contents" not in client.list_objects_v2(Bucket="marked")
