"""What loading a table costs: ``python -m tools.bench_sql [ROWS]``.

Side by side on one PostgreSQL, in turn: psql's ``\\copy`` of a CSV file with the events, and ``CustobarToSqlOperator`` with the
same events from a server of prepared pages, into a table of the same columns. Each load is a process of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.bench.event_rows import FIELDS
from tools.bench.page_server import PATH, TOKEN, Dataset, PageServer
from tools.memory import peak_mib
from tools.servers import PostgresServer

_ROUNDS = 5
_COLUMNS = ", ".join(f"{name} {'timestamptz' if name == 'date' else 'text'}" for name in FIELDS)


def _job(page_format: str) -> None:
    """One load, in a process of its own: the seconds that it takes, and what it adds to the process's peak memory."""
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401, PLC0415 - what is imported when needed is not measured
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector  # noqa: PLC0415
    from airflow.providers.common.compat.sdk import BaseHook  # noqa: PLC0415
    from airflow.providers.postgres.hooks.postgres import PostgresHook  # noqa: F401, PLC0415

    import airflow_provider_custobar.load.run  # noqa: F401, PLC0415
    from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator  # noqa: PLC0415

    operator = CustobarToSqlOperator(
        task_id="bench",
        resource="events",
        event_types=["BROWSE"],
        fields=list(FIELDS),
        api_format=page_format,
        conn_id="postgres_default",
        table="loaded",
        mode="append",
    )
    # A second or two, once in each process: Airflow reads what all providers say of themselves.
    BaseHook.get_hook("postgres_default")
    get_hook_lineage_collector()
    began = time.monotonic()
    result = operator.execute({})
    seconds = time.monotonic() - began
    peak = peak_mib()
    print(json.dumps({"seconds": seconds, "peak": peak, "rows": result["rows"]}))


def _write_file(base_url: str, path: Path) -> None:
    import requests  # noqa: PLC0415

    url = f"{base_url}{PATH}?type=BROWSE&limit=100000&format=csv&fields={','.join(FIELDS)}"
    with path.open("wb") as file:
        while url:
            answer = requests.get(url, headers={"Authorization": f"Token {TOKEN}"}, timeout=60)
            header, _, body = answer.content.partition(b"\r\n" if b"\r\n" in answer.content[:2000] else b"\n")
            assert header.decode().split(",") == list(FIELDS)
            file.write(body)
            url = answer.headers.get("X-Custobar-Next-Url", "")


def _load(page_format: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tools.bench_sql", "job", page_format]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main(rows: int) -> None:
    with PageServer([Dataset(rows)]) as server, PostgresServer() as postgres, tempfile.TemporaryDirectory() as home:
        base_url = server.base_url(Dataset(rows))
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW_CONN_POSTGRES_DEFAULT": postgres.airflow_connection(),
            "AIRFLOW_CONN_CUSTOBAR_DEFAULT": json.dumps(
                {
                    "conn_type": "custobar",
                    "host": base_url,
                    "password": TOKEN,
                    "extra": {"requests_per_minute": 1_000_000},
                }
            ),
        }
        file = Path(home) / "events.csv"
        _write_file(base_url, file)
        taken: dict[str, list[float]] = {"\\copy": [], "csv": [], "json": []}
        peaks: dict[str, list[float]] = {"csv": [], "json": []}
        with postgres.connect() as connection:
            for _ in range(_ROUNDS):
                for name, seconds in taken.items():
                    connection.execute("DROP TABLE IF EXISTS loaded")
                    connection.execute(f"CREATE TABLE loaded ({_COLUMNS})")
                    connection.execute("CHECKPOINT")
                    if name == "\\copy":
                        began = time.monotonic()
                        postgres.psql(f"\\copy loaded FROM '{file}' WITH (FORMAT csv)")
                        seconds.append(time.monotonic() - began)
                    else:
                        answer = _load(name)
                        seconds.append(answer["seconds"])
                        peaks[name].append(answer["peak"])
                    (count,) = connection.execute("SELECT count(*) FROM loaded").fetchone()
                    assert count == rows, (name, count)
        floor = statistics.median(taken["\\copy"])
        for name, seconds in taken.items():
            median = statistics.median(seconds)
            memory = f", peak memory {statistics.median(peaks[name]):,.0f} MiB" if name in peaks else ""
            what = name if name == "\\copy" else f"operator, {name} pages"
            print(f"{what:<22} {median:6.2f} s  {median / floor:5.2f}x{memory}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["job"]:
        _job(sys.argv[2])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
