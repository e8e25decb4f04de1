"""Rounds of runs: within a round the contestants follow each other, so that what disturbs one disturbs its neighbours too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tools.airflow_home import PROJECT
from tools.bench import page_server
from tools.bench.null_server import NullServer
from tools.bench.order import Order
from tools.bench.page_server import TOKEN, Dataset, PageServer
from tools.bench.plan import CONTESTANTS, DAY, FORMATS, FREE, MOST_ROWS_OF_PEERS, NULL, WINDOW, Contestant, Format, Scenario
from tools.bench.results import Run
from tools.bench.verify import count_rows
from tools.servers import S3Server
from tools.stage import DemoError

_BUCKET = "bench"
_TIMEOUT_SECONDS = 1800.0
_BYTES_PER_ROW = 450
_WARM_UP_BYTES = 32 << 20


class BenchError(DemoError):
    """The benchmark cannot go on; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is to be measured, and how often."""

    rows: Sequence[int]
    runs: int
    peer_runs: int
    paced_runs: int
    contestants: Collection[str] = tuple(contestant.name for contestant in CONTESTANTS)
    formats: Collection[str] = tuple(FORMATS)

    def runs_of(self, contestant: Contestant, rows: int, scenario: Scenario) -> int:
        if contestant.name not in self.contestants or rows > contestant.most_rows:
            return 0
        if scenario is DAY:
            return self.paced_runs if contestant.paced else 0
        if scenario.keeps_nothing and (contestant.is_peer or contestant.name == "drain"):
            return 0
        # The ratios are those of a million rows; other sizes show the memory, which varies little.
        seldom = contestant.is_peer or rows != MOST_ROWS_OF_PEERS
        return min(self.runs, self.peer_runs) if seldom else self.runs

    @property
    def legs(self) -> list[tuple[Scenario, int]]:
        """Scenarios and numbers of rows, in their order."""
        most = max((rows for rows in self.rows if rows <= MOST_ROWS_OF_PEERS), default=0)
        null = [(NULL, most), (WINDOW, most)] if most else []
        # First what everybody runs every night.
        return [*([(DAY, most)] if most and self.paced_runs else []), *((FREE, rows) for rows in self.rows), *null]


@dataclass
class Outcome:
    runs: list[Run] = field(default_factory=list)
    #: What went wrong or was left out, a line each.
    remarks: list[str] = field(default_factory=list)


class Runner:
    """Carries out the wishes. A context manager, which leaves nothing running and nothing on the disk."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._stack = ExitStack()
        self._verified: set[tuple[str, int, str, str]] = set()
        self._given_up: set[tuple[str, str]] = set()
        self.outcome = Outcome()

    def __enter__(self) -> Self:
        with self._stack:
            self._temporary = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            datasets = {_dataset(scenario, rows) for scenario, rows in self._wishes.legs}
            self._pages = self._stack.enter_context(PageServer(sorted(datasets, key=str)))
            self._s3_stack = self._stack.enter_context(ExitStack())
            # Kept open only if all of this has succeeded.
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self) -> Outcome:
        """A failure ends what fails, for its format; the others go on, and what was measured is not lost."""
        for contestant in CONTESTANTS:
            if contestant.name in self._wishes.contestants and not contestant.python.exists():
                self._give_up(contestant, contestant.formats, f"there is no {contestant.python}, which make bench installs")
        try:
            self._all_rounds()
        except BenchError as error:
            self.outcome.remarks.append(str(error))
        return self.outcome

    def _all_rounds(self) -> None:
        for scenario, rows in self._wishes.legs:
            rounds = max((self._wishes.runs_of(contestant, rows, scenario) for contestant in CONTESTANTS), default=0)
            for number in range(rounds):
                print(f"\n{scenario.name}, {rows:,} rows, round {number + 1} of {rounds}", flush=True)
                self._round(scenario, rows, number)

    def _round(self, scenario: Scenario, rows: int, number: int) -> None:
        self._renew_s3(scenario)
        for kind in FORMATS.values():
            if kind.name not in self._wishes.formats or kind.name not in scenario.formats:
                continue
            for contestant in CONTESTANTS:
                if number < self._wishes.runs_of(contestant, rows, scenario) and kind.name in contestant.formats:
                    self._one(contestant, kind, scenario, rows, number)

    def _one(self, contestant: Contestant, kind: Format, scenario: Scenario, rows: int, number: int) -> None:
        if (contestant.name, kind.name) in self._given_up:
            return
        # Twice: for the object, and for its copy when it is looked at.
        if shutil.disk_usage(self._temporary).free < 2.5 * rows * _BYTES_PER_ROW:
            self._renew_s3(scenario)  # SeaweedFS gives space back late
            if shutil.disk_usage(self._temporary).free < 2.5 * rows * _BYTES_PER_ROW:
                raise BenchError(f"{rows:,} rows need {2.5 * rows * _BYTES_PER_ROW / 1e9:.0f} GB free in {self._temporary}")
        prefix = f"{scenario.name}/{rows}/{kind.name}/{contestant.name}/{number}"
        order = Order(
            contestant=contestant.name,
            file_format=kind.file_format,
            page_format=kind.page_format,
            gzip=kind.gzip,
            rows=rows,
            pace_seconds=scenario.pace_seconds,
            base_url=self._pages.base_url(_dataset(scenario, rows)),
            token=TOKEN,
            s3_url=self._s3.endpoint_url,
            s3_access_key=self._s3.access_key,
            s3_secret_key=self._s3.secret_key,
            s3_region=self._s3.region,
            bucket=_BUCKET,
            key=f"{prefix}/events.{kind.ending}",
            day=page_server.DAY.isoformat() if scenario.is_day else None,
        )
        print(f"  {kind.name:<12} {contestant.label:<26}", end="", flush=True)
        try:
            before = _cpu_seconds(self._s3.pid)
            measured = self._measure(contestant, order, scenario)
            measured["s3_cpu_seconds"] = _cpu_seconds(self._s3.pid) - before
            self._verify(contestant, kind, scenario, rows, prefix)
        except BenchError as error:
            print(" failed")
            self._give_up(contestant, [kind.name], f"{kind.name}, {rows:,} rows: {error}")
            return
        finally:
            self._delete(prefix)
        wall, cpu, peak = measured["wall_seconds"], measured["cpu_seconds"], measured["peak_bytes"]
        sent = f" {self._s3.counts()}" if isinstance(self._s3, NullServer) else ""
        print(f" {wall:8.2f} s {cpu:8.2f} s CPU {peak / 1e6:7.0f} MB{sent}", flush=True)
        self.outcome.runs.append(
            Run(
                scenario=scenario.name,
                rows=rows,
                format=kind.name,
                contestant=contestant.name,
                round=number,
                requests=order.requests,
                **measured,
            )
        )

    def _measure(self, contestant: Contestant, order: Order, scenario: Scenario) -> dict[str, float]:
        answer = self._temporary / "answer.json"
        answer.unlink(missing_ok=True)
        log = self._temporary / "job.log"
        command = [str(contestant.python), "-W", "ignore", "-m", "tools.bench.job", order.to_json(), str(answer)]
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    command,
                    cwd=PROJECT,
                    env=self._environment(order, scenario),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=_TIMEOUT_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise BenchError(f"{contestant.label} took longer than {_TIMEOUT_SECONDS:.0f} s") from None
        if done.returncode or not answer.exists():
            tail = log.read_text(errors="replace")[-3000:]
            raise BenchError(f"{contestant.label} ended with code {done.returncode}:\n{tail}")
        measured: dict[str, float] = json.loads(answer.read_text())
        return measured

    def _environment(self, order: Order, scenario: Scenario) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "AWS_", "DLT_"))}
        custobar = {
            "conn_type": "custobar",
            "host": order.base_url,
            "password": TOKEN,
            "extra": {"requests_per_minute": scenario.requests_per_minute},
        }
        return {
            **kept,
            "AIRFLOW_HOME": str(self._temporary / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "SCARF_ANALYTICS": "False",
            "AIRFLOW_CONN_AWS_DEFAULT": self._s3.airflow_connection(),
            "AIRFLOW_CONN_CUSTOBAR_DEFAULT": json.dumps(custobar),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": order.base_url}),
            "BENCH_TEMPORARY": str(self._temporary),
        }

    def _verify(self, contestant: Contestant, kind: Format, scenario: Scenario, rows: int, prefix: str) -> None:
        """Once for each thing that is measured: the runs after the first do the same."""
        case = (scenario.name, rows, kind.name, contestant.name)
        if case in self._verified or contestant.name == "drain" or isinstance(self._s3, NullServer):
            return
        stored = count_rows(self._s3.client(), _BUCKET, f"{prefix}/", kind, contestant.name)
        if stored != rows:
            raise BenchError(f"{contestant.label} stored {stored:,} of {rows:,} rows")
        self._verified.add(case)

    def _renew_s3(self, scenario: Scenario) -> None:
        self._s3_stack.close()
        self._s3: S3Server | NullServer
        if scenario.keeps_nothing:
            self._s3 = self._s3_stack.enter_context(NullServer())
            return
        self._s3 = self._s3_stack.enter_context(S3Server())
        self._s3.create_bucket(_BUCKET)
        # A bucket's first write takes longer.
        self._s3.client().put_object(Bucket=_BUCKET, Key="warm", Body=bytes(_WARM_UP_BYTES))

    def _delete(self, prefix: str) -> None:
        if isinstance(self._s3, NullServer):
            return
        client: Any = self._s3.client()
        for item in client.list_objects_v2(Bucket=_BUCKET, Prefix=f"{prefix}/").get("Contents", []):
            client.delete_object(Bucket=_BUCKET, Key=item["Key"])
        for leftover in self._temporary.glob("dlt-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _give_up(self, contestant: Contestant, formats: Sequence[str], reason: str) -> None:
        self._given_up.update((contestant.name, name) for name in formats)
        self.outcome.remarks.append(f"{contestant.label}: {reason}")
        print(f"    {contestant.label}: {reason}", flush=True)


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _dataset(scenario: Scenario, rows: int) -> Dataset:
    return Dataset(rows, scenario.think_seconds, scenario.is_day)


def timed(wishes: Wishes) -> tuple[Outcome, float]:
    """Carry the wishes out; also return the minutes that it took."""
    began = time.monotonic()
    with Runner(wishes) as runner:
        outcome = runner.run()
    return outcome, (time.monotonic() - began) / 60
