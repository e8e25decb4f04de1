"""What asset events tell of exports and loads, in Airflow's own accessors; and of which partitions."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow import sdk
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessor, OutletEventAccessors

from airflow_provider_custobar.api.errors import ServerError
from airflow_provider_custobar.api.pages import JsonPage
from airflow_provider_custobar.api.position import START
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.windows import Window, build_window
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings
from airflow_provider_custobar.stream.pipeline import Turns
from airflow_provider_custobar.task import outlets
from airflow_provider_custobar.task.compat import say_once
from airflow_provider_custobar.task.outlets import OutletEvents
from airflow_provider_custobar.task.told_windows import RowDigest
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator
from tests.airflow.attempts import FileStore
from tools.airflow_home import PROJECT

ZONE = "Europe/Helsinki"
EVENTS = Asset("events", uri="file:///events")
with_partitions = pytest.mark.skipif(
    not hasattr(OutletEventAccessor, "add_partitions"), reason="tasks add partitions from Airflow 3.3 on"
)


@pytest.fixture
def tenant(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Callable[[str, str], None], tmp_path: Path
) -> CustobarSandbox:
    """A tenant in Helsinki without any records, and a database behind ``place``."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None, tenant_timezone=ZONE), generate=False)
    connect("custobar_default", sandbox.airflow_connection(requests_per_minute=600_000, timezone=ZONE, max_attempts=1))
    connect("place", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "db.sqlite")}))
    return sandbox


@dataclass(frozen=True)
class Job:
    """As an export or a load: what it has of pages."""

    pages: Any


class OfOneAsset:
    """What Airflow keeps for each asset. A dict does not do: assets of Airflow 3.1 cannot be its keys."""

    def __init__(self, kept: Any) -> None:
        self._kept = kept

    def __getitem__(self, outlet: Asset) -> Any:
        return self._kept


class Nights:
    """Runs of one task, one after the other: a context for each, with what Airflow keeps over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state: Any = FileStore(folder / "asset-state.json")
        self.attempt_state = FileStore(folder / "task-state.json")
        self.states: dict[str, str] = {}

    def run(
        self,
        kind: str = "jsonl",
        *,
        run_id: str = "",
        try_number: int = 1,
        context: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Any:
        """One attempt, in a run of its own if no other is named; the event of the outlet."""
        arguments = {"resource": "events", "event_types": "BROWSE", "outlets": [EVENTS], **arguments}
        operator: Any
        if kind == "table":
            operator = CustobarToSqlOperator(task_id="task", conn_id="place", table="events", **arguments)
        else:
            path = f"file://{self.folder}/{{date}}.{kind}"
            operator = CustobarToObjectStorageOperator(
                task_id="task", path=path, file_format=kind.removesuffix(".gz"), **arguments
            )
        run_id = run_id or f"run-{len(self.states)}"
        self.states[run_id] = "running"
        ti = SimpleNamespace(
            dag_id="dag",
            task_id="task",
            map_index=-1,
            run_id=run_id,
            try_number=try_number,
            max_tries=1,
            get_task_states=lambda run_ids, **_: {name: {"task": self.states[name]} for name in run_ids if name in self.states},
        )
        events = OutletEventAccessors()
        given = {
            "ti": ti,
            "outlet_events": events,
            "task_state_store": self.attempt_state,
            "asset_state_store": OfOneAsset(self.state),
        }
        operator.execute(given | (context or {}))
        self.states[run_id] = "success"
        return events[EVENTS]


@pytest.fixture
def nights(tenant: CustobarSandbox, tmp_path: Path) -> Nights:
    tenant.load("events", [event(f"2026-02-{day:02}T12:00:00Z", n) for day in range(5, 14) for n in range(3)])
    return Nights(tmp_path)


def event(at: str, number: int = 0) -> dict[str, Any]:
    return {"type": "BROWSE", "date": at, "customer_id": f"c-{number}", "email": "ann@example.com"}


def keys(outlet_event: Any) -> list[str]:
    """The days of February; None is an event without a key."""
    assert None in outlet_event.partition_keys
    return sorted(key.removeprefix("2026-02-") for key in outlet_event.partition_keys - {None})


def test_an_event_tells_what_was_written(nights: Nights) -> None:
    """Rule: extra holds the result in short, nothing of the rows, and what the DAG's author has put there stays."""
    events = OutletEventAccessors()
    events[EVENTS].extra = {"rows": "mine", "more": 1}
    context = {"outlet_events": events}
    nights.run(date="2026-02-10", context=context)
    uri = f"file://{nights.folder}/2026-02-10.jsonl"
    window = {"start": "2026-02-09T22:00:00+00:00", "end": "2026-02-10T22:00:00+00:00"}
    size = (nights.folder / "2026-02-10.jsonl").stat().st_size
    assert events[EVENTS].extra == {
        "resource": "events", "window": window, "rows": "mine", "bytes": size, "uris": [uri], "more": 1
    }  # fmt: skip
    event = nights.run("table", date="2026-02-10")
    assert (event.extra["rows"], event.extra["window"]) == (3, window)
    assert len(event.extra["uris"]) == 1
    assert "ann@" not in json.dumps(event.extra)


