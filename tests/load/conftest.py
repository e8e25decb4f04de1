"""A tenant in Helsinki, and an empty database of each kind behind the connection ``place``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from tests.load.databases import Database, DuckDb, Postgres, Sqlite
from tools.servers import PostgresDatabase, PostgresServer

ZONE = "Europe/Helsinki"


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> PostgresDatabase:
    database = postgres_server.create_database()
    with database.connect() as connection:
        # What waits for a lock fails, so that no test waits for ever; and a server has any zone.
        for setting in ("statement_timeout = '60s'", "timezone = 'America/New_York'"):
            connection.execute(f"ALTER DATABASE {database.name} SET {setting}")
    return database


@pytest.fixture
def make_tenant(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Callable[[str, str], None]
) -> Callable[..., CustobarSandbox]:
    """Start a sandbox behind ``custobar_default``, whose requests are not tried again; arguments are the sandbox's."""

    def make(**arguments: object) -> CustobarSandbox:
        settings = SandboxSettings(rate_limit=None, tenant_timezone=ZONE)
        sandbox = custobar_sandbox_factory(settings, **arguments)
        connect("custobar_default", sandbox.airflow_connection(requests_per_minute=600_000, timezone=ZONE, max_attempts=1))
        return sandbox

    return make


@pytest.fixture
def tenant(make_tenant: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    """A tenant without any records."""
    return make_tenant(generate=False)


@pytest.fixture
def busy_tenant(make_tenant: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    """A tenant with 200 customers and a month of events and sales, until 2026-02-28."""
    return make_tenant()


@pytest.fixture
def postgres(postgres_database: PostgresDatabase, connect: Callable[[str, str], None]) -> Postgres:
    place = Postgres(postgres_database)
    # A database of its own for each test would take a tenth of a second.
    place.clear()
    connect("place", place.airflow_connection())
    return place


@pytest.fixture
def sqlite(tmp_path: Path, connect: Callable[[str, str], None]) -> Sqlite:
    place = Sqlite(tmp_path)
    connect("place", place.airflow_connection())
    return place


@pytest.fixture
def duck(tmp_path: Path, connect: Callable[[str, str], None]) -> DuckDb:
    place = DuckDb(tmp_path)
    connect("place", place.airflow_connection())
    return place


@pytest.fixture(params=["postgres", "sqlite", "duck"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each of them."""
    place: Database = request.getfixturevalue(request.param)
    return place
