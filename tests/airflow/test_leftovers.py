"""Exports whose last steps fail: what is left, and what the next attempt makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.stores.local_sink import LocalSink
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.upload.rejects import Rejects
from tests.airflow.test_fates import context
from tests.export.test_checkpoints import Memory


@pytest.fixture
def hasty(tenant: CustobarSandbox, connect: Callable[[str, str], None]) -> CustobarSandbox:
    """Whose client gives up at once."""
    connect("custobar_default", tenant.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    return tenant


def export(folder: Path, **arguments: Any) -> CustobarToObjectStorageOperator:
    given = {"resource": "customers", "page_size": 5, "file_format": "jsonl", "replace": False, **arguments}
    return CustobarToObjectStorageOperator(task_id="t", path=f"file://{folder}/a.jsonl", **given)


def test_a_refusal_before_the_first_request_leaves_nothing_either(hasty: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: where another's object has come between two attempts, the second leaves neither a half of ours nor a state."""
    state = Memory()
    hasty.faults.add(Fault("status", status=500, after=3))
    with pytest.raises(CustobarError):
        export(tmp_path).execute(context(1, state))
    assert state.values
    hasty.faults.clear()
    (tmp_path / "a.jsonl").write_text("another's")
    with pytest.raises(AirflowFailException, match="exists already"):
        export(tmp_path).execute(context(2, state))
    assert ([path.name for path in tmp_path.iterdir()], state.values) == (["a.jsonl"], {})


def test_a_manifest_that_is_there_already_hinders_no_retry(hasty: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: with replace=False, an attempt that dies once all is written is no hindrance to the next; another's manifest is."""
    state = Memory("delete")
    arguments = {"manifest": f"file://{tmp_path}/m.json"}
    first = export(tmp_path, **arguments).execute(context(1, state))
    assert export(tmp_path, **arguments).execute(context(2, state)) == first | {"resumed": True}
    (tmp_path / "m.json").write_text(json.dumps("another's"))
    with pytest.raises(AirflowFailException, match=r"m\.json exists already"):
        export(tmp_path, **arguments).execute(context(3, state))


def test_a_cleared_task_exports_anew(hasty: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: an export that was done is not taken for this one's once its task is cleared, even if its state could not go."""
    state = Memory("delete")
    before = export(tmp_path, replace=True).execute(context(1, state))
    hasty.load("customers", [{"external_id": "added"}])
    cleared = context(2, state)
    cleared["ti"].max_tries += 2
    after = export(tmp_path, replace=True).execute(cleared)
    assert (after["rows"], after["resumed"]) == (before["rows"] + 1, False)


def test_a_killed_upload_leaves_no_half_of_its_state(
    hasty: CustobarSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: the next attempt removes what a killed one had written of state_path, even if it sends nothing."""

    def upload(number: int, **row: Any) -> None:
        CustobarUploadOperator(
            task_id="t", records=[{"external_id": "1", **row}], only_changed=True, state_path=f"file://{tmp_path}/state"
        ).execute(context(number))

    def die(_: LocalSink) -> None:
        raise OSError("as a process that is gone")

    with monkeypatch.context() as patch:
        patch.setattr(LocalSink, "publish", die)
        patch.setattr(LocalSink, "abort", lambda sink: sink._open_file().close())
        with pytest.raises(OSError, match="gone"):
            upload(1)
    assert list(tmp_path.iterdir())
    with pytest.raises(AirflowFailException):
        upload(2, can_email="perhaps")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_upload_leaves_no_half_of_its_rejects(
    hasty: CustobarSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: the next attempt removes what a killed one had written of rejects_path."""

    def upload(number: int) -> None:
        rows = [{"external_id": "1", "can_email": "perhaps"}]
        path = f"file://{tmp_path}/rejects.jsonl"
        with pytest.raises(AirflowFailException):
            CustobarUploadOperator(task_id="t", records=rows, rejects_path=path).execute(context(number))

    with monkeypatch.context() as patch:
        # As a process that is gone.
        patch.setattr(Rejects, "publish", lambda _: None)
        patch.setattr(LocalSink, "abort", lambda sink: sink._open_file().close())
        upload(1)
    assert len(list(tmp_path.iterdir())) == 1
    upload(2)
    assert [path.name for path in tmp_path.iterdir()] == ["rejects.jsonl"]
