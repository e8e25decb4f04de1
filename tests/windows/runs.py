"""Runs of DAGs as Airflow makes them: real timetables say when, and the task runner's own code makes the context."""

from __future__ import annotations

import uuid
from datetime import datetime
from itertools import islice
from typing import Any

import pendulum
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction

HELSINKI = "Europe/Helsinki"
#: The nights in which Helsinki's clock is turned, and what lies around them.
SPRING = pendulum.datetime(2026, 3, 27, tz=HELSINKI)
AUTUMN = pendulum.datetime(2026, 10, 23, tz=HELSINKI)


def core_timetable(dag: DAG) -> Any:
    """The timetable as the scheduler has it."""
    if hasattr(dag.timetable, "next_dagrun_info"):
        return dag.timetable
    from airflow.serialization.encoders import coerce_to_core_timetable

    return coerce_to_core_timetable(dag.timetable)


def scheduled(dag: DAG, count: int) -> list[DagRunInfo]:
    """The first ``count`` runs that the scheduler makes of ``dag`` with catchup."""
    timetable = core_timetable(dag)
    restriction = TimeRestriction(earliest=pendulum.instance(dag.start_date), latest=None, catchup=True)

    def infos() -> Any:
        last: DagRunInfo | None = None
        while True:
            if getattr(timetable, "partitioned", False):
                last = timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)
            else:
                interval = last and last.data_interval
                last = timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction)
            yield last

    return list(islice(infos(), count))


def around_the_turn(dag: DAG) -> list[DagRunInfo]:
    """The runs before and after the turn of the clock, which is 51 hours after the DAG's start."""
    turn = pendulum.instance(dag.start_date).add(hours=51)
    runs = scheduled(dag, 60)
    if runs[-10].run_after < turn:
        runs = scheduled(dag, 300)
    after = sum(run.run_after < turn for run in runs)
    return runs[max(0, after - 8) : after + 8]


def context_of(task: BaseOperator, info: DagRunInfo | None = None, **run: Any) -> dict[str, Any]:
    """The context of ``task`` in the run that ``info`` announces, or in one with the given fields."""
    fields: dict[str, Any] = {
        "dag_id": task.dag_id,
        "run_id": "run",
        "logical_date": None,
        "data_interval_start": None,
        "data_interval_end": None,
        "run_after": pendulum.datetime(2026, 2, 2, 7, 30),
        "start_date": pendulum.datetime(2026, 2, 2, 7, 31),
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "consumed_asset_events": [],
    }
    if "partition_key" in DagRun.model_fields:
        fields["partition_key"] = None
    if info is not None:
        fields |= {"run_type": "scheduled", "run_after": info.run_after, "logical_date": info.logical_date}
        if info.data_interval is not None:
            fields |= {"data_interval_start": info.data_interval.start, "data_interval_end": info.data_interval.end}
        for name in ("partition_key", "partition_date"):
            # Airflow 3.2 does not tell a task the date.
            if getattr(info, name, None) is not None and name in DagRun.model_fields:
                fields[name] = getattr(info, name)
    instance = RuntimeTaskInstance.model_construct(
        id=uuid.uuid4(),
        task_id=task.task_id,
        dag_id=task.dag_id,
        run_id="run",
        try_number=1,
        map_index=-1,
        dag_version_id=uuid.uuid4(),
        task=task,
        start_date=fields["start_date"],
        _ti_context_from_server=TIRunContext(dag_run=DagRun(**fields | run), max_tries=0),
    )
    context: Any = instance.get_template_context()
    return dict(context)


def by_hand(dag: DAG, moment: datetime) -> dict[str, Any]:
    """The fields of a run that somebody starts at ``moment``."""
    when = pendulum.instance(moment)
    interval: DataInterval | None = core_timetable(dag).infer_manual_data_interval(run_after=when)
    fields: dict[str, Any] = {"logical_date": when, "run_after": when}
    if interval is not None:
        fields |= {"data_interval_start": interval.start, "data_interval_end": interval.end}
    return fields
