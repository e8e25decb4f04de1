"""A person's word between a dry run and the upload, in a whole Airflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_custobar.sandbox import CustobarSandbox
from tools.airflow_home import PROJECT
from tools.airflow_server import AirflowServer
from tools.servers import PostgresDatabase, PostgresServer
from tools.waiting import wait_until

pytestmark = pytest.mark.processes

DAG_ID = "custobar_upload_approval"


@dataclass
class Desk:
    """Airflow with the example, a tenant, and the warehouse that the rows come from."""

    airflow: AirflowServer
    sandbox: CustobarSandbox
    warehouse: PostgresDatabase
    session: requests.Session

    def call(self, method: str, path: str, **body: Any) -> Any:
        def ask() -> requests.Response:
            answer = self.session.request(method, f"{self.airflow.url}/api/v2/{path}", json=body or None, timeout=60)
            if answer.status_code >= 500:
                answer.raise_for_status()
            return answer

        answer = wait_until("the API answers", lambda: [ask()])[0]
        return answer.json() if answer.ok else None

    def buy(self, **totals: int) -> None:
        with self.warehouse.connect() as connection:
            connection.execute("DELETE FROM custobar_sales")
            for customer, total in totals.items():
                connection.execute("INSERT INTO custobar_sales VALUES (%s, %s)", (customer, total))

    def state(self, run_id: str, task_id: str) -> str | None:
        found = self.call("GET", f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}")
        return found["state"] if found else None

    def begin(self, run_id: str) -> str:
        """Start a run; return what the person who is asked sees."""
        self.wait_until("the example is read", lambda: self.call("GET", f"dags/{DAG_ID}"))
        assert self.call("POST", f"dags/{DAG_ID}/dagRuns", dag_run_id=run_id, logical_date=None)
        question = f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
        body = self.wait_until("somebody is asked", lambda: (self.call("GET", question) or {}).get("body"))
        return str(body)

    def answer(self, run_id: str, option: str) -> str:
        """Answer as the UI does; return the state that the upload then comes to."""
        place = f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
        # No person is as fast as this test: the question is there before the task waits, and Airflow forgets an answer that
        # comes in between; it asks once more where one comes before the scheduler has heard that the task's process ended.
        self.wait_until("the task waits", lambda: self.state(run_id, "approve") in ("awaiting_input", "deferred"))
        ended = f"TaskInstance Finished: dag_id={DAG_ID}, task_id=approve, run_id={run_id},"
        self.wait_until("the scheduler knows", lambda: ended in self.airflow.log_path.read_text(errors="replace"))
        assert self.call("PATCH", place, chosen_options=[option], params_input={})
        ends = ("success", "failed", "skipped", "upstream_failed")
        self.wait_until("the upload ends", lambda: self.state(run_id, "upload") in ends)
        return str(self.state(run_id, "upload"))

    def wait_until(self, what: str, look: Callable[[], Any]) -> Any:
        # What is looked at is served by what is waited for.
        return wait_until(what, look, every_seconds=0.4, log=self.log)

    def log(self) -> str:
        return self.airflow.log_path.read_text(errors="replace")[-6000:]

    def log_of(self, run_id: str, task_id: str) -> str:
        (log,) = self.airflow.home.directory.rglob(f"*run_id={run_id}/task_id={task_id}/attempt=*.log")
        return log.read_text()

    def tags(self) -> dict[str, list[str]]:
        return {row["external_id"]: row.get("tags", []) for row in self.sandbox.records("customers")}


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, airflow_database: Callable[[], str], postgres_server: PostgresServer
) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("dags")
    example = (PROJECT / "dags_examples" / f"{DAG_ID}.py").read_text()
    assert "schedule=None," in example
    # Retries, of which there are to be none.
    settings = 'schedule=None,\n    is_paused_upon_creation=False,\n    default_args={"retries": 2, "retry_delay": 0},'
    (folder / "example.py").write_text(example.replace("schedule=None,", settings))
    warehouse = postgres_server.create_database()
    with warehouse.connect() as connection:
        connection.execute("CREATE TABLE custobar_sales (sale_customer_id text, total bigint)")
    with CustobarSandbox(generate=False) as sandbox:
        environment = {
            "AIRFLOW_CONN_CUSTOBAR_DEFAULT": sandbox.airflow_connection(requests_per_minute=600),
            "AIRFLOW_CONN_POSTGRES_DEFAULT": warehouse.airflow_connection(),
            "AIRFLOW_VAR_CUSTOBAR_STATE": f"file://{folder}",
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        }
        with AirflowServer({}, environment, database_url=airflow_database()) as airflow:
            session = requests.Session()
            token = requests.get(f"{airflow.url}/auth/token", timeout=60).json()["access_token"]
            session.headers["Authorization"] = f"Bearer {token}"
            yield Desk(airflow, sandbox, warehouse, session)


def test_exactly_what_was_approved_goes_out(desk: Desk) -> None:
    """Rule: who is asked sees the counts; approved rows go, removals with them; of a source that has changed since, nothing
    does, for good; nor does what was rejected.
    """
    desk.buy(a=20_000, b=30_000, c=1)
    assert "| 2 | 0 | 0 | 0 | 0 |" in desk.begin("first")
    assert desk.sandbox.uploads == []
    assert desk.answer("first", "Approve") == "success"
    assert [entry.rows for entry in desk.sandbox.uploads] == [
        [{"external_id": "a", "tags.add": ["best"]}, {"external_id": "b", "tags.add": ["best"]}]
    ]

    desk.buy(b=30_000, c=40_000)
    assert "| 1 | 0 | 1 | 1 | 0 |" in desk.begin("changed")
    desk.buy(b=30_000, c=40_000, d=50_000)
    desk.sandbox.clear_log()
    assert desk.answer("changed", "Approve") == "failed"
    log = desk.log_of("changed", "upload")
    assert "DigestMismatchError" in log
    assert "Nothing was sent" in log
    assert desk.sandbox.requests == []

    assert "| 2 | 0 | 1 | 1 | 0 |" in desk.begin("rejected")
    assert desk.answer("rejected", "Reject") == "skipped"
    assert desk.sandbox.requests == []

    assert "| 2 | 0 | 1 | 1 | 0 |" in desk.begin("again")
    assert desk.answer("again", "Approve") == "success"
    assert desk.tags() == {"a": [], "b": ["best"], "c": ["best"], "d": ["best"]}
