"""Records that cannot be placed in a window, in exports and in the sensor."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import PokeReturnValue

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError, ProtocolError
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from tests.windows.conftest import UNHURRIED, ZONE
from tests.windows.page_server import PageServer, Row, serving

DAY = "2026-02-10"
IN, OUT = f"{DAY}T12:00:00Z", "2026-02-09T12:00:00Z"
Pages = dict[str, list[list[Row]]]

#: The third record of the first type and the second of the other one have no time that can be read.
JSON_PAGES: Pages = {
    "BROWSE": [
        [{"date": IN, "path": "a"}, {"date": OUT, "path": "b"}],
        [{"date": "soon", "path": "c"}, {"date": IN, "path": "d"}],
    ],
    "MAIL_OPEN": [[{"date": IN, "path": "e"}], [{"path": "f"}, {"date": None, "path": "g"}]],
}
CSV_PAGES: Pages = {
    "BROWSE": [[f"{IN},a", f"{OUT},b"], ["soon,c", f"{IN},d"]],
    "MAIL_OPEN": [[f"{IN},e"], [",f", ",g"]],
}


def export(path: Path, **arguments: Any) -> dict[str, Any]:
    arguments = {"resource": "events", "event_types": ["BROWSE", "MAIL_OPEN"], "date": DAY, **arguments}
    return CustobarToObjectStorageOperator(task_id="export", path=f"file://{path}", **arguments).execute({})


def paths(path: Path) -> list[str]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [row["path"] for row in csv.DictReader(file)]
    return [json.loads(line)["path"] for line in path.read_text().splitlines()]


@pytest.fixture
def use(connect: Callable[[str, str], None]) -> Callable[..., None]:
    """Point ``custobar_default`` at a server; keyword arguments are the connection's extras."""

    def use(server: PageServer, **extra: Any) -> None:
        options = {"timezone": ZONE, "requests_per_minute": UNHURRIED, "max_attempts": 1, **extra}
        connect("custobar_default", server.connection(**options))

    return use


FORMATS = [("jsonl", JSON_PAGES), ("csv", CSV_PAGES)]


@pytest.mark.parametrize(("file_format", "pages"), FORMATS, ids=["json", "csv"])
def test_a_bad_timestamp_fails_the_export(use: Callable[..., None], tmp_path: Path, file_format: str, pages: Pages) -> None:
    """Rule: by default a record without a readable timestamp fails the export with its position, and no file is left."""
    path = tmp_path / f"events.{file_format}"
    with serving(pages, "date,path") as server:
        use(server)
        with pytest.raises(ProtocolError, match="Record 3 of events BROWSE .* date .*on_bad_timestamp") as caught:
            export(path, file_format=file_format)
        assert "soon" not in str(caught.value)
        with pytest.raises(ProtocolError, match="Record 2 of events MAIL_OPEN"):
            export(path, file_format=file_format, event_types="MAIL_OPEN")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fields", ["date,path", "path"], ids=["date asked for", "date added"])
@pytest.mark.parametrize(("decision", "expected"), [("keep", "acdefg"), ("drop", "ade")])
@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_bad_timestamps_are_kept_or_dropped_and_counted(
    use: Callable[..., None], tmp_path: Path, *, file_format: str, decision: str, expected: str, fields: str
) -> None:
    """Rule: ``keep`` exports them in their place, ``drop`` leaves them out, and either way the result counts them."""
    path = tmp_path / f"events.{file_format}"
    with serving(dict(FORMATS)[file_format], "date,path") as server:
        use(server)
        result = export(path, file_format=file_format, fields=fields, on_bad_timestamp=decision)
    assert "".join(paths(path)) == expected
    assert (result["rows"], result["bad_timestamps"]) == (len(expected), 3)
    first = path.read_text().splitlines()[0]
    assert ("date" in first) is ("date" in fields)


def test_positions_of_sales_count_within_their_day(use: Callable[..., None], tmp_path: Path) -> None:
    """Rule: a sale's position is counted in the answer for its day, over all of that answer's pages."""
    good: list[Row] = [{"sale_date": IN, "external_id": str(number)} for number in range(4)]
    earlier: list[Row] = [{"sale_date": "2026-02-09T23:00:00Z", "external_id": f"e{number}"} for number in range(4)]
    with serving({"2026-02-09": [earlier], DAY: [good[:2], [good[2], {"external_id": "x"}]]}) as server:
        use(server)
        with pytest.raises(ProtocolError, match=rf"Record 4 of sales {DAY} .* sale_date"):
            export(tmp_path / "sales.jsonl", resource="sales", event_types=None, file_format="jsonl")
        arguments = {"resource": "sales", "event_types": None, "file_format": "jsonl", "on_bad_timestamp": "keep"}
        result = export(tmp_path / "sales.jsonl", **arguments)
    assert (result["rows"], result["bad_timestamps"]) == (8, 1)


