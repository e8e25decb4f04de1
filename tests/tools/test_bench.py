"""The benchmark: its Custobar serves what it says, its floor copies every byte, its arithmetic and its tables are right."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests

from tools.bench import __main__ as bench
from tools.bench import runner
from tools.bench.contestants import floor
from tools.bench.contestants.provider_resumable import TaskStateStore
from tools.bench.event_rows import ALL_FIELDS, FIELDS, make_rows
from tools.bench.order import Order, PageFormat
from tools.bench.page_server import (
    DISTINCT_ROWS,
    LARGEST_PAGE,
    NEXT_URL_HEADER,
    PATH,
    TOKEN,
    Dataset,
    Pages,
    PageServer,
    answer,
)
from tools.bench.picture import draw
from tools.bench.plan import CONTESTANTS, DAY, FORMATS, FREE, NULL, WINDOW
from tools.bench.report import as_markdown, as_text
from tools.bench.results import Run, summarise
from tools.bench.runner import Wishes
from tools.bench.verify import count_rows
from tools.servers import S3Server

ROWS = 23_456
HEADERS = {"Authorization": f"Token {TOKEN}"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a tenant with ``ROWS`` events."""
    dataset = Dataset(ROWS)
    with PageServer([dataset]) as pages:
        yield pages.base_url(dataset)


def order(server: str, page_format: PageFormat, **changes: Any) -> Order:
    fields = {
        "contestant": "floor",
        "file_format": "csv" if page_format == "csv" else "jsonl",
        "page_format": page_format,
        "gzip": False,
        "rows": ROWS,
        "pace_seconds": 0.0,
        "base_url": server,
        "token": TOKEN,
        "s3_url": "",
        "s3_access_key": "",
        "s3_secret_key": "",
        "s3_region": "",
        "bucket": "",
        "key": "events",
    }
    return Order(**{**fields, **changes})


def pages_of(url: str) -> list[requests.Response]:
    responses = []
    following: str | None = url
    while following is not None:
        response = requests.get(following, headers=HEADERS, timeout=30)
        response.raise_for_status()
        responses.append(response)
        following = response.headers.get(NEXT_URL_HEADER)
    return responses


def run(contestant: str, number: int, wall: float, *, scenario: str = "free", peak: float = 1e6, requests: int = 10) -> Run:
    return Run(
        scenario=scenario,
        rows=1000,
        format="csv",
        contestant=contestant,
        round=number,
        requests=requests,
        wall_seconds=wall,
        cpu_seconds=wall / 2,
        peak_bytes=peak,
        s3_cpu_seconds=0.25,
    )


def test_json_pages_hold_the_rows_and_lead_to_each_other(server: str) -> None:
    """Rule: the JSON pages together are exactly the rows; body and header name the same next page, on all but the last."""
    responses = pages_of(order(server, "json").first_url)
    bodies = [response.json() for response in responses]
    assert [len(body["events"]) for body in bodies] == [10_000, 10_000, 3_456]
    assert [row for body in bodies for row in body["events"]] == make_rows(ROWS)
    assert [body.get("next_url") for body in bodies] == [response.headers.get(NEXT_URL_HEADER) for response in responses]
    assert ["next_url" in body for body in bodies] == [True, True, False]
    assert all("Retry-After" not in response.headers for response in responses)


def test_csv_pages_hold_the_rows_and_lead_to_each_other(server: str) -> None:
    """Rule: the CSV pages are whole files of exactly the rows, and their next page stands in the header only."""
    responses = pages_of(f"{server}{PATH}?type=BROWSE&format=csv&limit=10000&fields={','.join(FIELDS)}")
    tables = [list(csv.reader(io.StringIO(response.content.decode(), newline=""))) for response in responses]
    assert [table[0] for table in tables] == [list(FIELDS)] * 3
    served = [row for table in tables for row in table[1:]]
    assert served == [[row.get(name, "") for name in FIELDS] for row in make_rows(ROWS)]


def test_rows_repeat_beyond_those_in_memory_and_pages_do_not_tear() -> None:
    """Rule: datasets larger than what is prepared have the right number of rows, whatever pages they are asked for in."""
    pages, dataset = Pages(distinct_rows=50), Dataset(125)
    for limit in (10, 40, 125):
        first, seen = 0, []
        while True:
            reply = answer(pages, dataset, "http://host", {"limit": str(limit), "cursor": str(first)})
            seen += json.loads(b"".join(reply.parts))["events"]
            first += limit
            if reply.next_query is None:
                break
        assert seen == [*make_rows(50), *make_rows(50), *make_rows(25)]


