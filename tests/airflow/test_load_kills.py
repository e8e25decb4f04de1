"""Loads into tables whose process is killed at any moment, and the attempts after it."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from tests.airflow.attempts import Attempts, after
from tests.airflow.test_kills import PAGES_AT_ONCE
from tests.soak import times
from tools.servers import PostgresDatabase, PostgresServer

pytestmark = [pytest.mark.processes, pytest.mark.soak]

#: Kills of each kind of load.
KILLS = times(2, 50)
#: Customers and sales; a page is such a part of them that there are more than ten.
ROWS = times(1_600, 4_000)
PAGE = ROWS // 16
OPERATOR = "airflow_provider_custobar.transfers.custobar_to_sql:CustobarToSqlOperator"
DAY = "2026-02-27"

Row = tuple[Any, ...]
Rows = Counter[Row]

#: Requests by which an attempt finds out whether the API sorts by time.
MOST_QUESTIONS = 4


@dataclass(frozen=True)
class Case:
    """A load in one mode. ``old`` and ``new`` make a table's rows before and after it of the sandbox's records."""

    mode: str
    resource: str
    fields: tuple[str, ...]
    arguments: Mapping[str, Any]
    old: Callable[[list[Row]], list[Row]]
    new: Callable[[list[Row], list[Row]], list[Row]]

    @property
    def moment(self) -> str | None:
        return {"events": "date", "sales": "sale_date"}.get(self.resource)


def in_window(row: Row) -> bool:
    return row[0] in ("BROWSE", "MAIL_CLICK") and row[1].startswith(DAY)


def stale(row: Row) -> Row:
    return (*row[:-1], "stale")


CASES = [
    # In the window are rows that the API has otherwise now; what is outside of it, other types of the day among it, stays.
    Case(
        "replace_window", "events", ("type", "date", "customer_id", "path"),
        {"event_types": ["BROWSE", "MAIL_CLICK"], "date": DAY, "page_size": PAGE},
        lambda records: list(map(stale, records)),
        lambda records, old: [*filter(in_window, records), *(row for row in old if not in_window(row))],
    ),
    Case(
        "upsert", "customers", ("external_id", "email", "city"), {"page_size": PAGE},
        lambda records: [*map(stale, records[::3]), ("gone", "g@example.com", "Oulu")],
        lambda records, old: [*records, old[-1]],
    ),
    Case(
        "replace", "sales", ("sale_external_id", "sale_date", "product_id"), {"page_size": 3 * PAGE},
        lambda records: list(map(stale, records[: ROWS // 8])),
        lambda records, old: records,
    ),
    Case(
        "append", "customers", ("external_id", "email", "city"), {"page_size": PAGE},
        lambda records: records[: ROWS // 6],
        lambda records, old: old + records,
    ),
]  # fmt: skip


class Database:
    """A table called ``place`` in a database, as another connection finds it.

    ``to_moment`` and ``from_moment`` turn texts such as ``2026-02-27T00:00:07Z`` into what a load writes, and back.
    """

    mark = "?"
    moment_type = "timestamptz"
    to_moment = "{}"
    from_moment = "strftime({} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ')"
    tables = "SELECT table_name FROM duckdb_tables()"
    is_resumable = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def airflow_connection(self) -> str:
        return json.dumps({"conn_type": "duckdb", "host": str(self.path)})

    def connect(self) -> Any:
        return duckdb.connect(str(self.path))

    def prepare(self, case: Case, rows: Sequence[Row]) -> None:
        columns = ", ".join(f"{name} {self.moment_type if name == case.moment else 'text'}" for name in case.fields)
        values = ", ".join(self.to_moment.format(self.mark) if name == case.moment else self.mark for name in case.fields)
        with closing(self.connect()) as connection:
            connection.execute("DROP TABLE IF EXISTS place")
            connection.execute(f"CREATE TABLE place ({columns})")
            connection.execute("BEGIN")
            self.insert(connection.cursor(), values, rows)
            connection.execute("COMMIT")

    def insert(self, cursor: Any, values: str, rows: Sequence[Row]) -> None:
        cursor.executemany(f"INSERT INTO place VALUES ({values})", rows)

    def rows(self, case: Case) -> Rows:
        names = ", ".join(self.from_moment.format(name) if name == case.moment else name for name in case.fields)
        with closing(self.connect()) as connection:
            return Counter(map(tuple, connection.execute(f"SELECT {names} FROM place").fetchall()))

    def others(self) -> list[str]:
        """Tables beside that one, and files beside the database's own."""
        with closing(self.connect()) as connection:
            tables = [name for (name,) in connection.execute(self.tables).fetchall() if name != "place"]
        return tables + [path.name for path in self.path.parent.iterdir() if path != self.path]