def test_a_bad_timestamp_of_a_row_in_csv_hides_no_other_row(use: Callable[..., None], tmp_path: Path) -> None:
    """Rule: line ends, commas and quotes in cells next to a bad timestamp neither split nor join rows."""
    rows: list[Row] = [f'"{IN}","a\r\n{OUT},b"', '"so\non","c ""d"""', f'{OUT},"e,\nf"', f"{IN},g"]
    with serving({"BROWSE": [rows]}, "date,path") as server:
        use(server)
        result = export(tmp_path / "events.csv", event_types="BROWSE", on_bad_timestamp="keep")
    assert paths(tmp_path / "events.csv") == [f"a\r\n{OUT},b", 'c "d"', "g"]
    assert (result["rows"], result["bad_timestamps"]) == (3, 1)


@pytest.mark.parametrize("value", ["", "ignore", None, "Fail"])
def test_another_decision_is_refused_when_the_dag_is_read(tmp_path: Path, value: Any) -> None:
    """Rule: a decision that nobody knows is refused, with those that are known."""
    with pytest.raises(InvalidArgumentError, match="on_bad_timestamp=.*fail, keep, drop"):
        CustobarToObjectStorageOperator(task_id="export", path=str(tmp_path), resource="events", on_bad_timestamp=value)


def test_a_trusted_filter_is_told_in_the_log(
    use: Callable[..., None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: where the day filter is trusted, timestamps are not looked at, and the log says so; for hours they are."""
    with serving(JSON_PAGES) as server, caplog.at_level(logging.INFO):
        use(server, trust_day_filter=True)
        result = export(tmp_path / "events.jsonl", file_format="jsonl")
        assert result["rows"] == 7
        assert {(asked["date.gte"][0], asked["date.lte"][0]) for asked in server.asked} == {(DAY, DAY)}
        assert "filter is trusted" in caplog.text
        hours = {"date": None, "window_start": f"{DAY}T00:00", "window_end": f"{DAY}T18:00"}
        with pytest.raises(ProtocolError, match="Record 3 of events BROWSE"):
            export(tmp_path / "hours.jsonl", file_format="jsonl", **hours)


def poked(sensor: CustobarEventSensor) -> PokeReturnValue | CustobarError:
    try:
        return sensor.poke({})
    except CustobarError as error:
        return error


@pytest.mark.parametrize("min_events", [2, 3, 50])
def test_a_bad_timestamp_fails_a_sensors_poke(use: Callable[..., None], min_events: int) -> None:
    """Rule: an event that may or may not lie in the window fails the poke with its position, unless there are enough others."""
    with serving(JSON_PAGES) as server:
        use(server)
        sensor = CustobarEventSensor(task_id="wait", event_types=["MAIL_OPEN"], date=DAY, min_events=min_events)
        with pytest.raises(ProtocolError, match="Record 2 of events MAIL_OPEN .* date"):
            sensor.poke({})
        enough = CustobarEventSensor(task_id="wait", event_types=["MAIL_OPEN"], date=DAY)
        assert enough.poke({}).xcom_value == {"MAIL_OPEN": {"count": 1, "first": IN, "last": IN}}


@pytest.mark.parametrize("min_events", [1, 3, 50])
def test_a_bad_timestamp_does_not_crash_a_trusting_sensor(use: Callable[..., None], min_events: int) -> None:
    """Rule: where the day filter is trusted, such an event counts or fails the poke with a message of ours."""
    with serving(JSON_PAGES) as server:
        use(server, trust_day_filter=True)
        sensor = CustobarEventSensor(task_id="wait", event_types=["MAIL_OPEN"], date=DAY, min_events=min_events)
        outcome = poked(sensor)
    if isinstance(outcome, CustobarError):
        assert "date" in str(outcome)
    else:
        assert outcome.is_done is (min_events <= 3)
        json.dumps(outcome.xcom_value)