@pytest.mark.parametrize(("query", "status"), [("limit=10001", 400), ("format=csv&limit=100001", 400), ("format=xml", 400)])
def test_what_the_api_refuses_is_refused(server: str, query: str, status: int) -> None:
    """Rule: nobody gets larger pages than the API's own, nor anything without the token."""
    assert requests.get(f"{server}{PATH}?{query}", headers=HEADERS, timeout=30).status_code == status
    assert requests.get(f"{server}{PATH}", timeout=30).status_code == 401


def test_rows_look_like_the_documentation_s() -> None:
    """Rule: a record takes about 400 bytes as JSON and 217 as CSV, and holds documented fields only."""
    rows = make_rows(2_000)
    assert {name for row in rows for name in row} == set(FIELDS) <= set(ALL_FIELDS)
    pages, dataset = Pages(distinct_rows=2_000), Dataset(2_000)
    as_json = sum(map(len, answer(pages, dataset, "", {"limit": "10000"}).parts)) / 2_000
    fields = ",".join(FIELDS)
    as_csv = sum(map(len, answer(pages, dataset, "", {"format": "csv", "limit": "10000", "fields": fields}).parts)) / 2_000
    assert 360 < as_json < 440
    assert 190 < as_csv < 240


def test_prepared_pages_are_as_long_as_the_api_s() -> None:
    """Rule: whole pages fit into what is prepared, so that they repeat instead of being made anew."""
    assert all(DISTINCT_ROWS % largest == 0 for largest in LARGEST_PAGE.values())


@pytest.mark.parametrize("page_format", ["json", "csv"])
def test_the_floor_copies_every_byte(server: str, s3_server: S3Server, s3_bucket: str, page_format: PageFormat) -> None:
    """Rule: the floor's object is the pages' bytes, one page after the other, and is counted right."""
    asked = order(
        server,
        page_format,
        s3_url=s3_server.endpoint_url,
        s3_access_key=s3_server.access_key,
        s3_secret_key=s3_server.secret_key,
        s3_region=s3_server.region,
        bucket=s3_bucket,
        key="floor/events",
    )
    floor.prepare(asked)()
    stored = s3_server.client().get_object(Bucket=s3_bucket, Key="floor/events")["Body"].read()
    assert stored == b"".join(response.content for response in pages_of(asked.first_url))
    kind = FORMATS["csv" if page_format == "csv" else "jsonl"]
    assert count_rows(s3_server.client(), s3_bucket, "floor/", kind, "floor") == ROWS


def test_orders_travel_unchanged(server: str) -> None:
    """Rule: what the process of a run reads is what it was sent; the requests are counted as the API's pages."""
    asked = order(server, "json")
    assert Order.from_json(asked.to_json()) == asked
    assert (order(server, "json").requests, order(server, "csv").requests) == (3, 1)


def test_the_store_of_checkpoints_keeps_copies() -> None:
    """Rule: the task state store holds what JSON can hold, not the objects that were handed in."""
    store, value = TaskStateStore(), {"parts": [1]}
    store.set("key", value)
    value["parts"].append(2)
    assert store.get("key") == {"parts": [1]}
    store.delete("key")
    assert store.get("key", "none") == "none"


def test_ratios_are_those_of_the_same_round() -> None:
    """Rule: each run is divided by the floor of its own round, then the median is taken; a round without a floor has none."""
    runs = [
        *(run("floor", number, wall) for number, wall in enumerate([1.0, 10.0, 2.0])),
        *(run("provider", number, wall, peak=3e6) for number, wall in enumerate([2.0, 10.0, 8.0, 100.0])),
    ]
    floor_line, own = summarise(runs)
    assert (floor_line.wall_seconds, floor_line.wall_ratio) == (2.0, 1.0)
    assert own.runs == 4
    assert own.wall_seconds == 9.0
    assert (own.wall_ratio, own.cpu_ratio, own.peak_ratio) == (2.0, 2.0, 3.0)


def test_paced_runs_are_compared_with_their_requests() -> None:
    """Rule: where a pace is kept, the floor is the number of requests times their distance; there is none of CPU or memory."""
    (line,) = summarise([run("provider", 0, 12.0, scenario="day")])
    assert (line.wall_ratio, line.cpu_ratio, line.peak_ratio) == (1.2, None, None)


