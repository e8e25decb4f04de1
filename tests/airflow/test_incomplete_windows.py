"""Exports and loads of a window that is not over yet."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.stream.endings import IncompleteWindowError
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator

KINDS = ("export", "load")
ENDINGS: dict[str, type[Exception]] = {"fail": IncompleteWindowError, "skip": AirflowSkipException}


@pytest.fixture
def run(
    tenant: CustobarSandbox, connect: Callable[[str, str], None], tmp_path: Path
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    connect("database", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "db.sqlite")}))

    def run(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
        asked = {"task_id": "t", "resource": "events", "event_types": "BROWSE", "fields": ["type", "date"], **arguments}
        if kind == "export":
            result = CustobarToObjectStorageOperator(path=f"file://{tmp_path}/out/events.csv", **asked).execute({})
        else:
            result = CustobarToSqlOperator(conn_id="database", table="events", **asked).execute({})
        return dict(result)

    return run


def window(end: timedelta) -> dict[str, datetime]:
    return {"window_start": datetime(2026, 2, 10, tzinfo=UTC), "window_end": datetime.now(UTC) + end}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("choice", ENDINGS)
def test_a_window_that_is_not_over_is_not_asked_for(
    tenant: CustobarSandbox, run: Any, tmp_path: Path, kind: str, choice: str
) -> None:
    """Rule: with on_incomplete="fail" or "skip" nobody is asked and nothing is written before the window's end."""
    with pytest.raises(ENDINGS[choice], match=f"Nothing was asked for, as on_incomplete='{choice}'"):
        run(kind, {**window(timedelta(hours=1)), "on_incomplete": choice})
    assert tenant.requests == []
    assert not list(tmp_path.iterdir())
    assert run(kind, {**window(timedelta(0)), "on_incomplete": choice})["rows"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_it_is_warned_of(tenant: CustobarSandbox, run: Any, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """Rule: by default what there is so far is brought, with a warning that tells of the rest."""
    assert run(kind, window(timedelta(hours=1)))["rows"] > 0
    assert "Not over yet, so what happens until its end will be missing" in capsys.readouterr().out


def test_other_choices_are_refused() -> None:
    """Rule: a choice that is no template is checked where the DAG file is parsed."""
    with pytest.raises(InvalidArgumentError, match="on_incomplete='wait'.*warn, fail, skip"):
        CustobarToObjectStorageOperator(task_id="t", resource="sales", path="file:///tmp/x.csv", on_incomplete="wait")  # type: ignore[arg-type]
