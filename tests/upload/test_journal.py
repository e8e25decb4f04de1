"""Uploads that are taken up by a later attempt: nothing lost, and nothing twice where that hurts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import BadRequestError, CustobarError, RateLimitedError, ServerError, TransportError
from airflow_provider_custobar.upload.journal import Journal
from airflow_provider_custobar.upload.results import PartlySentError, UploadResult
from tests.upload.support import GOOD, Sent, Store, customer, run

EVENTS = [GOOD["events"] | {"label": str(number)} for number in range(7)]


class Failing(Sent):
    """A server that fails once at the batch with this number, before or after it has taken the batch."""

    def __init__(self, at: int, error: BaseException, *, takes_it: bool = False) -> None:
        super().__init__()
        self._at = at
        self._error: BaseException | None = error
        self._takes_it = takes_it
        self._calls = 0

    def __call__(self, rows: Sequence[bytes], may_repeat: bool = True) -> str | None:
        self._calls += 1
        if self._error is not None and self._calls > self._at:
            error, self._error = self._error, None
            if self._takes_it:
                self.batches.append(list(rows))
            raise error
        return super().__call__(rows, may_repeat)


def attempt(rows: list[Any], server: Any, store: Store, **options: Any) -> UploadResult:
    return run(rows, send=server, journal=Journal(store, clock=lambda: 0.0), **options)[0]


def lost(message: str = "the connection broke") -> TransportError:
    return TransportError(message, may_have_arrived=True)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("takes_it", [True, False])
def test_customers_go_on_after_the_last_batch(at: int, takes_it: bool) -> None:
    """Rule: the next attempt sends what the first has not, and of customers at most one batch again."""
    rows = [customer(number) for number in range(7)]
    store, server = Store(), Failing(at, ServerError("down", status=503, reason=""), takes_it=takes_it)
    with pytest.raises(ServerError, match=f"{2 * at} of 7 rows were sent before"):
        attempt(rows, server, store, batch_size=2)
    result = attempt(rows, server, store, batch_size=2)
    sent = [row["external_id"] for row in server.rows]
    assert sorted(set(sent)) == [row["external_id"] for row in rows]
    assert len(sent) <= len(rows) + (2 if takes_it else 0)
    assert (result.rows, result.uploaded, result.resumed) == (7, 7, at > 0)
    assert store.values == {}


@pytest.mark.parametrize("at", range(4))
def test_events_go_on_after_a_clear_refusal(at: int) -> None:
    """Rule: events that were certainly not taken are sent by the next attempt, the others not again."""
    store, server = Store(), Failing(at, BadRequestError("no", status=400, reason="no"))
    with pytest.raises(BadRequestError):
        attempt(EVENTS, server, store, resource="events", batch_size=2)
    result = attempt(EVENTS, server, store, resource="events", batch_size=2)
    assert server.rows == EVENTS
    assert (result.uploaded, len(result.run_ids), result.resumed) == (7, 4, at > 0)


@pytest.mark.parametrize("takes_it", [True, False])
@pytest.mark.parametrize("error", [lost(), ServerError("down", status=502, reason=""), SystemExit("told to stop")])
@pytest.mark.parametrize("at", range(4))
def test_events_that_may_have_arrived_are_never_sent_again(at: int, error: BaseException, takes_it: bool) -> None:
    """Rule, at_most_once: the task fails and names the batch; when it is cleared, it goes on after that batch."""
    store, server = Store(), Failing(at, error, takes_it=takes_it)
    first, size = 2 * at, min(2, 7 - 2 * at)
    named = rf"{size} rows of events \(good rows {first} to {first + size - 1}, .*Clear the task"
    with pytest.raises(PartlySentError, match=named):
        attempt(EVENTS, server, store, resource="events", batch_size=2)
    result = attempt(EVENTS, server, store, resource="events", batch_size=2)
    doubtful = EVENTS[first : first + size]
    assert server.rows == (EVENTS if takes_it else [event for event in EVENTS if event not in doubtful])
    assert result.uploaded == 7 - size


@pytest.mark.parametrize("at", range(4))
def test_events_may_be_sent_again_where_that_is_wanted(at: int) -> None:
    """Rule, at_least_once: none is missing; a batch that may have arrived may be there twice."""
    store, server = Store(), Failing(at, lost(), takes_it=True)
    options = {"resource": "events", "batch_size": 2, "events_delivery": "at_least_once"}
    with pytest.raises(TransportError):
        attempt(EVENTS, server, store, **options)
    attempt(EVENTS, server, store, **options)
    assert [event for event in EVENTS if event not in server.rows] == []
    assert len(server.rows) <= len(EVENTS) + 2


def test_the_client_is_told_whether_it_may_repeat() -> None:
    """Rule: within an attempt the same choice holds as between attempts."""
    told: list[bool] = []

    def send(rows: Sequence[bytes], may_repeat: bool) -> None:
        told.append(may_repeat)

    for resource, options in (
        ("events", {}), ("events", {"events_delivery": "at_least_once"}), ("customers", {}), ("sales", {}),
    ):  # fmt: skip
        run([GOOD[resource]], send=send, resource=resource, **options)
    run([GOOD["sales"] | {"external_id": "1"}], send=send, resource="sales")
    assert told == [False, True, True, False, True]


def test_other_customers_are_another_upload() -> None:
    """Rule: what was recorded of other rows counts for nothing."""
    store, server = Store(), Failing(1, lost())
    with pytest.raises(TransportError):
        attempt([customer(1), customer(2)], server, store, batch_size=1)
    result = attempt([customer(1), customer(3)], server, store, batch_size=1)
    assert server.rows == [customer(1), customer(1), customer(3)]
    assert not result.resumed


def test_another_place_gets_all_rows() -> None:
    """Rule: where a connection leads elsewhere by now, nothing counts as sent; of events, a person has to look."""
    rows, place = [customer(1), customer(2)], {"destination": "https://globex.custobar.com"}
    for resource, some in (("customers", rows), ("events", EVENTS[:2])):
        store, server = Store(), Failing(1, RateLimitedError("slow", status=429, reason=""))
        with pytest.raises(RateLimitedError):
            attempt(some, server, store, resource=resource, batch_size=1)
        other = Sent()
        if resource == "events":
            with pytest.raises(PartlySentError, match="or where it goes"):
                attempt(some, other, store, resource=resource, **place)
        else:
            assert not attempt(some, other, store, **place).resumed
        assert other.rows == ([] if resource == "events" else some)


def test_other_events_after_some_were_sent_need_a_word() -> None:
    """Rule: where what comes in has changed, nobody knows which events were sent: the task fails before it sends any."""
    store, server = Store(), Failing(1, RateLimitedError("slow", status=429, reason=""))
    with pytest.raises(RateLimitedError):
        attempt(EVENTS, server, store, resource="events", batch_size=1)
    with pytest.raises(PartlySentError, match=r"sent 1 rows of other events.*at_least_once"):
        attempt(EVENTS[1:], server, store, resource="events", batch_size=1)
    assert server.rows == EVENTS[:1]
    attempt(EVENTS[1:], server, store, resource="events", batch_size=1, events_delivery="at_least_once")
    assert server.rows == EVENTS


def test_events_are_not_sent_where_that_cannot_be_recorded() -> None:
    """Rule: a next attempt would send them again, so a store that fails comes first."""

    class Broken(Store):
        def set(self, key: str, value: Any) -> None:
            raise OSError("no such table")

    server = Sent()
    with pytest.raises(OSError, match="no such table"):
        attempt(EVENTS, server, Broken(), resource="events")
    assert server.batches == []
    assert attempt([customer(1)], server, Broken()).uploaded == 1


def test_without_a_store_the_upload_starts_over_or_fails_for_good() -> None:
    """Rule: where nothing outlives the attempt, events that were sent are a matter for a person."""
    server = Failing(1, BadRequestError("no", status=400, reason="no"))
    with pytest.raises(PartlySentError, match="1 of 7 rows were sent before.*have no identifier"):
        run(EVENTS, send=server, resource="events", batch_size=1)


def test_a_dry_run_records_nothing() -> None:
    """Rule: a dry run neither takes up an upload nor begins one."""
    store = Store()
    attempt(EVENTS, Sent(), store, resource="events", dry_run=True)
    assert store.values == {}


def test_a_refused_batch_is_halved_and_recorded() -> None:
    """Rule: after a 413, the halves count as they go."""
    store, server = Store(), Sent(most_bytes=250)
    result = attempt(EVENTS, server, store, resource="events")
    assert server.rows == EVENTS
    assert (result.uploaded, result.batches) == (7, len(server.batches))


@given(st.lists(st.sampled_from(["lost", "taken and lost", "refused", "down"]), max_size=6), st.integers(1, 4), st.booleans())
def test_whatever_happens_events_arrive_at_most_once(faults: list[str], batch_size: int, is_told_to_stop: bool) -> None:
    """Rule: through any sequence of failures and attempts no event is there twice, and only batches in doubt are missing."""
    store = Store()
    server = Sent()
    pending = list(faults)
    calls = 0

    def send(rows: Sequence[bytes], may_repeat: bool) -> str | None:
        nonlocal calls
        calls += 1
        if pending and calls % 2 == 0:
            fault = pending.pop()
            if fault == "taken and lost":
                server(rows)
            if fault == "refused":
                raise BadRequestError("no", status=400, reason="no")
            raise SystemExit if is_told_to_stop else lost() if "lost" in fault else ServerError("down", status=500, reason="")
        return server(rows)

    doubtful = 0
    for _ in range(40):
        try:
            attempt(EVENTS, send, store, resource="events", batch_size=batch_size)
        except PartlySentError:
            doubtful += 1
        except (CustobarError, SystemExit):
            continue
        else:
            break
    else:
        raise AssertionError("never done")
    labels = [row["label"] for row in server.rows]
    assert len(labels) == len(set(labels))
    assert len(labels) >= 7 - doubtful * batch_size
