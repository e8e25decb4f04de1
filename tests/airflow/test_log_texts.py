"""What tasks write into their log, as a browser shows it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.api.log_lines import LONGEST_LINE
from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator
from airflow_provider_custobar.transfers.object_storage_to_custobar import ObjectStorageToCustobarOperator

DAY = "2026-02-10"
#: A line of standard output: the time, the level, and behind the text who wrote it and where.
COLOURS = re.compile(r"\x1b\[[\d;]*m")
LINE = re.compile(r"(?:\S+Z \[\w+ *\] )?(.*?)(?: +\[[\w.]+\] loc=\S+)?\s*")
TYPES = ["BASKET_ADD", "BROWSE", "MAIL_CLICK", "MAIL_OPEN", "MAIL_SUBSCRIBE", "MAIL_UNSUBSCRIBE", "SMS_SUBSCRIBE"]
GOOD, BAD = {"external_id": "m-1", "first_name": "Aino"}, {"email": "someone@example.com"}
MEMBERS = "external_id;country;Notes\r\nm-1;FI;x\r\nm-2;Suomi;x\r\n"


def export(folder: Path, resource: str = "events", **arguments: Any) -> Any:
    asked = {"resource": resource, "event_types": TYPES, "date": DAY, "fields": ["type", "date"], **arguments}
    return CustobarToObjectStorageOperator(task_id="t", path=f"file://{folder}/{resource}.csv", **asked)


def load(folder: Path, **arguments: Any) -> Any:
    asked = {"resource": "events", "event_types": ["BROWSE"], "date": DAY, "fields": ["type", "date"], **arguments}
    return CustobarToSqlOperator(task_id="t", conn_id="database", table="events", **asked)


def upload(folder: Path, *records: Any, **arguments: Any) -> Any:
    return CustobarUploadOperator(task_id="t", records=list(records), **arguments)


def upload_file(folder: Path, **arguments: Any) -> Any:
    (folder / "members.csv").write_text(MEMBERS)
    return ObjectStorageToCustobarOperator(task_id="t", path=f"file://{folder}/members.csv", **arguments)


def wait(folder: Path, **arguments: Any) -> Any:
    return CustobarEventSensor(task_id="t", **{"event_types": ["BROWSE"], "date": DAY, "poke_interval": 0.01, **arguments})


UNAVAILABLE = {"status": 503, "times": 1}
DENIED = {"status": 403, "times": None}
WINDOW = "[2026-02-10T00:00:00+00:00, 2026-02-11T00:00:00+00:00)"
#: A task, what the server does meanwhile, and texts of the log, each of which is there once.
RUNS: dict[str, tuple[Callable[[Path], Any], dict[str, Any] | None, list[str]]] = {
    "export": (export, None, ["Exporting events to file://", f"in {WINDOW}", "rows of events exported to file://"]),
    "export of one page": (
        lambda folder: export(folder, resource="products", event_types=None, date=None, fields=["external_id"]),
        None,
        ["Exporting products to file://", "(1 page,", "bytes in"],
    ),
    "export that is tried again": (export, UNAVAILABLE, ["Trying again in ", "attempt 1 of 2 failed", "exported to"]),
    "export that is denied": (export, DENIED, ["the token may not do this;", "personal keys expire after 8 hours."]),
    "export of a wrong argument": (lambda folder: export(folder, event_types=["BROWZE"]), None, ["Did you mean 'BROWSE'?"]),
    "export of nothing": (
        lambda folder: export(folder, date="2020-02-10", on_empty="skip"),
        None,
        ["0 rows of events found, and nothing was written"],
    ),
    "export of today": (
        lambda folder: export(folder, date=None, window_start=DAY, window_end=datetime.now(UTC) + timedelta(hours=1)),
        None,
        ["Not over yet, so what happens until its end will be missing: "],
    ),
    "load": (
        load,
        None,
        ["Loading events into sqlite", "of events loaded into sqlite", " inserted, 0 updated, 0 deleted"],
    ),
    "load that is denied": (load, DENIED, ["the token may not do this;"]),
    "upload": (
        lambda folder: upload(folder, GOOD),
        None,
        ["Uploading customers to http://127", "1 row of customers sent in 1 batch: 1 row came in, 0 rejected, 0 unchanged"],
    ),
    "upload without bad rows": (
        lambda folder: upload(folder, *[BAD] * 12, GOOD, on_invalid="skip"),
        None,
        [
            "12 of 13 rows of customers cannot be uploaded, see above.",
            *(f"Row {n} is set aside: no ext" for n in range(12)),
        ],
    ),
    "upload of bad rows": (
        lambda folder: upload(folder, *[BAD] * 12),
        None,
        # The first ten are in the error, the others in the log before it.
        ["Nothing was sent.", *(f"row {n}: no ext" for n in range(10)), *(f"Row {n} is set aside: no ext" for n in (10, 11))],
    ),
    "upload of a file": (
        lambda folder: upload_file(folder, on_invalid="skip", unknown_fields="drop"),
        None,
        ["Row 2 of file://", "country must be", "Custobar does not have are left out: 'Notes' in 1 row"],
    ),
    "dry run": (
        lambda folder: upload(folder, GOOD, dry_run=True),
        None,
        ["Checking customers for http://", "nothing will be sent (dry run)", "Dry run: nothing was sent of customers"],
    ),
    "upload that is denied": (lambda folder: upload(folder, GOOD), DENIED, ["Nothing was sent."]),
    "poke": (lambda folder: wait(folder, min_events=1), None, [f"Enough events: 1 of 1 BROWSE in {WINDOW}"]),
    "poke of many types": (
        lambda folder: wait(folder, event_types=TYPES, min_events=1_000_000, match="any", timeout=0),
        None,
        ["Not enough events yet: ", " of 1000000 BASKET_ADD", " of 1000000 SMS_SUBSCRIBE", f"in {WINDOW}"],
    ),
    "poke that is denied": (wait, DENIED, ["the token may not do this;"]),
    "first look that fails": (
        lambda folder: wait(folder, deferrable=True),
        UNAVAILABLE,
        ["The first look failed, and the triggerer goes on: Custobar answered 503"],
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_log_can_be_read_without_scrolling(
    tenant: CustobarSandbox,
    connect: Callable[[str, str], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    *,
    name: str,
) -> None:
    """Rule: lines are short, tell the news first, and tell nothing twice; what takes more than a line is told in several."""
    connect("database", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "db.sqlite")}))
    connect("custobar_default", tenant.airflow_connection(requests_per_minute=600_000, max_attempts=2))
    caplog.set_level(logging.INFO)
    make, fault, texts = RUNS[name]
    if fault is not None:
        tenant.faults.add(Fault("status", **fault))
    failure = ""
    try:
        make(tmp_path).execute({})
    except TaskDeferred:
        pass
    except (AirflowException, CustobarError) as error:
        failure = str(error)
    # Airflow's own loggers write to standard output, others do not.
    lines = [match[1] for line in COLOURS.sub("", capsys.readouterr().out).splitlines() if (match := LINE.fullmatch(line))]
    ours = (record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_custobar"))
    lines += [line for text in ours for line in text.splitlines() if line not in lines]
    # That one is Airflow's.
    lines = [line for line in lines if "cannot be called outside of the Task Runner" not in line]
    if max(map(len, failure.splitlines() or [""])) <= LONGEST_LINE:
        # Airflow shows it, and it is short enough as it is.
        lines += failure.splitlines()
    assert [line for line in lines if len(line) > LONGEST_LINE] == []
    log = "\n".join(lines)
    assert {text: log.count(text) for text in texts} == dict.fromkeys(texts, 1), log