def test_many_names_are_counted() -> None:
    """Rule: an event stays small, however many files there are."""
    names = [f"s3://bucket/{number}" for number in range(150)]
    document = {"resource": "customers", "rows": 0, "window": None, "uris": names}
    assert outlets._extra(document) == {"resource": "customers", "rows": 0, "uris": names[:100], "uri_count": 150}


@with_partitions
@pytest.mark.parametrize("kind", ["jsonl", "csv.gz", "parquet", "table"])
def test_days_before_are_told_of_if_they_have_changed(nights: Nights, tenant: CustobarSandbox, kind: str) -> None:
    """Rule: each run has the partition of its own day, and of those days of lookback that differ from what was last told."""
    assert keys(nights.run(kind, date="2026-02-10", lookback=3)) == ["07", "08", "09", "10"]
    assert keys(nights.run(kind, date="2026-02-11", lookback=3)) == ["11"]
    # 2026-02-09 in UTC, and the tenth in Helsinki.
    tenant.load("events", [event("2026-02-09T22:30:00Z")])
    assert keys(nights.run(kind, date="2026-02-12", lookback=3)) == ["10", "12"]
    assert keys(nights.run(kind, date="2026-02-13", lookback=3)) == ["13"]
    assert keys(nights.run(kind, date="2026-02-13", lookback=3)) == ["13"], "a run that is done again has its own day"


@with_partitions
@pytest.mark.parametrize("kind", ["jsonl", "csv", "table"])
def test_the_same_rows_in_other_pages_are_no_change(nights: Nights, kind: str) -> None:
    """Rule: how the API cuts its answers, and in which order it sorts, changes no day."""
    nights.run(kind, date="2026-02-10", lookback=3)
    assert keys(nights.run(kind, date="2026-02-11", lookback=3, page_size=1, order="-date")) == ["11"]


@with_partitions
def test_rows_without_their_time_may_be_of_any_day(nights: Nights, tenant: CustobarSandbox) -> None:
    """Rule: where a load does not ask for timestamps, a change counts for all days, and none for none."""
    fields = ["type", "customer_id"]
    common = {"lookback": 2, "fields": fields, "mode": "append"}
    nights.run("table", date="2026-02-10", **common)
    first = nights.run("table", date="2026-02-10", **common)
    tenant.load("events", [event("2026-02-09T12:00:00Z", 7)])
    second = nights.run("table", date="2026-02-10", **common)
    assert [keys(first), keys(second)] == [["10"], ["08", "09", "10"]]


