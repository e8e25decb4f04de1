"""What the demo and the UI run against: simulated services and real stores, and the steps that are told on the way.

The demo needs a tenant and two stores; the UI, and the test of all example DAGs, a shop and a database as well.
"""

from __future__ import annotations

import gzip
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

from airflow_provider_custobar.sandbox import CustobarSandbox, SpiffyStoresSandbox
from tools.servers import GcsServer, PostgresServer, S3Server

BUCKET = "custobar-exports"
#: Mapped examples share it: Custobar's limit is for all tasks together. Name, slots, description.
POOL = ("custobar", "2", "Custobar's rate limit")
_WAREHOUSE_DAYS = 7


class DemoError(Exception):
    """A step went wrong; the text says how."""


@dataclass(frozen=True)
class Stage:
    """Everything that runs: the simulated tenant and the two stores."""

    sandbox: CustobarSandbox
    s3: S3Server
    gcs: GcsServer

    @property
    def connections(self) -> dict[str, str]:
        return {
            "custobar_default": self.sandbox.airflow_connection(),
            "aws_default": self.s3.airflow_connection(),
            "google_cloud_default": self.gcs.airflow_connection(),
        }


@dataclass(frozen=True)
class ExamplesStage(Stage):
    """What all example DAGs need."""

    postgres: PostgresServer
    shop: SpiffyStoresSandbox
    #: A folder for what tasks remember from run to run.
    state: str

    @property
    def connections(self) -> dict[str, str]:
        """Airflow's UI tests only connections that have a port of their own: for those without it sends 0, and refuses that."""
        return {
            "custobar_default": _apart(self.sandbox.airflow_connection(), self.sandbox.url),
            "spiffy_stores_default": _apart(self.shop.airflow_connection(), self.shop.url),
            "aws_default": _with(self.s3.airflow_connection(), port=urlsplit(self.s3.endpoint_url).port),
            "google_cloud_default": _with(self.gcs.airflow_connection(), port=urlsplit(self.gcs.endpoint_url).port),
            # Part of the socket's name; this one is PostgreSQL's own.
            "postgres_default": _with(self.postgres.airflow_connection(), port=5432),
        }

    @property
    def environment(self) -> dict[str, str]:
        return {**self.gcs.environment(), "AIRFLOW_VAR_CUSTOBAR_STATE": f"file://{self.state}"}

    def unsubscribe_somebody(self) -> None:
        """Something new, for DAGs that start by themselves."""
        customers = [customer for customer in self.sandbox.records("customers") if "external_id" in customer]
        now = datetime.now(UTC)
        customer = customers[now.minute]["external_id"]
        event = {"type": "MAIL_UNSUBSCRIBE", "date": now.isoformat(timespec="seconds"), "customer_id": customer}
        self.sandbox.load("events", [event])


def set_stage(stack: ExitStack, sandbox: CustobarSandbox) -> Stage:
    with step("start the Custobar sandbox"):
        stack.enter_context(sandbox)
    with step("start the S3 server (SeaweedFS)"):
        s3 = stack.enter_context(S3Server())
        s3.create_bucket(BUCKET)
    with step("start the GCS server (fake-gcs-server)"):
        gcs = stack.enter_context(GcsServer())
        gcs.create_bucket(BUCKET)
    return Stage(sandbox, s3, gcs)


def set_examples_stage(stack: ExitStack, today: date) -> ExamplesStage:
    """Everything that ``make ui`` has but Airflow itself, with data up to the end of ``today``."""
    stage = set_stage(stack, CustobarSandbox(customers=2_000, events=30_000, sales=6_000, end_date=today))
    with step("start PostgreSQL"):
        postgres = stack.enter_context(PostgresServer())
    with step("start the Spiffy Stores sandbox"):
        shop = stack.enter_context(SpiffyStoresSandbox())
    state = stack.enter_context(tempfile.TemporaryDirectory(prefix="custobar-state-"))
    with step("put files, rows and changes there for the examples to find"):
        _put_files(stage.s3)
        _fill_warehouse(postgres, stage.sandbox, today)
        _change_customers(shop)
    return ExamplesStage(stage.sandbox, stage.s3, stage.gcs, postgres, shop, state)


def _put_files(s3: S3Server) -> None:
    """The night's new customers of a shop, one of them with a bad address, in two files."""
    rows = [f"F-{number};member{number}@example.com;{'yes' if number % 3 else 'no'}" for number in range(1, 9)]
    rows.append("F-9;not an address;no")
    for number, some in enumerate((rows[:5], rows[5:]), 1):
        text = "\r\n".join(["Member;Mail;Newsletter", *some, ""])
        key = f"incoming/customers/{number}.csv.gz"
        s3.client().put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(text.encode()))


def _fill_warehouse(postgres: PostgresServer, sandbox: CustobarSandbox, today: date) -> None:
    """The sales of the last days, in a table as custobar_to_warehouse makes it."""
    first = (today - timedelta(days=_WAREHOUSE_DAYS)).isoformat()
    texts = ("external_id", "sale_external_id", "sale_customer_id", "product_id")
    columns = ("external_id", "sale_external_id", "sale_date", "sale_customer_id", "product_id", "quantity", "total")
    types = {**dict.fromkeys(texts, "text"), "sale_date": "timestamptz", "quantity": "double precision"}
    rows = [
        tuple(sale.get(column) for column in columns)
        for sale in sandbox.records("sales")
        if first <= sale["sale_date"][:10] < today.isoformat()
    ]
    with postgres.connect() as connection, connection.cursor() as cursor:
        definitions = ", ".join(f"{column} {types.get(column, 'bigint')}" for column in columns)
        cursor.execute(f"CREATE TABLE custobar_sales ({definitions})")
        cursor.executemany(f"INSERT INTO custobar_sales VALUES ({', '.join(['%s'] * len(columns))})", rows)


def _change_customers(shop: SpiffyStoresSandbox) -> None:
    """Somebody of the shop's customers has changed a few times each day until now."""
    now = datetime.now(UTC)
    for number, customer in enumerate(shop.customers()):
        changed = now - timedelta(hours=6 * number)
        shop.touch(customer["id"], updated_at=changed.isoformat(timespec="seconds"))


def _apart(document: str, url: str) -> str:
    parts = urlsplit(url)
    return _with(document, schema=parts.scheme, host=parts.hostname, port=parts.port)


def _with(document: str, **fields: object) -> str:
    return json.dumps({**json.loads(document), **fields})


@contextmanager
def step(name: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"· {name} …", end="", flush=True)
    try:
        yield
    except Exception as error:
        print(" failed")
        raise DemoError(f"Step failed: {name}\n{error}") from error
    print(f" {time.monotonic() - began:.1f} s")


def run_to_the_end(act: Callable[[ExitStack], int]) -> int:
    """Run ``act`` and stop all that it started, however it ends; return the exit code."""
    # Being told to stop is an ordinary way to leave: every server is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        with ExitStack() as stack:
            return act(stack)
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except DemoError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
