"""Partitions of what was exported, told by Airflow's own scheduler to DAGs that wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
import requests
from airflow.sdk.execution_time.context import OutletEventAccessor

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from tools.airflow_home import PROJECT
from tools.airflow_server import AirflowServer
from tools.servers import S3Server
from tools.waiting import wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not hasattr(OutletEventAccessor, "add_partitions"), reason="tasks add partitions from Airflow 3.3 on"),
]

#: A DAG without partitions of its own, and one that is scheduled on its asset as a whole, beside one for its partitions.
PLAIN = """
import pendulum
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, task

from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator

ALWAYS = {"start_date": pendulum.datetime(2026, 1, 1, tz="UTC"), "is_paused_upon_creation": False, "catchup": False}
clicks = Asset("plain_clicks", uri="file:///plain/clicks")

with DAG("plain", schedule=None, **ALWAYS):
    CustobarToObjectStorageOperator(
        task_id="export",
        resource="events",
        event_types="MAIL_CLICK",
        date="{{ dag_run.conf.day }}",
        path="file://FOLDER/plain/{date}.csv.gz",
        outlets=[clicks],
    )


def waiting(name, schedule):
    with DAG(name, schedule=schedule, **ALWAYS):

        @task
        def seen(triggering_asset_events=None):
            return [event.extra for events in triggering_asset_events.values() for event in events]

        seen()


waiting("waits_for_the_asset", [clicks])
waiting("waits_for_partitions", PartitionedAssetTimetable(assets=clicks))
"""
EXAMPLE = "custobar_late_partitions"
CONSUMER = "custobar_clicks_of_a_day"


@dataclass
class Airflow:
    server: AirflowServer
    sandbox: CustobarSandbox

    @cached_property
    def session(self) -> requests.Session:
        session = requests.Session()
        token = requests.get(f"{self.server.url}/auth/token", timeout=60).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        return session

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.server.url}/api/v2/{path}", timeout=60)
        return answer.json() if answer.ok else None

    def wait_until(self, what: str, look: Callable[[], Any]) -> Any:
        return wait_until(what, look, every_seconds=0.4, log=self.log)

    def log(self) -> str:
        """What the last attempt has said."""
        paths = sorted(self.server.home.directory.rglob("attempt=*.log"), key=lambda path: path.stat().st_mtime)
        return paths[-1].read_text()[-6000:] if paths else self.server.log_path.read_text()[-6000:]

    def run(self, dag_id: str, run_id: str, **body: Any) -> None:
        """Start a run and wait for its end."""
        self.wait_until(f"{dag_id} is read", lambda: self.get(f"dags/{dag_id}"))
        answer = self.session.post(
            f"{self.server.url}/api/v2/dags/{dag_id}/dagRuns",
            json={"logical_date": None, "dag_run_id": run_id, **body},
            timeout=120,
        )
        assert answer.ok, answer.text
        self.wait_for(dag_id, run_id)

    def wait_for(self, dag_id: str, run_id: str) -> None:
        def ended() -> bool:
            state = self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            assert state != "failed", self.log()
            return bool(state == "success")

        self.wait_until(f"{dag_id} ends", ended)

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return self.get(f"dags/{dag_id}/dagRuns?order_by=run_after")["dag_runs"]

    def unpause(self, dag_id: str) -> None:
        answer = self.session.patch(f"{self.server.url}/api/v2/dags/{dag_id}", json={"is_paused": False}, timeout=120)
        assert answer.ok, answer.text

    def partitions(self, dag_id: str) -> list[str]:
        """Those that runs of a DAG were for, of February: the schedule's own run is for yesterday."""
        return sorted(run["partition_key"] for run in self.runs(dag_id) if run["partition_key"].startswith("2026-02"))

    def result(self, dag_id: str, task_id: str, run_id: str) -> Any:
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value")["value"]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, airflow_database: Callable[[], str]) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "plain.py").write_text(PLAIN.replace("FOLDER", str(tmp_path_factory.mktemp("files"))))
    example = (PROJECT / "dags_examples" / f"{EXAMPLE}.py").read_text()
    # The nightly DAG waits until it is told to begin: a run of its schedule would begin before the API server answers.
    nightly, name, consumer = example.partition(f'dag_id="{CONSUMER}"')
    (folder / "example.py").write_text(nightly + name + ", is_paused_upon_creation=False" + consumer)
    with CustobarSandbox(SandboxSettings(rate_limit=None), generate=False) as sandbox, S3Server() as s3:
        s3.create_bucket("custobar-exports")
        environment = {
            "AIRFLOW_CONN_CUSTOBAR_DEFAULT": sandbox.airflow_connection(requests_per_minute=600_000),
            "AIRFLOW_CONN_AWS_DEFAULT": s3.airflow_connection(),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        }
        with AirflowServer({}, environment, database_url=airflow_database()) as server:
            yield Airflow(server, sandbox)