def test_tables_hold_every_line() -> None:
    """Rule: the table for the terminal and the page show medians and ratios of each contestant, in the order of the plan."""
    lines = summarise([run("floor", 0, 1.0), run("documentation", 0, 3.0), run("provider", 0, 2.0), run("provider", 1, 9.0)])
    lines += summarise([run("provider", 0, 12.0, scenario="day")])
    text = as_text(lines)
    assert [row.split("  ")[0] for row in text.splitlines() if row.startswith("csv")] == ["csv"] * 4
    assert text.index("this provider") < text.index("the documentation's loop")
    assert "1,000 rows, of a tenant with others, a request every 1 s" in text
    page = as_markdown(lines, command="make bench", minutes=3.2, remarks=["dlt: left out\nbecause"], facts=["2 cores"])
    assert "| csv | this provider | 2 | 5.50 | 2.75 | 0.25 | 1 | 2.00x | 2.00x | 1.00x |" in page
    assert "| csv | this provider | 1 | 12.00 | 6.00 | 0.25 | 1 | 1.20x |  |  |" in page
    assert "- 2 cores" in page
    assert "- dlt: left out" in page


def test_the_chart_is_drawn_from_the_size_that_most_ran(tmp_path: Path) -> None:
    """Rule: the chart is a PNG where there is something to draw, and none is written where there is not."""
    pytest.importorskip("matplotlib")
    lines = summarise([run("floor", 0, 1.0), run("provider", 0, 2.0), run("documentation", 0, 0.5)])
    assert draw(lines, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert not draw([], tmp_path / "none.png")


def test_large_sizes_are_for_the_provider_and_the_floor() -> None:
    """Rule: peers stop at a million rows and run less often, as do other sizes; those keep a pace that can, up to that size."""
    wishes = Wishes(rows=(100_000, 1_000_000, 5_000_000), runs=5, peer_runs=2, paced_runs=1)
    free = [(FREE, 100_000), (FREE, 1_000_000), (FREE, 5_000_000)]
    assert wishes.legs == [(DAY, 1_000_000), *free, (NULL, 1_000_000), (WINDOW, 1_000_000)]
    counts = {
        (entry.name, rows, scenario.name): wishes.runs_of(entry, rows, scenario)
        for entry, (scenario, rows) in product(CONTESTANTS, wishes.legs)
    }
    assert counts["provider", 1_000_000, "free"] == counts["floor", 1_000_000, "free"] == 5
    assert counts["provider", 5_000_000, "free"] == counts["floor", 5_000_000, "free"] == 2
    assert counts["dlt_pipeline", 5_000_000, "free"] == 0
    assert counts["dlt_pipeline", 1_000_000, "free"] == 2
    assert counts["floor", 1_000_000, "day"] == 0
    assert counts["provider", 1_000_000, "day"] == 1


@pytest.mark.processes
def test_a_contestant_that_fails_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: wrong output counts for nothing: it is told, the code is not 0, and what others did is written all the same."""
    monkeypatch.setattr(runner, "count_rows", lambda *arguments: 999 if arguments[-1] == "documentation" else 1000)
    arguments = "--rows 1000 --runs 1 --paced-runs 0 --only documentation --formats csv"
    assert bench.main([*arguments.split(), "--out", str(tmp_path), "--json", str(tmp_path / "runs.json")]) == 1
    assert "the documentation's loop stored 999 of 1,000 rows" in capsys.readouterr().err
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert {run["contestant"] for run in runs} == {"floor"}


@pytest.mark.processes
def test_a_small_benchmark_writes_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: from one command to a table of verified runs: page server, S3, a process for each run, files."""
    arguments = "--rows 2000 --runs 1 --paced-runs 0 --only provider --formats csv,jsonl.gz,parquet"
    code = bench.main([*arguments.split(), "--out", str(tmp_path), "--json", str(tmp_path / "runs.json")])
    printed = capsys.readouterr()
    assert code == 0, printed
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert [(entry["scenario"], entry["format"], entry["contestant"]) for entry in runs] == [
        *product(["free"], ["csv", "jsonl.gz", "parquet"], ["floor", "provider"]),
        *product(["null"], ["csv", "parquet"], ["floor", "provider"]),
        *product(["window"], ["csv"], ["floor", "provider"]),
    ]
    assert all(entry["wall_seconds"] > 0 and entry["cpu_seconds"] > 0 for entry in runs)
    assert "| jsonl.gz | this provider | 1 |" in (tmp_path / "benchmark.md").read_text()
    assert "2,000 rows" in printed.out
