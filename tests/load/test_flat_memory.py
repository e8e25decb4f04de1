"""Memory does not grow with the number of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load.databases import Postgres
from tests.python_process import output_of
from tests.soak import times
from tools.bench.event_rows import FIELDS
from tools.bench.page_server import TOKEN, Dataset, PageServer

pytestmark = pytest.mark.processes

FEW, MANY = Dataset(50_000), Dataset(200_000)
MOST_GROWTH_MIB = 40
LOAD = """
import json, sys
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator
from tools.memory import peak_mib
result = CustobarToSqlOperator(task_id="load", conn_id="place", **json.loads(sys.argv[1])).execute({})
print(json.dumps([result["rows"], result["inserted"], peak_mib()]))
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[PageServer]:
    with PageServer([FEW, MANY]) as running:
        yield running


@pytest.mark.parametrize(("api_format", "mode"), [("json", "append"), ("csv", "upsert")][: times(1, 2)])
def test_peak_memory(servers: PageServer, postgres: Postgres, tmp_path: Path, api_format: str, mode: str) -> None:
    """Rule: four times the rows take no more than 40 MiB more, in a process of its own."""
    arguments = {"resource": "events", "event_types": ["BROWSE"], "fields": FIELDS, "page_size": 10_000}
    arguments |= {"api_format": api_format, "mode": mode, "key_columns": ["customer_id", "date", "path", "product_id"]}
    peaks = []
    for dataset in (FEW, MANY):
        extra = {"requests_per_minute": 1_000_000}
        custobar = {"conn_type": "custobar", "host": servers.base_url(dataset), "password": TOKEN, "extra": extra}
        environment = {
            "AIRFLOW_HOME": str(tmp_path / str(dataset.rows)),
            "AIRFLOW_CONN_PLACE": postgres.airflow_connection(),
            "AIRFLOW_CONN_CUSTOBAR_DEFAULT": json.dumps(custobar),
        }
        said = output_of(LOAD, json.dumps(arguments | {"table": f"t{dataset.rows}"}), environment=environment)
        rows, inserted, peak = json.loads(said.splitlines()[-1])
        assert rows == dataset.rows
        assert postgres.query(f"SELECT count(*) FROM t{rows}") == [(inserted,)]
        assert inserted == rows or mode == "upsert"
        peaks.append(peak)
    print(f"peaks in MiB: {peaks}")  # noqa: T201 - worth knowing when it fails
    assert peaks[1] - peaks[0] < MOST_GROWTH_MIB
