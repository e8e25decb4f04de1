"""``window="auto"`` in the operator and the sensor, in runs with the contexts that Airflow makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG, Asset
from airflow.sdk.api.datamodels._generated import DagRun
from airflow.sdk.module_loading import import_string
from airflow.timetables.interval import CronDataIntervalTimetable
from structlog.testing import capture_logs

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from tests.windows.runs import AUTUMN, HELSINKI, context_of, scheduled

START = pendulum.datetime(2026, 2, 9)


def event(when: datetime | str, kind: str = "BROWSE") -> dict[str, str]:
    return {"type": kind, "date": when if isinstance(when, str) else when.isoformat(), "customer_id": "1"}


def task_of(schedule: Any, path: Path | str, start: datetime = START, native: bool = False, **arguments: Any) -> Any:
    arguments = {"resource": "events", "event_types": "BROWSE", "file_format": "jsonl", **arguments}
    with DAG("dag", schedule=schedule, start_date=start, render_template_as_native_obj=native):
        return CustobarToObjectStorageOperator(task_id="export", path=str(path), **arguments)


def execute(task: Any, info: Any = None, **run: Any) -> Any:
    """Render and run ``task`` as a worker does."""
    context = context_of(task, info, **run)
    task.render_template_fields(context)
    return task.execute(context)


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path.removeprefix("file://")).read_text().splitlines()]


def test_hourly_runs_over_a_turn_of_the_clock(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: hourly runs of Airflow 3's own kind lose no event and repeat none, in the hour that comes twice as well; each
    goes to an object named by its window, and the log tells what was picked and why.
    """
    first = AUTUMN.add(days=1, hours=20)
    moments = [first.in_timezone("UTC") + timedelta(minutes=20 * number) for number in range(48)]
    empty_tenant.load("events", map(event, moments))
    uris: set[str] = set()
    found: list[datetime] = []
    schedule_start = first.add(hours=1)
    for info in scheduled(task_of("@hourly", "x", schedule_start, window="auto").dag, 16):
        with capture_logs() as logs:
            task = task_of("@hourly", f"file://{tmp_path}/{{window_start}}.jsonl", schedule_start, window="auto")
            result = execute(task, info)
        said = [entry["event"] for entry in logs if "window='auto'" in entry["event"]]
        assert len(said) == 1
        assert "no length" in said[0]
        assert datetime.fromisoformat(said[0].rpartition(", ")[2].removesuffix(")")) == info.logical_date
        (uri,) = result["uris"]
        found += [datetime.fromisoformat(record["date"]) for record in lines(uri)]
        uris.add(uri)
    assert len(uris) == 16
    assert sorted(found) == moments


