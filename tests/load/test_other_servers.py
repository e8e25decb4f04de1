"""The record of a transaction counts on the server that made it, and as long as that has not failed over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.export.test_checkpoints import Memory
from tests.load.databases import context, loader
from tools.servers import PostgresServer

pytestmark = pytest.mark.processes

RECORD = "custobar_load.commit"


@pytest.fixture(scope="module")
def two_servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    with PostgresServer() as one, PostgresServer() as other:
        yield one, other


@pytest.fixture
def servers(
    two_servers: tuple[PostgresServer, PostgresServer], connect: Callable[[str, str], None], tenant: CustobarSandbox
) -> tuple[PostgresServer, PostgresServer]:
    """Two servers without a table, the first of them behind the connection ``place``, and a customer to load."""
    tenant.load("customers", [{"external_id": "a"}])
    connect("place", two_servers[0].airflow_connection())
    for server in two_servers:
        with server.connect() as connection:
            connection.execute("DROP TABLE IF EXISTS t")
    return two_servers


def attempt(number: int, store: Memory) -> dict[str, Any]:
    result: dict[str, Any] = loader(resource="customers", mode="append").execute(
        context(number, max_tries=1) | {"task_state_store": store}
    )
    return result


def rows(server: PostgresServer) -> int:
    with server.connect() as connection:
        found: int = connection.execute("SELECT count(*) FROM t").fetchone()[0]
        return found


def next_on(connection: Any) -> int:
    found: int = connection.execute("SELECT txid_snapshot_xmax(txid_current_snapshot())").fetchone()[0]
    return found


def transaction_of(store: Memory) -> int:
    return int(json.loads(store.values[RECORD])["body"]["transaction"].rpartition("/")[2])


@pytest.mark.parametrize("is_there_committed", [True, False])
def test_on_another_server_a_record_counts_for_nothing(
    servers: tuple[PostgresServer, PostgresServer],
    tenant: CustobarSandbox,
    connect: Callable[[str, str], None],
    is_there_committed: bool,
) -> None:
    """Rule: where the connection leads to another server now, the rows are loaded there, whatever its own transactions did."""
    one, other = servers
    store = Memory()
    with one.connect() as connection, other.connect() as elsewhere:
        # Far enough ahead for that transaction to be still to come on the other server.
        while connection.execute("SELECT txid_current()").fetchone()[0] < next_on(elsewhere) + 100:
            pass
    attempt(1, store)
    with other.connect() as connection:
        while is_there_committed and next_on(connection) <= transaction_of(store):
            connection.execute("SELECT txid_current()")
        (status,) = connection.execute(
            "SELECT CASE WHEN %s < txid_snapshot_xmax(txid_current_snapshot()) THEN txid_status(%s) END",
            [transaction_of(store)] * 2,
        ).fetchone()
        assert status == ("committed" if is_there_committed else None)
    connect("place", other.airflow_connection())
    tenant.clear_log()
    assert not attempt(2, store)["resumed"]
    assert tenant.requests != []
    assert rows(one) == rows(other) == 1


def test_after_a_failover_a_record_counts_for_nothing(
    servers: tuple[PostgresServer, PostgresServer], tenant: CustobarSandbox
) -> None:
    """Rule: a server that was promoted may have lost what was committed, so that its transactions are others."""
    server, _ = servers
    store = Memory()
    attempt(1, store)
    tenant.clear_log()
    assert attempt(2, store)["resumed"]
    assert tenant.requests == []
    fail_over(server)
    assert not attempt(2, store)["resumed"]
    assert tenant.requests != []


def test_a_commit_is_known_however_late_the_next_attempt_comes(
    servers: tuple[PostgresServer, PostgresServer], tenant: CustobarSandbox
) -> None:
    """Rule: a retry that waits for days does not load twice what was committed."""
    store = Memory()
    attempt(1, store)
    record = json.loads(store.values[RECORD])
    record["saved_at"] = (datetime.fromisoformat(record["saved_at"]) - timedelta(days=30)).isoformat()
    store.values[RECORD] = json.dumps(record)
    tenant.clear_log()
    assert attempt(2, store)["resumed"]
    assert tenant.requests == []


def fail_over(server: PostgresServer) -> None:
    """Make a standby of it, and promote that."""
    (server.data / "standby.signal").touch()
    server.restart()
    with server.connect() as connection:
        assert connection.execute("SELECT pg_promote()").fetchone() == (True,)


def test_a_server_that_does_not_tell_is_loaded_without_a_record(
    servers: tuple[PostgresServer, PostgresServer], connect: Callable[[str, str], None]
) -> None:
    """Rule: who may not ask which server it is can load nevertheless; a next attempt loads again."""
    server, _ = servers
    with server.connect() as connection:
        connection.execute("CREATE ROLE weak LOGIN")
        connection.execute("GRANT ALL ON SCHEMA public TO weak")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public")
    connect("place", json.dumps({**json.loads(server.airflow_connection()), "login": "weak"}))
    store = Memory()
    assert attempt(1, store)["inserted"] == 1
    assert RECORD not in store.values
    assert not attempt(2, store)["resumed"]
    assert rows(server) == 2