def test_only_days_with_late_events_run_again(airflow: Airflow) -> None:
    """Rule: DAGs that wait for partitions run for each night's own day, and again for just the days that have changed since."""

    def click(at: str) -> None:
        airflow.sandbox.load("events", [{"type": "MAIL_CLICK", "date": f"{at}+00:00", "customer_id": "1"}])

    for day in ("2026-02-08", "2026-02-09", "2026-02-10", "2026-02-11", "2026-02-12"):
        click(f"{day}T12:00:00")
    airflow.wait_until("the DAGs are read", lambda: airflow.get(f"dags/{CONSUMER}") and airflow.get(f"dags/{EXAMPLE}"))
    airflow.unpause(EXAMPLE)
    told: list[str] = []
    for night, more in (
        ("2026-02-10", ["2026-02-07", "2026-02-08", "2026-02-09", "2026-02-10"]),
        ("2026-02-11", ["2026-02-11"]),
        ("2026-02-12", ["2026-02-09", "2026-02-12"]),
    ):
        if night == "2026-02-12":
            click("2026-02-09T08:00:00")
        airflow.run(EXAMPLE, night, partition_key=night)
        told = sorted([*told, *more])
        airflow.wait_until(f"the days of {night} run", lambda: len(airflow.partitions(CONSUMER)) >= len(told))  # noqa: B023
        assert airflow.partitions(CONSUMER) == told
    runs = [run for run in airflow.runs(CONSUMER) if run["partition_key"].startswith("2026-02")]
    for run in runs:
        airflow.wait_for(CONSUMER, run["dag_run_id"])
    counts = sorted(
        (result["day"], result["clicks"])
        for result in (airflow.result(CONSUMER, "count_clicks", run["dag_run_id"]) for run in runs)
    )
    assert counts == [
        ("2026-02-07", 0), ("2026-02-08", 1), ("2026-02-09", 1), ("2026-02-09", 2), ("2026-02-10", 1), ("2026-02-11", 1),
        ("2026-02-12", 1),
    ]  # fmt: skip


def test_dags_that_wait_for_the_whole_asset_are_started_too(airflow: Airflow) -> None:
    """Rule: the partitions that a task adds keep nobody from being started who waits for the asset as such."""
    for dag_id in ("waits_for_the_asset", "waits_for_partitions"):
        airflow.wait_until(f"{dag_id} is read", lambda: airflow.get(f"dags/{dag_id}"))  # noqa: B023 - called at once
    for number in (1, 2):
        airflow.run("plain", f"run-{number}", conf={"day": "2026-02-10"})
        for dag_id in ("waits_for_the_asset", "waits_for_partitions"):
            airflow.wait_until(f"{dag_id} runs", lambda: len(airflow.runs(dag_id)) >= number)  # noqa: B023
    assert [run["partition_key"] for run in airflow.runs("waits_for_the_asset")] == [None, None]
    assert airflow.partitions("waits_for_partitions") == ["2026-02-10", "2026-02-10"]
    run_id = airflow.runs("waits_for_partitions")[0]["dag_run_id"]
    airflow.wait_for("waits_for_partitions", run_id)
    (extra,) = airflow.result("waits_for_partitions", "seen", run_id)
    assert (extra["resource"], extra["window"]["start"]) == ("events", "2026-02-10T00:00:00+00:00")
    assert [uri.rpartition("/")[2] for uri in extra["uris"]] == ["2026-02-10.csv.gz"]
