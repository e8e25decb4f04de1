"""Real shop transactions through the daily and the hourly export, three days of them or a week, read back with DuckDB.

The rows are those of "Online Retail" (Chen, D., 2015, UCI Machine Learning Repository, doi 10.24432/C5BW33), a gzipped CSV file
a day. They are not part of this repository: the tests look for them where ``ONLINE_RETAIL_DIR`` says, or beside the repository.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pendulum
import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from tests.soak import SOAK, times
from tools.airflow_home import PROJECT, AirflowHome, DagRunOutcome, connection_variables
from tools.servers import GcsServer, S3Server

DATA = Path(os.environ.get("ONLINE_RETAIL_DIR", PROJECT.parent / "shared" / "data" / "online-retail"))
ZONE = "Europe/Helsinki"
#: Days in a row, on one of which the shop was closed.
CLOSED = "2010-12-04"
DAYS = tuple(f"2010-12-{day:02}" for day in (range(2, 9) if SOAK else range(3, 6)))
#: The runs that stand for them: each at the end of its day in Helsinki, which is two hours before that in UTC.
MIDNIGHTS = [f"{day}T22:00:00" for day in DAYS]
#: Days of which each hour is exported for itself.
HOURLY_DAYS = DAYS[: times(1, 7)]
#: The runs of "@hourly" that stand for these days' hours in Helsinki: each for the hour before its own date.
HOURS = [
    f"{begin.add(hours=hour).in_timezone('UTC'):%Y-%m-%dT%H:00:00}"
    for begin in (pendulum.parse(day, tz=ZONE) for day in HOURLY_DAYS)
    for hour in range(1, 25)
]
BUCKET = "custobar-exports"
EVENT_TYPES = ("BASKET_ADD", "BROWSE", "MAIL_CLICK", "MAIL_OPEN")

pytestmark = [
    pytest.mark.processes,
    pytest.mark.soak,
    pytest.mark.skipif(not DATA.is_dir(), reason="the Online Retail rows are not here: set ONLINE_RETAIL_DIR"),
]


@dataclass
class Landed:
    """What the runs left behind: the objects as local files, and what the tasks said."""

    directory: Path
    daily: dict[str, DagRunOutcome]


def retail_rows() -> Iterator[dict[str, str]]:
    """Every row of every file there is, so that the exported days have neighbours."""
    for path in sorted(DATA.glob("*.csv.gz")):
        with gzip.open(path, "rt", newline="") as file:
            yield from csv.DictReader(file)


def load(sandbox: CustobarSandbox) -> None:
    customers: dict[str, dict[str, Any]] = {}
    products: dict[str, dict[str, Any]] = {}
    sales: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for number, row in enumerate(retail_rows()):
        customer = row["CustomerID"].removesuffix(".0")
        moment = row["InvoiceDate"].replace(" ", "T")
        cents = int(Decimal(row["UnitPrice"]) * 100)
        if customer:
            customers[customer] = {"external_id": customer, "acme__country": row["Country"]}
            events.append(
                {
                    "type": EVENT_TYPES[number % len(EVENT_TYPES)],
                    "date": moment,
                    "customer_id": customer,
                    "product_id": row["StockCode"],
                    "label": row["Description"],
                }
            )
        products[row["StockCode"]] = {"external_id": row["StockCode"], "title": row["Description"], "price": cents}
        sale = {
            "sale_external_id": row["InvoiceNo"],
            "sale_date": moment,
            "sale_customer_id": customer,
            "external_id": f"{row['InvoiceNo']}-{number}",
            "product_id": row["StockCode"],
            "quantity": int(row["Quantity"]),
            "unit_price": cents,
            "total": cents * int(row["Quantity"]),
        }
        sales.append({name: value for name, value in sale.items() if value != ""})
    for resource, records in (
        ("customers", customers.values()), ("products", products.values()), ("sales", sales), ("events", events),
    ):  # fmt: skip
        sandbox.load(resource, records)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, airflow_home: AirflowHome) -> Landed:
    directory = tmp_path_factory.mktemp("landed")
    # The shop's times are taken for those of Helsinki, whose days begin two hours before those of UTC in December.
    sandbox = CustobarSandbox(SandboxSettings(tenant_timezone=ZONE), generate=False)
    load(sandbox)
    with sandbox, S3Server() as s3, GcsServer() as gcs:
        s3.create_bucket(BUCKET)
        gcs.create_bucket(BUCKET)
        connections = {
            "custobar_default": sandbox.airflow_connection(requests_per_minute=6000, timezone=ZONE),
            "aws_default": s3.airflow_connection(),
            "google_cloud_default": gcs.airflow_connection(),
        }
        sandbox.settings.rate_limit = None
        environment = {**connection_variables(connections), **gcs.environment()}
        daily, hourly = (
            airflow_home.run_dag(_example(directory, dag_id), dag_id, dates, environment=environment)
            for dag_id, dates in (("custobar_daily_export", MIDNIGHTS), ("custobar_any_schedule", HOURS))
        )
        for outcome in (*daily, *hourly):
            assert set(outcome.states.values()) == {"success"}, outcome.log
        client = s3.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for item in page["Contents"]:
                _save(directory, item["Key"], client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
        for blob in gcs.client().list_blobs(BUCKET):
            _save(directory, blob.name, blob.download_as_bytes())
    return Landed(directory, dict(zip(DAYS, daily, strict=True)))


def _example(directory: Path, dag_id: str) -> Path:
    """An example DAG for a shop in Helsinki that began in 2010: a task does not run for a day before its start date."""
    file = directory / f"{dag_id}.py"
    text = (PROJECT / "dags_examples" / f"{dag_id}.py").read_text()
    text = text.replace('TIMEZONE = "UTC"', f"TIMEZONE = {ZONE!r}")
    file.write_text(text.replace("datetime(2026, 1, 1", "datetime(2010, 11, 1"))
    return file


def _save(directory: Path, name: str, data: bytes) -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def rows_of(query: str) -> list[tuple[Any, ...]]:
    return list(duckdb.sql(query).fetchall())


def shop(*days: str) -> str:
    """The shop's own files of these days, or of all, as a DuckDB table expression, with texts only."""
    files = [str(DATA / f"{day}.csv.gz") for day in days if day != CLOSED] or [str(path) for path in DATA.glob("*.csv.gz")]
    none = "" if days != (CLOSED,) else " where false"
    return f"(from read_csv({files}, all_varchar=true, header=true, quote='\"', escape='\"'){none})"


