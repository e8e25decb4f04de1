"""The file of rejected rows where something else goes wrong, too."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from airflow_provider_custobar.stores.local import LocalStore
from airflow_provider_custobar.stores.local_sink import LocalSink
from airflow_provider_custobar.upload.rejects import Rejects
from airflow_provider_custobar.upload.rows import Rejected


def refuse(_: object) -> None:
    raise PermissionError("no right to remove it")


def test_a_clean_up_that_fails_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: what went wrong first surfaces, since its fate decides on retries; what is left over is told in the log."""
    monkeypatch.setattr(LocalSink, "abort", refuse)

    def reject_and_fail() -> None:
        with Rejects(LocalStore().target(f"{tmp_path}/r.jsonl")) as rejects:
            rejects.add(Rejected(0, ["bad"], {}))
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        reject_and_fail()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
