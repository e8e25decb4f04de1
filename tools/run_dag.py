"""Runs one DAG for some dates in this process and writes states and results to a file; see ``airflow_home``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pendulum
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag


def main(order: dict[str, Any]) -> None:
    bag = DagBag(order["file"])
    if bag.import_errors:
        raise SystemExit("\n".join(bag.import_errors.values()))
    dag = bag.dags[order["dag_id"]]
    outcomes = [_outcome(dag.test(logical_date=pendulum.parse(date), run_conf=order["conf"])) for date in order["dates"]]
    Path(order["answer"]).write_text(json.dumps(outcomes))


def _outcome(run: Any) -> dict[str, Any]:
    states: dict[str, str] = {}
    results: dict[str, Any] = {}
    with create_session() as session:
        run = session.merge(run)
        for instance in run.get_task_instances(session=session):
            states[_name(instance.task_id, instance.map_index)] = str(instance.state)
        for row in session.scalars(XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id, key="return_value")):
            results[_name(row.task_id, row.map_index)] = XComModel.deserialize_value(row)
        return {"state": str(run.state), "states": states, "results": results}


def _name(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
