"""Runs DAGs in this process, in the order in which they are asked for on its standard input; see ``airflow_home``.

Each line is a JSON object. States and results go to the file that it names as ``answer``; that name, on a line of its own, ends
what is printed for it. The first run takes ten seconds longer than the others: Airflow makes its execution API.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pendulum
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag, sync_bag_to_db
else:
    sync_bag_to_db = None


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        Path(order["answer"]).write_text(json.dumps(_run(order)))
        print(f"\n{order['answer']}", flush=True)


def _run(order: dict[str, Any]) -> list[dict[str, Any]]:
    with mock.patch.dict(os.environ, order["environment"]):
        bag = DagBag(order["file"])
        if bag.import_errors:
            raise SystemExit("\n".join(bag.import_errors.values()))
        if sync_bag_to_db is not None:
            # Airflow 3.1.0 makes runs of DAGs that its database knows.
            DagBundlesManager().sync_bundles_to_db()
            sync_bag_to_db(bag, "dags", None)
        dag = bag.dags[order["dag_id"]]
        return [_outcome(dag.test(**_dates(order, date), run_conf=order["conf"])) for date in order["dates"]]


def _dates(order: dict[str, Any], date: str) -> dict[str, Any]:
    moment = pendulum.parse(date)
    return {"run_after": moment, "logical_date": None} if order["by_api"] else {"logical_date": moment}


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
    main()