@pytest.mark.parametrize("day", DAYS)
def test_sales_are_the_days_own(landed: Landed, day: str) -> None:
    """Rule: every line of every invoice of the day is in the day's file once, with its quantity and price, and no other."""
    exported = rows_of(
        f"""select sale_external_id, product_id, coalesce(sale_customer_id, ''), quantity, unit_price::int
        from read_csv('{landed.directory}/custobar/sales/ds={day}/sales.csv', all_varchar=true, header=true) order by all"""
    )
    expected = rows_of(
        f"""select InvoiceNo, StockCode, coalesce(replace(CustomerID, '.0', ''), ''), Quantity,
        (UnitPrice::decimal(12, 3) * 100)::int from {shop(day)} order by all"""
    )
    assert exported == expected
    assert landed.daily[day].results["sales_to_s3"]["rows"] == len(expected)
    assert (len(expected) > 1000) == (day != CLOSED)


@pytest.mark.parametrize("day", DAYS)
def test_events_are_the_days_own(landed: Landed, day: str) -> None:
    """Rule: the day's events are those of the day's rows that name a customer, labels letter by letter."""
    exported = rows_of(
        f"""select customer_id, product_id, coalesce(label, ''), date
        from read_json('{landed.directory}/custobar/events/ds={day}/events.jsonl.gz', format='newline_delimited',
        columns={{customer_id: 'varchar', product_id: 'varchar', label: 'varchar', date: 'varchar'}}) order by all"""
    )
    expected = rows_of(
        f"""select replace(CustomerID, '.0', ''), StockCode, coalesce(Description, ''),
        strftime(InvoiceDate::timestamp - interval 2 hour, '%Y-%m-%dT%H:%M:%SZ')
        from {shop(day)} where CustomerID is not null order by all"""
    )
    assert exported == expected
    assert landed.daily[day].results["events_to_s3"]["rows"] == len(expected)


def test_the_days_add_up(landed: Landed) -> None:
    """Rule: the days together are their files together: no row twice, none missing."""
    exported = rows_of(
        f"""select count(*), sum(quantity::bigint), sum(total::bigint), count(distinct external_id)
        from read_csv('{landed.directory}/custobar/sales/*/sales.csv', all_varchar=true, header=true)"""
    )
    expected = rows_of(
        f"""select count(*), sum(Quantity::bigint), sum(Quantity::bigint * (UnitPrice::decimal(12, 3) * 100)::bigint), count(*)
        from {shop(*DAYS)}"""
    )
    assert exported == expected


@pytest.mark.parametrize("day", HOURLY_DAYS)
def test_the_hours_add_up(landed: Landed, day: str) -> None:
    """Rule: the 24 runs of "@hourly" that stand for a day of the tenant's hold that day's events, each once."""
    of_two_types = "columns={type: 'varchar', customer_id: 'varchar', product_id: 'varchar', label: 'varchar', date: 'varchar'}"
    columns = "select type, customer_id, product_id, coalesce(label, ''), date from"
    exported = rows_of(
        f"""{columns} read_json('{landed.directory}/custobar/hourly/ds={day}/*.jsonl', format='newline_delimited',
        {of_two_types}) order by all"""
    )
    whole_day = rows_of(
        f"""{columns} read_json('{landed.directory}/custobar/events/ds={day}/events.jsonl.gz', format='newline_delimited',
        {of_two_types}) where type in ('BROWSE', 'BASKET_ADD') order by all"""
    )
    assert exported == whole_day
    assert len(list((landed.directory / f"custobar/hourly/ds={day}").iterdir())) == 24


@pytest.mark.parametrize("day", DAYS)
def test_snapshots_are_whole(landed: Landed, day: str) -> None:
    """Rule: customers and products are whole each day, titles with commas, quotes and odd spaces included."""
    customers = rows_of(
        f"""select external_id
        from read_csv('{landed.directory}/custobar/customers/ds={day}/customers.csv.gz', all_varchar=true, header=true)
        order by all"""
    )
    assert customers == rows_of(
        f"select distinct replace(CustomerID, '.0', '') from {shop()} where CustomerID is not null order by all"
    )
    products = rows_of(
        f"""select external_id, title from
        read_json('{landed.directory}/custobar/products/ds={day}/products.jsonl.gz', format='newline_delimited',
        columns={{external_id: 'varchar', title: 'varchar'}}) order by all"""
    )
    titles = {row["StockCode"]: row["Description"] or None for row in retail_rows()}
    assert sorted(products) == sorted(titles.items())
