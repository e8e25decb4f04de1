"""What Airflow 3.1 and 3.2 lack is left out with a sentence, and nothing else is. These tests run on every Airflow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import airflow
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from packaging.version import Version

from airflow_provider_custobar.retry_policy import CustobarRetryPolicy
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.stream.state_store import SupersededError
from airflow_provider_custobar.task import compat

IS_OLDER = Version(airflow.__version__) < Version("3.3")


@pytest.fixture(autouse=True)
def _nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    compat.say_once.cache_clear()


def test_a_dag_with_a_retry_policy_is_a_dag(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: by default_args, by argument or mapped, a policy costs no DAG its place; where it does nothing, it is said once."""
    with DAG("policies", schedule=None, default_args={"retry_policy": CustobarRetryPolicy()}) as dag:
        CustobarEventSensor(task_id="by_default", event_types="BROWSE", date="2026-02-10")
        CustobarEventSensor(task_id="given", event_types="BROWSE", date="2026-02-10", retry_policy=CustobarRetryPolicy())
        partial = CustobarEventSensor.partial(task_id="mapped", date="2026-02-10", retry_policy=CustobarRetryPolicy())
        partial.expand(event_types=["BROWSE"])
    assert sorted(dag.task_ids) == ["by_default", "given", "mapped"]
    assert caplog.text.count("This Airflow has no retry policies (3.3 has)") == IS_OLDER


def test_a_sensor_that_cannot_start_in_the_triggerer_defers_from_a_worker(
    custobar_sandbox: CustobarSandbox, connect: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: start_from_trigger waits without a worker as soon as it can, and says so where a worker is needed to begin."""
    connect("custobar_default", custobar_sandbox.airflow_connection())
    sensor = CustobarEventSensor(task_id="wait", event_types="BROWSE", date="2020-02-10", start_from_trigger=True)
    assert bool(getattr(sensor, "start_from_trigger", False)) is not IS_OLDER
    with pytest.raises(TaskDeferred):
        sensor.execute({})
    assert ("start_from_trigger needs Airflow 3.3" in caplog.text) is IS_OLDER


@pytest.mark.parametrize(("max_tries", "sentences"), [(0, 0), (2, 1)])
def test_that_nothing_is_kept_for_the_next_attempt_is_said(
    caplog: pytest.LogCaptureFixture, max_tries: int, sentences: int
) -> None:
    """Rule: a task with retries says once that they will start over, one without says nothing."""
    for _ in range(2):
        assert compat.task_state_store({"ti": SimpleNamespace(max_tries=max_tries)}) is None
    assert caplog.text.count("keeps no state for tasks (3.3 does)") == sentences


def test_a_partition_is_read_where_it_stands() -> None:
    """Rule: Airflow 3.3 puts the partition into the context, 3.2 its key into the DAG run; no run has it in both."""
    begins = datetime(2026, 1, 15, tzinfo=UTC)
    run = SimpleNamespace(partition_key="2026-01-15T00:00:00")
    assert compat.partition_of({"dag_run": run}) == ("2026-01-15T00:00:00", None)
    assert compat.partition_of({"dag_run": run, "partition_key": "2026-01-16", "partition_date": begins}) == (
        "2026-01-16",
        begins,
    )
    assert compat.partition_of({"dag_run": SimpleNamespace()}) == compat.partition_of({}) == (None, None)


@pytest.mark.parametrize(("status", "is_superseded"), [(404, True), (410, True), (500, False), (403, False)])
def test_an_attempt_that_airflow_does_not_know_is_superseded(status: int, is_superseded: bool) -> None:
    """Rule: what the API server answers to an attempt that was taken for dead is told from other failures."""
    answer = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status, "message": "made up"})

    class Store:
        def get(self, key: str) -> None: ...

        def delete(self, key: str) -> None: ...

        def set(self, key: str, value: object) -> None:
            raise AirflowRuntimeError(answer)

    store = compat.task_state_store({"task_state_store": Store()})
    assert store is not None
    with pytest.raises(SupersededError if is_superseded else AirflowRuntimeError):
        store.set("key", 1)