class DuckDb(Database):
    def insert(self, cursor: Any, values: str, rows: Sequence[Row]) -> None:
        # Row by row, it would take a minute.
        cursor.execute(f"INSERT INTO place SELECT {values.replace('?', 'unnest(?)')}", list(map(list, zip(*rows, strict=True))))


class Sqlite(Database):
    moment_type = "text"
    to_moment = "replace(substr({}, 1, 19), 'T', ' ') || '.000000+00:00'"
    from_moment = "replace(substr({}, 1, 19), ' ', 'T') || 'Z'"
    tables = "SELECT name FROM sqlite_master"

    def airflow_connection(self) -> str:
        return json.dumps({"conn_type": "sqlite", "host": str(self.path)})

    def connect(self) -> Any:
        return sqlite3.connect(self.path, isolation_level=None)


class Postgres(Database):
    mark = "%s"
    from_moment = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    is_resumable = True

    def __init__(self, database: PostgresDatabase) -> None:
        self.airflow_connection = database.airflow_connection
        self.connect = database.connect

    def others(self) -> list[str]:
        with closing(self.connect()) as connection:
            found = connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^_custobar_'"
            ).fetchall()
        return [name for (name,) in found]


@pytest.fixture(scope="module")
def tenant() -> Iterator[CustobarSandbox]:
    with CustobarSandbox(SandboxSettings(rate_limit=None), customers=ROWS, events=3 * ROWS, sales=ROWS, days=2) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def postgres(postgres_server: PostgresServer) -> Database:
    return Postgres(postgres_server.create_database())


class Loads:
    """Attempts at one case in one database, and what may be seen in between."""

    def __init__(self, case: Case, place: Database, tenant: CustobarSandbox, store: Path) -> None:
        self.case, self.place, self.tenant, self.store = case, place, tenant, store
        records = [tuple(map(record.get, case.fields)) for record in tenant.records(case.resource)]
        self.old_rows = case.old(records)
        self.old: Rows = Counter(self.old_rows)
        self.new: Rows = Counter(case.new(records, self.old_rows))
        own = {"resource": case.resource, "fields": case.fields, "mode": case.mode, **case.arguments}
        self.task = {
            "operator": OPERATOR,
            "arguments": {"conn_id": "place", "table": "place", **own},
            "store": str(store),
            "max_tries": 1_000,
            "environment": {
                "AIRFLOW_CONN_PLACE": place.airflow_connection(),
                "AIRFLOW_CONN_CUSTOBAR_DEFAULT": tenant.airflow_connection(requests_per_minute=600_000),
            },
        }

    def begin(self) -> None:
        self.store.unlink(missing_ok=True)
        self.place.prepare(self.case, self.old_rows)
        self.tenant.clear_log()
        assert self.place.rows(self.case) == self.old != self.new

    def attempt(self, number: int, **changes: Any) -> dict[str, Any]:
        return self.task | {"try_number": number} | changes

    def check_between(self, answer: dict[str, Any]) -> None:
        assert answer["exit"] == -signal.SIGKILL, answer["said"]
        assert self.place.rows(self.case) in (self.old, self.new)

    def check_end(self, answer: dict[str, Any]) -> None:
        assert answer["exit"] == 0, answer["said"]
        assert self.place.rows(self.case) == self.new
        assert self.place.others() == []


