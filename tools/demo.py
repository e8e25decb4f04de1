"""``make demo``: the example DAGs in real Airflow, against a sandbox and real S3 and GCS servers."""

from __future__ import annotations

import gzip
import io
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import duckdb

from airflow_provider_custobar.sandbox import CustobarSandbox
from tools.airflow_home import PROJECT, AirflowHome, DagRunOutcome
from tools.stage import BUCKET, DemoError, Stage, run_to_the_end, set_stage, step

DAGS = ("custobar_daily_export", "custobar_upload_customers", "custobar_wait_for_events")
DAY = "2026-02-20"


def run(stack: ExitStack) -> int:
    began = time.monotonic()
    stage = set_stage(stack, CustobarSandbox(customers=2_000, events=30_000, sales=6_000, products=300))
    with step("prepare Airflow (its own home, SQLite)"):
        home = stack.enter_context(AirflowHome(stage.connections, stage.gcs.environment()))
    outcomes: dict[str, DagRunOutcome] = {}
    for dag_id in DAGS:
        with step(f"run {dag_id} for {DAY}"):
            outcomes[dag_id] = _run_dag(home, dag_id, DAY)
    with step("read everything back with other tools"):
        objects = _objects(stage)
        _compare(outcomes, objects)
    _print_objects(objects)
    upload = outcomes["custobar_upload_customers"].results["upload"]
    print(f"\nUpload   {upload['uploaded']} of {upload['rows']} customers sent, {upload['rejected']} set aside")
    found = outcomes["custobar_wait_for_events"].results["clicks_are_there"]
    print("Sensor   " + ", ".join(f"{name}: {seen['count']} found, at {seen['first']}" for name, seen in found.items()))
    print(f"\nDone in {time.monotonic() - began:.0f} s. To look around in Airflow's UI: make ui")
    return 0


def _run_dag(home: AirflowHome, dag_id: str, day: str) -> DagRunOutcome:
    (outcome,) = home.run_dag(PROJECT / "dags_examples" / f"{dag_id}.py", dag_id, [day])
    # A run whose tasks never ran is a success to Airflow.
    if set(outcome.states.values()) != {"success"}:
        reasons = "\n".join(outcome.errors) or outcome.log[-6000:]
        raise DemoError(f"the run ended as {outcome.state}: {outcome.states}\n{reasons}")
    return outcome


@dataclass(frozen=True)
class StoredObject:
    uri: str
    size: int
    rows: int


def _objects(stage: Stage) -> list[StoredObject]:
    """What the stores hold, read with their own clients and counted with DuckDB, not with this provider."""
    s3 = stage.s3.client()
    found = [
        (f"s3://{BUCKET}/{item['Key']}", s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
        for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    ]
    found += [(f"gs://{BUCKET}/{blob.name}", blob.download_as_bytes()) for blob in stage.gcs.client().list_blobs(BUCKET)]
    return [StoredObject(uri, len(data), _count_rows(uri, data)) for uri, data in found]


def _count_rows(uri: str, data: bytes) -> int:
    text = gzip.decompress(data) if uri.endswith(".gz") else data
    reader: Any = duckdb.read_csv if ".csv" in uri else duckdb.read_json
    options = {"header": True, "all_varchar": True} if ".csv" in uri else {}
    return int(reader(io.BytesIO(text), **options).aggregate("count(*)").fetchall()[0][0])


def _compare(outcomes: dict[str, DagRunOutcome], objects: list[StoredObject]) -> None:
    stored = {stored.uri: (stored.rows, stored.size) for stored in objects}
    told = {
        uri: (result["rows"], result["bytes"])
        for outcome in outcomes.values()
        for result in outcome.results.values()
        if isinstance(result, dict)
        for uri in result.get("uris", ())
    }
    if stored != told:
        raise DemoError(f"the stores hold {stored}, the tasks said {told}")


def _print_objects(objects: list[StoredObject]) -> None:
    width = max(len(stored.uri) for stored in objects)
    print(f"\n{'What landed':<{width}}  {'rows':>8}  {'bytes':>10}  format")
    for stored in sorted(objects, key=lambda item: item.uri):
        ending = stored.uri.rpartition("/")[2].partition(".")[2]
        print(f"{stored.uri:<{width}}  {stored.rows:>8,}  {stored.size:>10,}  {ending}")


if __name__ == "__main__":
    sys.exit(run_to_the_end(run))
