"""Every example DAG against what ``make ui`` sets up, as a person runs it there: by pressing Trigger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from tools.airflow_home import PROJECT, AirflowHome, connection_variables
from tools.stage import ExamplesStage, set_examples_stage

pytestmark = pytest.mark.processes

DAGS = sorted(path.stem for path in (PROJECT / "dags_examples").glob("*.py"))


@dataclass(frozen=True)
class Needs:
    """What is special about an example."""

    conf: dict[str, Any] = field(default_factory=dict)
    #: Tasks that may find nothing on some days, or at some hours.
    may_be_empty: frozenset[str] = frozenset()
    #: Why no person starts it, and which test does.
    starts_by_itself: str = ""


NEEDS = {
    "custobar_any_schedule": Needs(may_be_empty=frozenset({"events_to_s3"})),
    "custobar_daily_export": Needs(may_be_empty=frozenset({"unsubscribes_to_gcs"})),
    "custobar_new_unsubscribes": Needs(starts_by_itself="when something happens: test_running_airflow.py"),
}


@pytest.fixture(scope="module")
def stage() -> Iterator[ExamplesStage]:
    with ExitStack() as stack:
        yield set_examples_stage(stack, datetime.now(UTC).date())


@pytest.mark.parametrize("dag_id", DAGS)
def test_there_is_something_to_see(dag_id: str, stage: ExamplesStage, airflow_home: AirflowHome) -> None:
    """Rule: in the UI of ``make ui`` each example succeeds, and each of its results tells of rows."""
    needs = NEEDS.get(dag_id, Needs())
    if needs.starts_by_itself:
        pytest.skip(f"it starts by itself, {needs.starts_by_itself}")
    (outcome,) = airflow_home.run_dag(
        PROJECT / "dags_examples" / f"{dag_id}.py",
        dag_id,
        [datetime.now(UTC).isoformat()],
        needs.conf,
        environment={**connection_variables(stage.connections), **stage.environment},
    )
    assert set(outcome.states.values()) == {"success"}, outcome.log
    rows = {name: _rows(result) for name, result in outcome.results.items() if isinstance(result, dict)}
    nothing = {name for name, count in rows.items() if count == 0 and name not in needs.may_be_empty}
    assert rows, outcome.results
    assert not nothing, outcome.results


def _rows(result: dict[str, Any]) -> int | None:
    """How many rows a task tells of; None where it is about something else."""
    for name in ("uploaded", "inserted", "rows"):
        if name in result:
            return int(result[name])
    counts = [found["count"] for found in result.values() if isinstance(found, dict) and "count" in found]
    return sum(counts) if counts else None