def kill_at_any_moment(loads: Loads, attempts: Attempts, count: int) -> None:
    chance = random.Random(f"{loads.case.mode} {type(loads.place).__name__}")
    loads.begin()
    began = time.monotonic()
    undisturbed = attempts.run(loads.attempt(1))
    duration = time.monotonic() - began
    loads.check_end(undisturbed)
    pages = undisturbed["said"]["pages"]
    # Whether the API sorts by time is asked in some requests more, and again by each attempt.
    requests = len(loads.tenant.requests)
    assert 10 <= pages <= requests <= pages + MOST_QUESTIONS
    done = 0
    while done < count:
        loads.begin()
        kills = 0
        while True:
            # Early kills, late ones, and now and then several in a row.
            is_killed = kills == 0 or (kills < 6 and chance.random() < 0.4)
            kill_when = after(chance.uniform(0, duration * 1.1)) if is_killed else None
            answer = attempts.run(loads.attempt(kills + 1), kill_when=kill_when)
            if answer["exit"] == 0:
                break
            loads.check_between(answer)
            kills += 1
        done += max(kills, 1)
        loads.check_end(answer)
        assert answer["said"]["rows"] == undisturbed["said"]["rows"]
        if loads.place.is_resumable:
            assert len(loads.tenant.requests) <= requests + (PAGES_AT_ONCE + MOST_QUESTIONS) * kills


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mode)
def test_killed_at_any_moment_the_table_is_the_old_or_the_new_one(
    case: Case, postgres: Database, attempts: Attempts, tenant: CustobarSandbox, tmp_path: Path
) -> None:
    """Rule: whenever the process is killed, everybody sees the table as it was or as it is to be; the next attempts end with
    exactly the rows that are due, no staging table, and no more than two pages fetched again for each kill.
    """
    kill_at_any_moment(Loads(case, postgres, tenant, tmp_path / "state.json"), attempts, KILLS)


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.mode)
@pytest.mark.parametrize("kind", [Sqlite, DuckDb])
def test_a_file_holds_the_old_rows_or_the_new_ones(
    case: Case, kind: type[Database], attempts: Attempts, tenant: CustobarSandbox, tmp_path: Path
) -> None:
    """Rule: a database in a file holds the old rows or the new ones after a kill; nothing is left in it or beside it."""
    (tmp_path / "database").mkdir()
    place = kind(tmp_path / "database" / "x.db")
    kill_at_any_moment(Loads(case, place, tenant, tmp_path / "state.json"), attempts, KILLS)


def staging_is_gone(watching: Any) -> Callable[[], bool]:
    """Tells when the staging table is gone that was there before: it goes with the commit."""
    names: list[str] = []

    def look() -> bool:
        if not names:
            names.extend(name for (name,) in watching.execute("SELECT relname FROM pg_class WHERE relname ~ '^_custobar_'"))
            return False
        return bool(watching.execute("SELECT to_regclass(%s)", names[:1]).fetchone() == (None,))

    return look


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mode)
def test_killed_right_after_the_commit_nothing_is_done_twice(
    case: Case, postgres: Database, attempts: Attempts, tenant: CustobarSandbox, tmp_path: Path
) -> None:
    """Rule: an attempt that dies before it can tell that it is done is followed by one that asks the database, and no more."""
    loads = Loads(case, postgres, tenant, tmp_path / "state.json")
    exits: list[int] = []
    # On a busy machine the process may end before anybody has seen what it did.
    while exits.count(-signal.SIGKILL) < KILLS and len(exits) < 20 * KILLS:
        loads.begin()
        with closing(postgres.connect()) as watching:
            answer = attempts.run(loads.attempt(1), kill_when=staging_is_gone(watching))
        exits.append(answer["exit"])
        assert loads.place.rows(case) == loads.new
        requests = len(tenant.requests)
        tenant.clear_log()
        # Neither does it matter if the kill came too late, and the attempt ended without anybody hearing of it.
        answer = attempts.run(loads.attempt(2))
        loads.check_end(answer)
        assert tenant.requests == []
        assert answer["said"]["resumed"]
        assert answer["said"]["pages"] <= requests <= answer["said"]["pages"] + MOST_QUESTIONS
    assert -signal.SIGKILL in exits
