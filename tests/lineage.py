"""What Airflow and OpenLineage's provider make of the lineage that operators tell."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.utils.state import TaskInstanceState

from airflow_provider_custobar.task import lineage

try:
    from airflow.sdk.lineage import HookLineageCollector
except ImportError:  # Airflow 3.1 and 3.2
    from airflow.lineage.hook import HookLineageCollector

__all__ = ["HookLineageCollector", "columns", "counts", "extracted", "listen", "made_of", "names"]


def listen(monkeypatch: pytest.MonkeyPatch) -> HookLineageCollector:
    """What there is where a plugin, such as OpenLineage's, reads hook lineage."""
    collector = HookLineageCollector()
    monkeypatch.setattr(lineage, "is_lineage_read", lambda: True)
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    return collector


def extracted(task: Any, state: TaskInstanceState = TaskInstanceState.SUCCESS) -> Any:
    """The ``OperatorLineage`` that OpenLineage's provider has of a task that ended so. No connection is there any more."""
    from airflow.providers.openlineage.extractors.manager import ExtractorManager

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]:
            patch.delenv(name)
        return ExtractorManager().extract_metadata(SimpleNamespace(run_id="run"), task, state, None)


def names(datasets: Any) -> list[tuple[str, str]]:
    return [(each.namespace, each.name) for each in datasets]


def columns(dataset: Any) -> dict[str, str | None]:
    return {each.name: each.type for each in dataset.facets["schema"].fields}


def made_of(dataset: Any) -> dict[str, list[tuple[str, str, str]]]:
    """By column, where it comes from: namespace, dataset and field."""
    return {
        name: [(each.namespace, each.name, each.field) for each in column.inputFields]
        for name, column in dataset.facets["columnLineage"].fields.items()
    }


def counts(dataset: Any) -> tuple[int | None, int | None, int | None]:
    """Rows, bytes and files."""
    told = dataset.outputFacets["outputStatistics"]
    return told.rowCount, told.size, told.fileCount