def test_placeholders_name_the_window(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: {date} is the window's first tenant-local day; {window_start} and {window_end} are its ends in UTC, as basic
    ISO 8601, exactly.
    """
    template = f"file://{tmp_path}/{{date}}/{{window_start}}-{{window_end}}.jsonl"
    result = execute(task_of(None, template, date="2026-03-29"))
    assert result["uris"] == [f"file://{tmp_path}/2026-03-29/20260328T220000Z-20260329T210000Z.jsonl"]
    ends = {"window_start": "2026-02-10T01:00+02:00", "window_end": datetime(2026, 2, 10, 1, tzinfo=UTC)}
    result = execute(task_of(None, template, **ends))
    assert result["uris"] == [f"file://{tmp_path}/2026-02-10/20260209T230000Z-20260210T010000Z.jsonl"]
    ends = {"window_start": "2026-02-10T01:00:00.250Z", "window_end": "2026-02-10T01:00:00.250001Z"}
    result = execute(task_of(None, template, **ends))
    assert result["uris"] == [f"file://{tmp_path}/2026-02-10/20260210T010000.250000Z-20260210T010000.250001Z.jsonl"]


@pytest.mark.parametrize("placeholder", ["{date}", "{window_start}", "{window_end}"])
def test_a_placeholder_without_a_window_is_refused(empty_tenant: CustobarSandbox, tmp_path: Path, placeholder: str) -> None:
    """Rule: a name that asks for a window that is not there is refused before the first request."""
    with pytest.raises(InvalidArgumentError, match=r"path=.*without a window"):
        execute(task_of(None, tmp_path / placeholder))
    assert empty_tenant.requests == []


def test_a_snapshot_is_named_by_the_period_of_its_run(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: customers have no window, so placeholders in their names are those of window="auto", in any run."""
    empty_tenant.load("customers", [{"external_id": "1"}])
    path = f"file://{tmp_path}/{{date}}/{{window_start}}-{{window_end}}.jsonl"
    task = task_of([Asset("file://there")], path, resource="customers", event_types=None)
    result = execute(task, run_after=datetime(2026, 2, 11, 1, tzinfo=UTC), run_type="asset_triggered")
    assert result["uris"] == [f"file://{tmp_path}/2026-02-10/20260209T220000Z-20260210T220000Z.jsonl"]
    assert (result["rows"], result["window"]) == (1, None)


def test_a_window_that_is_not_over_is_warned_about(
    empty_tenant: CustobarSandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: what happens after the export is in no window that later runs ask for, so an open window is told in the log."""
    today = datetime.now(UTC).date()
    for day, warned in ((today + timedelta(days=1), True), (today - timedelta(days=3), False)):
        caplog.clear()
        with capture_logs() as logs:
            execute(task_of(None, f"file://{tmp_path}/x.jsonl", date=day))
        warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
        warnings += [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert any("Not over" in warning for warning in warnings) is warned


def test_an_asset_triggered_run_takes_the_day_before(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a run with neither logical date nor data interval exports the tenant's day before, and says why."""
    midnight = datetime(2026, 2, 10, 22, tzinfo=UTC)
    empty_tenant.load("events", [event(midnight + timedelta(seconds=nudge)) for nudge in (-86_401, -86_400, -1, 0)])
    task = task_of([Asset("file://there")], f"file://{tmp_path}/{{date}}.jsonl", window="auto")
    with capture_logs() as logs:
        result = execute(task, run_after=midnight + timedelta(hours=3), run_type="asset_triggered")
    assert result["rows"] == 2
    assert result["uris"] == [f"file://{tmp_path}/2026-02-10.jsonl"]
    assert any("day before the run" in entry["event"] for entry in logs)


@pytest.mark.skipif("partition_key" not in DagRun.model_fields, reason="Airflow has partitions from 3.2 on")
def test_a_partition_key_that_is_no_day_is_refused(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a partition that names no day fails the task before the first request."""
    with pytest.raises(InvalidArgumentError, match="'FI'.*window_start and window_end"):
        execute(task_of(None, tmp_path / "x.jsonl", window="auto"), partition_key="FI")
    assert empty_tenant.requests == []


def test_a_data_interval_of_no_length_explains_itself(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: the ends of @daily's interval, which are one moment, are refused with the way out; real intervals are taken."""
    ends = {"window_start": "{{ data_interval_start }}", "window_end": "{{ data_interval_end }}"}
    task = task_of("@daily", tmp_path / "x.jsonl", **ends)
    with pytest.raises(InvalidArgumentError, match=r"window is empty.*zero length.*\{\{ ds \}\}.*CronDataIntervalTimetable"):
        execute(task, scheduled(task.dag, 1)[0])
    assert empty_tenant.requests == []
    task = task_of(CronDataIntervalTimetable("@daily", timezone=HELSINKI), tmp_path / "x.jsonl", **ends)
    result = execute(task, scheduled(task.dag, 1)[0])
    assert result["window"] == {"start": "2026-02-09T22:00:00+00:00", "end": "2026-02-10T22:00:00+00:00"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"date": "{{ none }}"},
        {"date": "{{ dag_run.conf }}"},
        {"window_start": "{{ dag_run.conf }}", "window_end": "2026-02-11"},
        {"window_start": "{{ none }}", "window_end": "{{ none }}"},
    ],
)
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("kind", ["export", "sensor"])
def test_a_template_that_rendered_to_nothing_is_refused(
    empty_tenant: CustobarSandbox, tmp_path: Path, kind: str, native: bool, arguments: dict[str, str]
) -> None:
    """Rule: a period that rendered to None, native or as a text, is refused and never means everything."""
    if kind == "export":
        task = task_of(None, tmp_path / "x.jsonl", native=native, **arguments)
    else:
        with DAG("dag", schedule=None, render_template_as_native_obj=native):
            task = CustobarEventSensor(task_id="wait", event_types=["BROWSE"], **arguments)
    with pytest.raises(InvalidArgumentError, match="(date|window_start)='?None'? is not accepted") as caught:
        execute(task)
    assert "\n" not in str(caught.value)
    assert empty_tenant.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"window": "auto", "date": "{{ ds }}"}, "window='auto'.*window or date"),
        ({"window": "auto", "window_start": "2026-02-10"}, "window='auto'.*window or window_start"),
        ({"window": "day"}, "window='day'.*auto"),
        ({"window": ""}, "window=''.*auto"),
    ],
)
def test_what_does_not_go_together_is_refused_when_the_dag_is_read(arguments: Any, said: str) -> None:
    """Rule: ``window`` is auto, and goes alone."""
    with pytest.raises(InvalidArgumentError, match=said):
        task_of(None, "x.jsonl", **arguments)
    with pytest.raises(InvalidArgumentError, match=said):
        CustobarEventSensor(task_id="wait", event_types=["BROWSE"], **arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"resource": "customers", "window": "auto"}, "full snapshot"),
        ({"resource": "customers", "date": "2026-02-10"}, "date='2026-02-10'.*full snapshot.*leave the window out"),
        ({"resource": "products", "window_start": "2026-02-10", "window_end": "2026-02-11"}, "window_start=.*full snapshot"),
        ({"window_start": "2026-02-11", "window_end": "2026-02-10"}, "window_end=.*later than window_start"),
        ({"window_start": "2026-02-11T01:00+02:00", "window_end": "2026-02-10T23:00Z"}, "window is empty"),
        ({"date": "2026-02-10", "window_start": "2026-02-10"}, "date=.*not both"),
        ({"window_start": "2026-02-10"}, "window_end=None.*both ends"),
        ({"window_end": "2026-02-10"}, "window_start=None.*both ends"),
        ({"window_start": "", "window_end": "2026-02-10"}, "window_start=''"),
        ({"date": "2026-02-30"}, "date='2026-02-30'.*no such day"),
        ({"date": "2026-02-10T00:00:00"}, "date='2026-02-10T00:00:00'.*YYYY-MM-DD"),
        ({"date": datetime(2026, 2, 10, tzinfo=UTC)}, "date=.*YYYY-MM-DD"),
    ],
)
def test_bad_windows_are_refused_before_the_first_request(
    empty_tenant: CustobarSandbox, tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    """Rule: a window that cannot be meant is refused in one line before anything is asked for."""
    if arguments.get("resource", "events") != "events":
        arguments = {**arguments, "event_types": None}
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        execute(task_of(None, tmp_path / "x.jsonl", **arguments))
    assert "\n" not in str(caught.value)
    assert empty_tenant.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("timezone", "said"),
    [
        ("Pacific/Apia", "date='2011-12-30'.*does not exist in Pacific/Apia"),
        ("Europe/Helsinky", "extra timezone='Europe/Helsinky'.*IANA.*Did you mean 'Europe/Helsinki'"),
        ("GMT+2", "extra timezone='GMT[+]2'.*IANA"),
        (7200, "extra timezone=7200.*IANA"),
        ("../etc/passwd", "extra timezone=.*IANA"),
    ],
)
def test_days_and_zones_that_do_not_exist(
    make_tenant: Callable[..., CustobarSandbox], tmp_path: Path, timezone: Any, said: str
) -> None:
    """Rule: a day that the tenant's calendar skipped and a zone that nobody knows are refused by name."""
    tenant = make_tenant(generate=False, extra={"timezone": timezone})
    with pytest.raises(InvalidArgumentError, match=said):
        execute(task_of(None, tmp_path / "x.jsonl", date="2011-12-30"))
    assert tenant.requests == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_sensor_waits_for_its_runs_own_period(empty_tenant: CustobarSandbox, deferrable: bool) -> None:
    """Rule: a sensor with window="auto" looks at the period of its run, deferred or not, and logs what it picked."""
    with DAG("dag", schedule="@daily", start_date=START):
        sensor = CustobarEventSensor(task_id="wait", event_types=["BROWSE"], window="auto", deferrable=deferrable, min_events=2)
    (info,) = scheduled(sensor.dag, 1)
    inside = [START - timedelta(days=1), START - timedelta(microseconds=1)]
    outside = [START - timedelta(days=1, microseconds=1), START]
    empty_tenant.load("events", map(event, [*outside, inside[0]]))
    context = context_of(sensor, info)
    with capture_logs() as logs:
        if deferrable:
            with pytest.raises(TaskDeferred) as caught:
                sensor.execute(context)
            path, arguments = caught.value.trigger.serialize()
            assert arguments["window_start"] == "2026-02-08T00:00:00+00:00"
            assert arguments["window_end"] == "2026-02-09T00:00:00+00:00"
            empty_tenant.load("events", [event(inside[1])])
            payload = asyncio.run(anext(aiter(import_string(path)(**arguments).run()))).payload
            found = sensor.execute_complete(context, payload)
        else:
            assert not sensor.poke(context).is_done
            empty_tenant.load("events", [event(inside[1])])
            found = sensor.poke(context).xcom_value
    assert found["BROWSE"]["count"] == 2
    assert any("window='auto' is" in entry["event"] and "[2026-02-08" in entry["event"] for entry in logs)
