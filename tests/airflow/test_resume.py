"""What the attempts of one task take over from each other, and what they leave to a task that is cleared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import ServerError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from tests.export.test_checkpoints import Memory


@pytest.fixture
def tenant(tenant: CustobarSandbox, connect: Any) -> CustobarSandbox:
    """Whose client gives up at once."""
    connect("custobar_default", tenant.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    return tenant


def attempt(state: Memory, folder: Path, number: int, *, task: str = "t", **changes: Any) -> dict[str, Any]:
    operator = CustobarToObjectStorageOperator(
        task_id="x",
        resource="sales",
        date="2026-02-10",
        lookback=1,
        page_size=5,
        path=f"file://{folder}/{{date}}.csv",
        **changes,
    )
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id=task, map_index=-1, try_number=number, max_tries=1)
    return operator.execute({"ti": ti, "task_state_store": state})  # type: ignore[typeddict-unknown-key]


def failing_late(tenant: CustobarSandbox, folder: Path) -> int:
    """A fault in the middle of the second day's own pages; the number of requests of an undisturbed run."""
    attempt(Memory(), folder, 1, task="other")
    count = len(tenant.requests)
    tenant.clear_log()
    tenant.faults.add(Fault("status", status=503, times=1, after=count - 12))
    return count


def test_days_that_are_done_are_not_exported_again(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """The next attempt at several days goes on within the day that failed; days before it are not asked for again."""
    undisturbed = failing_late(tenant, tmp_path / "a")
    state = Memory()
    with pytest.raises(ServerError):
        attempt(state, tmp_path / "b", 1)
    result = attempt(state, tmp_path / "b", 2)
    assert result["resumed"]
    assert len(tenant.requests) <= undisturbed + 1 + 2
    for path in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "b").iterdir())) == 2
    assert state.values == {}


def test_a_task_that_failed_for_good_begins_anew_when_it_is_cleared(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Nothing of a task's last attempt is left: cleared the next day, it exports every day again, late records included."""
    undisturbed = failing_late(tenant, tmp_path / "a")
    state = Memory()
    with pytest.raises(ServerError):
        attempt(state, tmp_path / "b", 2)
    assert state.values == {}
    tenant.clear_log()
    assert not attempt(state, tmp_path / "b", 3)["resumed"]
    assert len(tenant.requests) == undisturbed


def test_another_request_does_not_go_on_with_this_ones(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """A DAG that was changed between two attempts exports what it says now."""
    undisturbed = failing_late(tenant, tmp_path / "a")
    state = Memory()
    with pytest.raises(ServerError):
        attempt(state, tmp_path / "b", 1)
    tenant.clear_log()
    result = attempt(state, tmp_path / "b", 2, fields=["external_id"])
    assert not result["resumed"]
    assert len(tenant.requests) == undisturbed
    assert (tmp_path / "b" / "2026-02-10.csv").read_text().startswith("external_id,sale_external_id\n")


def test_a_token_is_never_in_a_checkpoint(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """What is kept for the next attempt holds where it stopped, and no credentials."""
    failing_late(tenant, tmp_path / "a")
    state = Memory()
    with pytest.raises(ServerError):
        attempt(state, tmp_path / "b", 1)
    assert state.values
    assert not any(tenant.token in text for text in state.values.values())
