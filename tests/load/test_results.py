"""What a load tells: its result, its lineage, its log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from airflow.utils.state import TaskInstanceState

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from tests.lineage import HookLineageCollector, columns, counts, extracted, listen, made_of, names
from tests.load.databases import Database, Postgres, load, loader
from tests.windows.page_server import serving

KEYS = (
    "resource format uris table mode rows inserted updated deleted bytes pages window window_complete event_types"
    " bad_timestamps created new_columns resumed"
).split()


def test_the_result(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: the result is small, can be written as JSON, counts rows and bytes, and holds no token."""
    days = ["2026-02-10T12:00:00Z", "2026-02-10T13:00:00Z", "2026-02-11T12:00:00Z"]
    tenant.load("events", ({"type": "BROWSE", "date": day} for day in days))
    tenant.load("events", [{"type": "MAIL_OPEN", "date": days[0]}])
    postgres.query("CREATE SCHEMA crm")
    for created in (True, False):
        tenant.clear_log()
        result = load(
            resource="events",
            event_types=["BROWSE", "MAIL_OPEN"],
            date="2026-02-10",
            table="crm.events",
            fields=["type", "date", "path"],
            page_size=2,
        )
        assert result == {
            "resource": "events",
            "format": "table",
            "uris": [f"postgres://{quote(str(postgres.database.host))}/{postgres.name}/crm/events"],
            "table": "crm.events",
            "mode": "replace_window",
            "rows": 3,
            "inserted": 3,
            "updated": 0,
            "deleted": 0 if created else 3,
            "bytes": sum(request.response_bytes for request in tenant.requests),
            "pages": 3,
            "window": {"start": "2026-02-09T22:00:00+00:00", "end": "2026-02-10T22:00:00+00:00"},
            "window_complete": True,
            "event_types": ["BROWSE", "MAIL_OPEN"],
            "bad_timestamps": 0,
            "created": created,
            "new_columns": [],
            "resumed": False,
        }
    assert tenant.token not in json.dumps(result)


def test_the_results_keys_are_always_the_same(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: the keys do not depend on the database or on the mode; without a window there is none."""
    tenant.load("customers", [{"external_id": "a", "COMPANY__size": "L"}])
    load(resource="customers", fields=["city"])
    result = load(resource="customers", schema_change="add")
    assert list(result) == KEYS
    assert json.loads(json.dumps(result)) == result
    assert (result["window"], result["event_types"], result["mode"]) == (None, [], "upsert")
    assert (result["new_columns"], result["created"]) == (["COMPANY__size"], False)
    assert result["uris"][0].startswith(f"{database.kind}://")
    assert result["uris"][0].endswith("/t")


def test_records_without_a_timestamp_are_counted(sqlite: Database, connect: Callable[[str, str], None]) -> None:
    """Rule: records that were dropped since they have no timestamp are counted, and are no rows."""
    rows = [{"type": "BROWSE", "date": date} for date in ("2026-02-10T12:00:00Z", None, "soon")]
    with serving({"BROWSE": [rows]}) as server:
        connect("custobar_default", server.connection(requests_per_minute=600_000))
        arguments: dict[str, Any] = {"resource": "events", "event_types": "BROWSE", "date": "2026-02-10"}
        result = load(**arguments, on_bad_timestamp="drop")
        assert (result["rows"], result["bad_timestamps"]) == (1, 2)
        with pytest.raises(Exception, match="no timestamp in date"):
            load(**arguments)
    assert len(sqlite.rows()) == 1


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> HookLineageCollector:
    return listen(monkeypatch)


@pytest.mark.parametrize(
    ("schema", "table", "name"), [(None, "t", "public.t"), (None, "crm.t", "crm.t"), ("crm", "a.b", "crm.a.b")]
)
@pytest.mark.usefixtures("collector")
def test_openlineage(tenant: CustobarSandbox, postgres: Postgres, schema: str | None, table: str, name: str) -> None:
    """Rule: OpenLineage hears of the resource that was read and of the table that was written, with its columns, their own
    types, the fields that they are made of, and how many rows were written.
    """
    postgres.query("CREATE SCHEMA crm")
    tenant.load("customers", [{"external_id": "a", "COMPANY__size": "L"}, {"external_id": "b"}])
    operator = loader(
        resource="customers",
        fields=["city", "COMPANY__size", "tags"],
        column_mapping={"city": "town"},
        schema=schema,
        table=table,
    )
    operator.execute({})
    lineage = extracted(operator)
    ((source,), (target,)) = lineage.inputs, lineage.outputs
    custobar = (f"custobar://{tenant.url.partition('://')[2]}", "customers")
    server = f"postgres://{quote(str(postgres.database.host), safe='')}:5432"
    assert names([source, target]) == [custobar, (server, f"{postgres.name}.{name}")]
    assert columns(target) == {"external_id": "TEXT", "town": "TEXT", "COMPANY__size": "TEXT", "tags": "JSONB"}
    assert made_of(target) == {
        "external_id": [(*custobar, "external_id")],
        "town": [(*custobar, "city")],
        "COMPANY__size": [(*custobar, "COMPANY__size")],
        "tags": [(*custobar, "tags")],
    }
    assert counts(target) == (2, None, None)
    assert tenant.token not in repr(lineage)


@pytest.mark.usefixtures("collector")
def test_a_load_that_fails(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: after a failure it is told what was to be read and written, without counts."""
    tenant.faults.add(Fault("status", status=403))
    operator = loader(resource="customers")
    with pytest.raises(CustobarError, match="403"):
        operator.execute({})
    lineage = extracted(operator, TaskInstanceState.FAILED)
    ((source,), (target,)) = lineage.inputs, lineage.outputs
    assert source.name == "customers"
    assert target.name.endswith(f"{database.schema}.t")
    assert target.outputFacets == {}


@pytest.mark.parametrize("place", ["sqlite", "duck"])
def test_the_table_is_an_asset(
    tenant: CustobarSandbox, collector: HookLineageCollector, place: str, request: pytest.FixtureRequest
) -> None:
    """Rule: hook lineage has the table as an output, by the URI that the result tells."""
    request.getfixturevalue(place)
    uri = load(resource="customers")["uris"][0]
    (output,) = collector.collected_assets.outputs
    # Airflow writes a URI without a host without the slashes before it.
    assert output.asset.uri == uri.replace("///", "/")
    assert tenant.token not in repr(output)


def refuse(**_: Any) -> Any:
    raise ValueError("URI format postgres:// must contain database, schema, and table names")


def test_lineage_that_cannot_be_told_fails_no_load(
    tenant: CustobarSandbox, postgres: Postgres, collector: HookLineageCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: a URI that its provider refuses, such as one behind a socket, makes a load none the worse."""
    tenant.load("customers", [{"external_id": "a"}])
    monkeypatch.setattr(collector, "create_asset", refuse)
    assert load(resource="customers")["inserted"] == 1
    assert collector.collected_assets.outputs == []


def test_the_log_holds_no_token_and_no_rows(
    tenant: CustobarSandbox, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: the log tells what goes where and how much came, and neither who it is about nor the token."""
    tenant.load("customers", [{"external_id": "id-of-anna", "email": "anna@example.com"}])
    load(resource="customers")
    said = "".join(capsys.readouterr())
    assert "Loading customers into" in said
    assert "1 row of customers loaded into" in said
    assert not {name for name in (tenant.token, "id-of-anna", "anna@example.com") if name in said}
