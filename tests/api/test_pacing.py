"""How fast requests follow each other."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api import flow
from airflow_provider_custobar.api.flow import Outcome, Pacer
from airflow_provider_custobar.api.query import build_query


def most_in_a_minute(starts: list[float]) -> int:
    """The most requests in any 60 seconds, the last instant excluded."""
    return max(sum(1 for later in starts if start <= later < start + 60 - 1e-6) for start in starts)


@given(
    rate=st.floats(0.5, 2000),
    arrivals=st.lists(st.floats(0, 30) | st.just(0.0), min_size=1, max_size=60),
    holds=st.dictionaries(st.integers(0, 59), st.floats(0, 90), max_size=3),
)
def test_no_minute_sees_more_requests_than_allowed(rate: float, arrivals: list[float], holds: dict[int, float]) -> None:
    """Rule: never more than requests_per_minute in any 60 seconds, whenever requests come and whatever pauses are asked for."""
    pacer = Pacer(rate)
    now = 0.0
    starts = []
    for number, gap in enumerate(arrivals):
        now += gap
        if number in holds:
            pacer.hold(now + holds[number])
        delay = pacer.reserve(now)
        assert delay >= 0
        now += delay
        starts.append(now)
    assert most_in_a_minute(starts) <= math.ceil(rate)
    assert all(later - earlier >= 60 / rate - 1e-6 for earlier, later in itertools.pairwise(starts))


def test_a_pause_is_kept_by_everybody_and_shortens_nothing() -> None:
    """Rule: after hold() nobody starts before its end, and an earlier hold() does not pull an appointment forward."""
    pacer = Pacer(60)
    assert pacer.reserve(0) == 0
    pacer.hold(30)
    assert pacer.reserve(1) == 29
    pacer.hold(5)
    assert pacer.reserve(2) == 29


def test_the_first_request_and_one_after_a_long_rest_go_at_once() -> None:
    """Rule: pacing delays nothing that is slow of itself, and saves up no burst either."""
    pacer = Pacer(60)
    assert pacer.reserve(100) == 0
    assert pacer.reserve(1000) == 0
    assert pacer.reserve(1000) == 1


def test_threads_share_one_pace() -> None:
    """Rule: starts handed to many threads are all apart from each other."""
    pacer = Pacer(60)
    delays: list[float] = []
    threads = [threading.Thread(target=lambda: delays.extend(pacer.reserve(0) for _ in range(50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(delays) == list(range(400))


@pytest.mark.parametrize(("rate", "latency"), [(60, 0.0), (60, 0.4), (180, 0.1), (7, 3.0), (60, 2.5)])
def test_pages_redirects_and_retries_are_all_paced(
    make_runner: Callable[..., Any], answers: Any, rate: float, latency: float
) -> None:
    """Rule: first tries, retries and redirected requests count alike; a slow server is not slowed down further."""
    runner = make_runner(requests_per_minute=rate, latency=latency, max_attempts=8, chance=0.0)
    here = "https://acme.custobar.com/api/data/customers/"

    def script() -> Iterator[Outcome]:
        for number in range(60):
            yield answers.redirect(f"{here}?r={number}")
            yield answers.error(503)
            yield answers.page("customers", [], f"{here}?p={number}")
        yield answers.page("customers", [])

    runner.run(flow.pages(runner.context, build_query("customers")), script())
    assert len(runner.started) == 181
    assert most_in_a_minute(runner.started) <= rate
    for wait in runner.waits:
        if not wait.reason:
            assert 0 < wait.seconds <= 60 / rate - latency + 1e-6, "no more than what is missing"


def test_flows_of_one_client_are_paced_together(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: uploads, pages and probes of one client share the pace."""
    runner = make_runner(requests_per_minute=60)
    for _ in range(3):
        runner.run(flow.probe(runner.context), [answers.page("customers", [])])
        runner.run(flow.pages(runner.context, build_query("customers")), [answers.page("customers", [])])
    starts = runner.started
    assert [later - earlier for earlier, later in itertools.pairwise(starts)] == [1.0] * 5