@with_partitions
def test_what_is_not_known_counts_as_changed(nights: Nights, tenant: CustobarSandbox) -> None:
    """Rule: where Airflow keeps nothing, or what it keeps cannot be read, every day is told of, and the task succeeds."""
    every, state = ["08", "09", "10"], nights.state

    def run(**more: Any) -> list[str]:
        return keys(nights.run(date="2026-02-10", lookback=2, **more))

    def failing(*_: object) -> None:
        raise RuntimeError("the server is away")

    assert [run(), run()] == [every, ["10"]]
    assert run(context={"asset_state_store": None}) == every
    assert run(context={"asset_state_store": {}}) == every
    nights.state = SimpleNamespace(get=failing, set=failing)
    assert run() == every
    nights.state = SimpleNamespace(get=lambda _: {"2026-02-09": 3}, set=failing)
    assert run() == every
    nights.state = SimpleNamespace(get=state.get, set=failing)
    tenant.load("events", [event("2026-02-09T01:00:00Z")])
    assert [run(), run()] == [["09", "10"], ["09", "10"]], "what could not be kept is told again"


@with_partitions
def test_a_run_that_failed_has_told_nothing(nights: Nights) -> None:
    """Rule: days count as told of once their task has succeeded, for its next attempt and for the next run."""
    assert keys(nights.run(date="2026-02-10", lookback=2, run_id="r")) == ["08", "09", "10"]
    assert keys(nights.run(date="2026-02-10", lookback=2, run_id="r", try_number=2)) == ["08", "09", "10"]
    nights.states["r"] = "failed"
    assert keys(nights.run(date="2026-02-11", lookback=2)) == ["09", "10", "11"]
    assert keys(nights.run(date="2026-02-12", lookback=2)) == ["12"]


@with_partitions
def test_days_that_an_earlier_attempt_has_read_are_told_of(nights: Nights, tenant: CustobarSandbox) -> None:
    """Rule: an attempt that goes on with another's work has not seen all rows, so the days concerned count as changed."""
    nights.run(date="2026-02-10", lookback=2, page_size=1)
    tenant.faults.add(Fault("status", status=503, after=12))
    with pytest.raises(ServerError):
        nights.run(date="2026-02-11", lookback=2, page_size=1, run_id="r")
    told = keys(nights.run(date="2026-02-11", lookback=2, page_size=1, run_id="r", try_number=2))
    assert "09" in told, "it was whole when the first attempt failed"
    assert keys(nights.run(date="2026-02-12", lookback=2, page_size=1))[-1] == "12"
    assert keys(nights.run(date="2026-02-13", lookback=2, page_size=1)) == ["13"]


def test_only_rows_that_were_all_seen_make_a_digest() -> None:
    """Rule: pages from a position on, or broken off, say nothing of a window; begun again from the first, they do."""
    query = build_query("events", event_types="BROWSE", date="2026-02-10")
    window = query.window
    assert window is not None
    page = JsonPage(data=b'{"a":1}\n', rows=1, fetched=1, size=8)
    task = SimpleNamespace(outlets=[EVENTS], log=None)
    events = OutletEvents(task, {"asset_state_store": OfOneAsset(FileStore(Path()))}, [*window.days_before(1), window])
    pages = events.watched(Job(lambda after, turns: iter([page, page])), query).pages

    def is_known() -> bool:
        return list(events._hexdigests({"format": "jsonl", "uris": []}))[1] is not None

    assert [list(pages(None, Turns(2))), is_known()] == [[page, page], True]
    assert [next(iter(pages(None, Turns(2)))), is_known()] == [page, False]
    assert [list(pages(START, Turns(2))), is_known()] == [[page, page], False]
    assert [list(pages(None, Turns(2))), is_known()] == [[page, page], True]


@with_partitions
def test_other_windows_than_days(nights: Nights) -> None:
    """Rule: the key of another window is the moment it starts; without a window there is none."""
    hour = {"window_start": "2026-02-10T08:00:00+02:00", "window_end": "2026-02-10T09:00:00+02:00"}
    assert nights.run(**hour).partition_keys == {"2026-02-10T06:00:00+00:00", None}
    week = {"window_start": "2026-02-02", "window_end": "2026-02-09"}
    assert nights.run(**week).partition_keys == {"2026-02-01T22:00:00+00:00", None}
    customers = nights.run("table", resource="customers", event_types=None)
    assert (customers.partition_keys, customers.extra["rows"]) == (set(), 0)


