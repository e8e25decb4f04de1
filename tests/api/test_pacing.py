"""How fast requests follow each other."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_custobar.api import flow, paging
from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import ClientConfig, config_from_connection
from airflow_provider_custobar.api.errors import RateLimitedError
from airflow_provider_custobar.api.messages import Outcome, Request, Wait
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings


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
    # The start in a pause's wake was taken, and is void: who had it takes another.
    assert pacer.reserve(2) == 28


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

    runner.run(paging.pages(runner.context, build_query("customers")), script())
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
        runner.run(paging.pages(runner.context, build_query("customers")), [answers.page("customers", [])])
    starts = runner.started
    assert [later - earlier for earlier, later in itertools.pairwise(starts)] == [1.0] * 5


class SideBySide:
    """Drives flows at the same time, on a clock of their own; answers each request ``latency`` seconds after its start."""

    def __init__(self, answer: Callable[[int], Outcome], latency: float) -> None:
        self.now = 0.0
        self.starts: list[float] = []
        self._answer = answer
        self._latency = latency

    def context(self, config: ClientConfig, pacer: Pacer) -> flow.FlowContext:
        return flow.FlowContext(config, pacer, lambda: self.now, lambda: 0.5)

    def run(self, flows: Iterable[tuple[float, Any]]) -> None:
        """``flows`` come with the moment at which each begins."""
        turn = itertools.count()
        due: list[tuple[float, int, Any, Outcome]] = [(begin, next(turn), steps, None) for begin, steps in flows]
        heapq.heapify(due)
        while due:
            self.now, _, steps, outcome = heapq.heappop(due)
            try:
                step = steps.send(outcome)
            except StopIteration:
                continue
            if isinstance(step, Request):
                self.starts.append(self.now)
                heapq.heappush(due, (self.now + self._latency, next(turn), steps, self._answer(len(self.starts) - 1)))
            else:
                assert isinstance(step, Wait)
                heapq.heappush(due, (self.now + step.seconds, next(turn), steps, None))


def test_flows_side_by_side_take_one_start_for_each_request(make_config: Callable[..., ClientConfig], answers: Any) -> None:
    """Rule: who waits has its start already, so that as many come together start at even distances and none is lost."""
    driver = SideBySide(lambda number: answers.page("customers", []), latency=5.0)
    context = driver.context(make_config(), Pacer(60))
    driver.run([(0.0, flow.probe(context)) for _ in range(10)] + [(4.5, flow.probe(context))])
    assert driver.starts == list(range(11))


def test_a_pause_is_kept_by_who_waits_already(make_config: Callable[..., ClientConfig], answers: Any) -> None:
    """Rule: who waits for a start when another one is told to pause begins after the pause, at the ordinary distance."""
    driver = SideBySide(lambda number: answers.page("c", []) if number else answers.error(429, retry_after="30"), latency=0.5)
    context = driver.context(make_config(), Pacer(60))
    driver.run((0.0, flow.probe(context)) for _ in range(3))
    assert driver.starts[0] == 0
    assert driver.starts[1] >= 30.5
    assert [later - earlier for earlier, later in itertools.pairwise(driver.starts[1:])] == [1.0, 1.0]


def test_a_pause_that_grows_is_kept_to_its_end(make_config: Callable[..., ClientConfig], answers: Any) -> None:
    """Rule: a pause told while others keep to an earlier one holds for them too, time and again; a shorter one cuts nothing."""
    driver = SideBySide(lambda number: answers.page("customers", []), latency=0.0)
    context = driver.context(make_config(), Pacer(60))

    def pause(until: float) -> Iterator[Wait]:
        context.pacer.hold(until)
        yield Wait(0)

    told = [(0.0, 30.0), (20.0, 90.0), (85.0, 88.0), (89.0, 95.0)]
    driver.run([(1.0, flow.probe(context)), *((moment, pause(until)) for moment, until in told)])
    assert len(driver.starts) == 1
    assert 95 <= driver.starts[0] <= 100


# Each example makes flows of its own, so the fixtures keep nothing between them.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.sampled_from([7, 60, 600]),
    latency=st.sampled_from([0.0, 0.3, 4.0]),
    begins=st.lists(st.floats(0, 90) | st.just(0.0), min_size=1, max_size=25),
    refusals=st.dictionaries(st.integers(0, 30), st.integers(0, 90) | st.none(), max_size=6),
)
def test_nobody_starts_within_a_pause(
    make_config: Callable[..., ClientConfig],
    answers: Any,
    *,
    rate: int,
    latency: float,
    begins: list[float],
    refusals: dict[int, int | None],
) -> None:
    """Rule: with one Pacer over two clients, no request of either starts before a pause told to one of them ends."""

    def answer(number: int) -> Outcome:
        if number not in refusals:
            return answers.page("customers", [])  # type: ignore[no-any-return]
        seconds = refusals[number]
        return answers.error(429) if seconds is None else answers.error(429, retry_after=str(seconds))  # type: ignore[no-any-return]

    driver, pacer = SideBySide(answer, latency), Pacer(rate)
    contexts = [driver.context(make_config(host=host, max_attempts=20), pacer) for host in ("acme", "other")]
    driver.run((begin, flow.probe(contexts[number % 2])) for number, begin in enumerate(begins))
    met = [number for number in refusals if number < len(driver.starts)]
    assert len(driver.starts) == len(begins) + len(met)
    for number in met:
        told = driver.starts[number] + latency
        end = told + (60 if refusals[number] is None else refusals[number] or 0)
        assert not [start for start in driver.starts if told < start < end - 1e-6]
    assert most_in_a_minute(driver.starts) <= rate


def test_a_pacer_may_serve_two_clients(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> None:
    """Rule: what one client is told holds for another one that was given the same Pacer, over real sockets."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    sandbox.faults.add(Fault("status", status=429, retry_after=30))
    config = config_from_connection(host=sandbox.url, password=sandbox.token, extra={"requests_per_minute": 60})
    slept: list[float] = []

    def clock() -> float:
        return sum(slept)

    def let_the_other_ask(seconds: float) -> None:
        if not slept:
            second.test()
            assert slept == [30.0]
        else:
            slept.append(seconds)

    pacer = Pacer(60)
    with (
        CustobarClient(config, pacer=pacer, sleep=slept.append, clock=clock) as second,
        CustobarClient(config, pacer=pacer, sleep=let_the_other_ask, clock=clock) as first,
    ):
        first.test()
    assert [record.status for record in sandbox.requests] == [429, 200, 200]
    assert slept == [30.0, 1.0]


