"""``make ui`` itself: what it starts, and how it ends."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from tools.airflow_home import AirflowError
from tools.airflow_server import AirflowServer, check_port
from tools.ui import start
from tools.waiting import wait_until

DAG_ID = "custobar_mapped_export"


class Looked:
    """Airflow's API, asked as its UI asks it."""

    def __init__(self, airflow: AirflowServer) -> None:
        self.airflow = airflow
        self._session = requests.Session()
        token = requests.get(f"{airflow.url}/auth/token", timeout=60).json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        answer = self._session.request(method, f"{self.airflow.url}/api/v2/{path}", json=body, timeout=120)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def wait_until(self, what: str, path: str, states: set[str]) -> None:
        wait_until(what, lambda: self.ask("GET", path)["state"] in states, every_seconds=1, log=self.airflow.log_path.read_text)


@pytest.fixture(scope="module")
def ui() -> Iterator[Looked]:
    with ExitStack() as stack:
        yield Looked(start(stack)[1])


@pytest.mark.parametrize("name", ["scheduler", "triggerer"])
def test_ports_of_airflow_itself_are_refused_by_name(name: str) -> None:
    """Rule: a port that another part of Airflow needs is refused, and that part is named."""
    with pytest.raises(AirflowError, match=f"Airflow's own {name}"):
        check_port({"scheduler": 8793, "triggerer": "8794"}[name])


def test_a_port_can_be_had_again_at_once() -> None:
    """Rule: a port whose last connections are closed can be had; one that somebody listens at, or that is none, cannot."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(AirflowError, match=f"{port} cannot be had"):
            check_port(port)
        with socket.create_connection(("127.0.0.1", port)):
            # Who closes first keeps the port for a minute.
            server.accept()[0].close()
    assert check_port(str(port)) == port
    for wrong in ("http", "70000", "-1"):
        with pytest.raises(AirflowError, match=f"'?{wrong}'? "):
            check_port(wrong)


@pytest.mark.processes
def test_connections_can_be_tested_in_the_ui(ui: Looked) -> None:
    """Rule: Test Connection works for each connection, asked as the UI does: with "" for what is empty, and 0 for no port."""
    found = ui.ask("GET", "connections")["connections"]
    assert len(found) >= 5
    for connection in found:
        names = ("connection_id", "conn_type", "description", "host", "login", "password", "schema")
        body = {name: connection[name] or "" for name in names}
        body |= {"port": int(connection["port"] or 0), "extra": connection["extra"] or "{}"}
        answer = ui.ask("POST", "connections/test", body)
        assert answer["status"], f"{connection['connection_id']}: {answer['message']}"


@pytest.mark.processes
def test_mapped_tasks_have_names_and_rendered_templates_show_where_they_wrote(ui: Looked) -> None:
    """Rule: mapped tasks are told apart by what they do; their fields show the objects' names without placeholders.

    No log begins with a warning of Airflow's about secrets that are too short to mask.
    """
    ui.ask("PATCH", f"dags/{DAG_ID}?update_mask=is_paused", {"is_paused": False})
    run_id = ui.ask("POST", f"dags/{DAG_ID}/dagRuns", {"logical_date": None})["dag_run_id"]
    run = f"dags/{DAG_ID}/dagRuns/{run_id}"
    ui.wait_until("it has run", run, {"success", "failed"})
    tasks = ui.ask("GET", f"{run}/taskInstances?task_id=events_to_s3")["task_instances"]
    mapped = [task for task in tasks if task["task_id"] == "events_to_s3"]
    assert {task["state"] for task in mapped} == {"success"}
    assert len(mapped) == 6
    for task in mapped:
        event_type, day = task["rendered_map_index"].split(" ")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)
        assert task["rendered_fields"]["s3_key"] == f"custobar/mapped/type={event_type}/ds={day}/events.jsonl.gz"
    logs = list(ui.airflow.home.directory.rglob("*task_id=*/**/attempt=1.log"))
    assert len(logs) >= 7
    for log in logs:
        events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
        assert not [event for event in events if "too short" in event], log


@pytest.mark.processes
def test_the_end_of_the_api_server_is_told_at_once(ui: Looked) -> None:
    """Rule: an API server that dies ends ``make ui``, with what it said last; the whole log is kept."""
    ui.airflow.wait(1)
    server = ui.airflow.api_server
    server.kill()
    with pytest.raises(AirflowError, match=r"Airflow's API server ended:\napi-server") as caught:
        ui.airflow.wait(300)
    kept = Path(str(caught.value).rpartition(" ")[2])
    assert "Starting Airflow Standalone" in kept.read_text()
    kept.unlink()
    kept.parent.rmdir()