@with_partitions
def test_partitions_of_the_author_stand(nights: Nights) -> None:
    """Rule: who adds partitions to an outlet has said which there are."""
    events = OutletEventAccessors()
    events[EVENTS].add_partitions("fi")
    nights.run(date="2026-02-10", context={"outlet_events": events})
    assert events[EVENTS].partition_keys == {"fi"}


@with_partitions
@pytest.mark.parametrize(
    ("run_key", "key_format", "expected"),
    [
        ("2026-02-10", None, ["2026-02-09", "2026-02-10"]),
        ("2026-02-10T00:00:00", None, ["2026-02-09T00:00:00", "2026-02-10T00:00:00"]),
        ("10.2.", "%-d.%-m.", ["9.2.", "10.2."]),
        ("fi", "%Y-%m-%d", []),
    ],
)
def test_a_run_with_a_partition_of_its_own(nights: Nights, run_key: str, key_format: str | None, expected: list[str]) -> None:
    """Rule: it keeps its own key, and days before are written as that one is, or not told of where they cannot be."""
    timetable = SimpleNamespace(key_format=key_format, serialize=dict)
    context = {"partition_key": run_key, "dag": SimpleNamespace(timetable=timetable)}
    assert nights.run(date="2026-02-10", lookback=1, context=context).partition_keys == {*expected}


def test_an_airflow_whose_tasks_add_no_partitions(nights: Nights, caplog: pytest.LogCaptureFixture) -> None:
    """Rule: before 3.3 an event tells what was written, and who looks back learns once that it has no partitions."""
    say_once.cache_clear()
    for lookback, sentences in ((0, 0), (1, 1), (1, 1)):
        older = SimpleNamespace(extra={})
        nights.run(date="2026-02-10", lookback=lookback, context={"outlet_events": OfOneAsset(older)})
        assert older.extra["rows"] == 3 * (1 + lookback)
        assert caplog.text.count("add no partitions to assets (3.3's do)") == sentences


def test_nothing_that_goes_wrong_with_it_fails_a_task(
    nights: Nights, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: the rows are there by then; an outlet that is no asset, or that Airflow does not know, is a line in the log."""
    strange: Any = [SimpleNamespace(), AssetAlias("later"), EVENTS]
    assert nights.run(date="2026-02-10", outlets=strange).extra["rows"] == 3
    # Airflow 3.1 and its tests log in another way.
    assert (caplog.text + capsys.readouterr().out).count("Could not tell everything") == 1
    nights.run(date="2026-02-10", context={"outlet_events": {}})
    assert (nights.folder / "2026-02-10.jsonl").exists()


def test_a_digest_knows_rows_and_not_their_order() -> None:
    """Rule: rows in any order have one digest; another number of the same rows, another column, another place have others."""
    rows = [b"a", b"b", b"b"]
    digest = RowDigest().add(rows).hexdigest("here")
    assert digest == RowDigest().add([b"b"]).add([b"b", b"a"]).hexdigest("here")
    others = [
        RowDigest().add([b"a", b"b"]).hexdigest("here"),
        RowDigest().add([b"a", b"a", b"b"]).hexdigest("here"),
        RowDigest().add(rows, ("date",)).hexdigest("here"),
        RowDigest().add(rows).hexdigest("there"),
    ]
    assert len({digest, *others}) == 5


def test_a_day_is_a_day_of_the_tenants() -> None:
    """Rule: only one whole day has a day's key, also where the clock is turned."""
    long_day = build_window(date="2026-10-25", timezone=ZONE)
    assert long_day is not None
    assert outlets._key(long_day) == "2026-10-25"
    assert outlets._key(Window(long_day.start, long_day.end, "UTC")) == "2026-10-24T21:00:00+00:00"


def test_the_example_is_read_by_every_airflow() -> None:
    """Rule: where Airflow has no partitions, the example's DAGs are there, and wait to be started by hand."""
    found = runpy.run_path(str(PROJECT / "dags_examples" / "custobar_late_partitions.py"))
    has_partitions = hasattr(sdk, "PartitionedAssetTimetable")
    assert [found[name] is not None for name in ("nightly", "each_day")] == [has_partitions, has_partitions]