def test_giving_up_after_429_still_holds_for_others(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: the pause told to who has used up all attempts holds for everybody else."""
    runner = make_runner(max_attempts=1)
    with pytest.raises(RateLimitedError):
        runner.run(flow.probe(runner.context), [answers.error(429, retry_after="30")])
    runner.run(flow.probe(runner.context), [answers.page("customers", [])])
    assert runner.started[1] - runner.started[0] >= 30


def test_a_short_pause_costs_no_more_than_itself(make_config: Callable[..., Any], answers: Any) -> None:
    """Rule: a pause shorter than the queue does not send the queue to its own end."""
    now, starts, turn = 0.0, [], itertools.count()
    context = flow.FlowContext(make_config(), Pacer(60), lambda: now, lambda: 0.5)
    due: list[Any] = [(0.0, next(turn), flow.probe(context), None) for _ in range(61)]
    while due:
        now, _, steps, outcome = heapq.heappop(due)
        try:
            step = steps.send(outcome)
        except StopIteration:
            continue
        if isinstance(step, Request):
            starts.append(now)
            answer = answers.error(429, retry_after="2") if len(starts) == 1 else answers.page("customers", [])
            heapq.heappush(due, (now + 0.1, next(turn), steps, answer))
        else:
            heapq.heappush(due, (now + step.seconds, next(turn), steps, None))
    assert starts[1] < 5
    assert starts[-1] < 70


@pytest.mark.parametrize(("status", "retry_after", "pause"), [(429, "7", 7), (429, None, 60), (503, "7", 0), (200, None, 0)])
def test_a_429_to_an_early_request_pauses_everybody(status: int, retry_after: str | None, pause: float) -> None:
    """Rule: what the server asks for holds from the moment it is known, not only once its page is read."""
    context = flow.FlowContext(config_from_connection(host="acme", password="t"), Pacer(60), lambda: 100.0)
    flow.hold_after_refusal(context, status, retry_after)
    assert context.pacer.pause_left(100.0) == pause
