"""Watching for new events with Airflow's own triggerer code: its runner, its shared streams, and state that outlives both."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings
from airflow_provider_custobar.task.compat import SharedStreamProducer
from airflow_provider_custobar.triggers import custobar
from airflow_provider_custobar.triggers.custobar import CustobarNewEventsTrigger

INTERVAL = 0.1
#: Long enough for a look, and the next one.
TWO_ROUNDS = 3 * INTERVAL
Connect = Callable[[str, str], None]


@pytest.fixture
def quiet_tenant(custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Connect) -> CustobarSandbox:
    """A tenant without any events yet."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    connect("custobar_default", sandbox.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    return sandbox


class Store:
    """As the state that Airflow keeps for an asset, which only its supervisor can reach: JSON values by key."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.writes = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        return json.loads(self.texts[key]) if key in self.texts else default

    async def aset(self, key: str, value: Any) -> None:
        self.texts[key] = json.dumps(value)
        self.writes += 1


class Triggerer:
    """Airflow's runner of triggers. What its supervisor would do, store the events and say so, is done here.

    With ``stores=False`` it dies before that: the events are with Airflow, and the runner never hears of it.
    """

    def __init__(self, *, stores: bool = True) -> None:
        if SharedStreamProducer is object:
            pytest.skip("Airflow 3.3 is the first with shared streams and state for watchers")
        self.stores = stores
        self.told: dict[int, list[dict[str, Any]]] = {}
        self._runner = TriggerRunner()
        self._supervisor = asyncio.create_task(self._supervise())

    def watch(self, number: int, *types: str, store: Store | None = None, **options: Any) -> None:
        trigger = watcher(*types, **options)
        trigger.asset_state_store = store
        self.told[number] = []
        self._runner.triggers[number] = {"task": None, "is_watcher": True, "name": f"ID {number}", "events": 0}
        self._runner.triggers[number]["task"] = asyncio.create_task(self._runner.run_trigger(number, trigger))

    def is_watching(self, number: int) -> bool:
        return not self._runner.triggers[number]["task"].done()

    async def leave(self, *numbers: int) -> None:
        for number in numbers:
            task = self._runner.triggers[number]["task"]
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def close(self) -> None:
        self._supervisor.cancel()
        await self.leave(*self.told)
        await self._runner._shared_streams.stop_all()

    async def until(self, counts: dict[int, int], seconds: float = 10) -> None:
        """Wait until each of these watchers was told of that many events, and for the rounds after that to tell no more."""
        async with asyncio.timeout(seconds):
            while any(self.counted(number) < count for number, count in counts.items()):
                await asyncio.sleep(0.01)
        await asyncio.sleep(TWO_ROUNDS)
        assert {number: self.counted(number) for number in counts} == counts, self.told

    def counted(self, number: int) -> int:
        return sum(payload["count"] for payload in self.told[number])

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            while self._runner.events:
                entry = self._runner.events.popleft()
                self.told[entry.trigger_id].append(json.loads(json.dumps(entry.event.payload)))
                assert entry.persist_seq is not None
                if self.stores:
                    self._runner._shared_streams.confirm_persisted([entry.persist_seq])


@asynccontextmanager
async def triggerer(*, stores: bool = True) -> AsyncIterator[Triggerer]:
    running = Triggerer(stores=stores)
    try:
        yield running
    finally:
        await running.close()


def watcher(*types: str, **options: Any) -> CustobarNewEventsTrigger:
    """Made as Airflow makes it, of what was stored."""
    given = {"poke_interval": INTERVAL, "since": datetime.now(UTC) - timedelta(hours=2), **options}
    path, arguments = CustobarNewEventsTrigger(event_types=types or ("BROWSE",), **given).serialize()
    trigger = import_string(path)(**json.loads(json.dumps(arguments)))
    assert isinstance(trigger, CustobarNewEventsTrigger)
    return trigger


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def event(at: datetime | None = None, kind: str = "BROWSE") -> dict[str, str]:
    return {"type": kind, "date": (at or datetime.now(UTC)).isoformat(), "customer_id": "c-4711", "email": "ann@example.com"}


def asked_for(tenant: CustobarSandbox, kind: str = "BROWSE") -> list[float]:
    return [request.at for request in tenant.requests if request.query["type"] == [kind]]


async def asked_again(tenant: CustobarSandbox, kind: str = "BROWSE", times: int = 2) -> None:
    wanted = len(asked_for(tenant, kind)) + times
    async with asyncio.timeout(10):
        while len(asked_for(tenant, kind)) < wanted:
            await asyncio.sleep(0.01)


async def test_each_watcher_is_told_of_each_batch_once(quiet_tenant: CustobarSandbox) -> None:
    """Rule: watchers of equal, other and overlapping types are each told of what is theirs, once a batch."""
    async with triggerer() as airflow:
        airflow.watch(1, "BROWSE", store=Store())
        airflow.watch(2, "BROWSE", store=Store())
        airflow.watch(3, "MAIL_OPEN", "BROWSE", store=Store())
        airflow.watch(4, "MAIL_OPEN", store=Store())
        await asked_again(quiet_tenant)
        quiet_tenant.load("events", [event(), event(), event(kind="MAIL_OPEN"), event(kind="MAIL_CLICK")])
        await airflow.until({1: 2, 2: 2, 3: 3, 4: 1})
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 3, 2: 3, 3: 4, 4: 1})
        assert airflow.told[1] == airflow.told[2]
        assert [payload["types"] for payload in airflow.told[1]] == [{"BROWSE": 2}, {"BROWSE": 1}]
        assert [payload["types"] for payload in airflow.told[4]] == [{"MAIL_OPEN": 1}]
        assert airflow.told[3][-1]["types"] == {"BROWSE": 1}


async def test_many_watchers_cost_as_much_as_one(quiet_tenant: CustobarSandbox) -> None:
    """Rule: each type is asked for once a round, however many watch it."""
    async with triggerer() as airflow:
        for number in range(10):
            airflow.watch(number, "BROWSE", store=Store())
        await asked_again(quiet_tenant)
        quiet_tenant.load("events", [event()])
        await airflow.until(dict.fromkeys(range(10), 1))
        await asked_again(quiet_tenant, times=5)
    starts = asked_for(quiet_tenant)
    assert len(starts) == len(quiet_tenant.requests)
    for count, start in enumerate(starts):
        assert start - starts[0] >= count * INTERVAL - 0.2, starts


async def test_late_and_early_events_are_told_once(quiet_tenant: CustobarSandbox) -> None:
    """Rule: late within the lookback, at a moment that had some already, or from the future when due: each is told once."""
    newest, lookback = ago(minutes=5), 3600
    async with triggerer() as airflow:
        airflow.watch(1, store=Store(), lookback=lookback)
        quiet_tenant.load("events", [event(newest)])
        await airflow.until({1: 1})
        late = newest - timedelta(seconds=lookback - 60)
        quiet_tenant.load("events", [event(late)])
        await airflow.until({1: 2})
        quiet_tenant.load("events", [event(newest), event(newest), event(late)])
        await airflow.until({1: 5})
        quiet_tenant.load("events", [event(newest - timedelta(seconds=lookback + 60))])
        due = datetime.now(UTC) + timedelta(seconds=2)
        quiet_tenant.load("events", [event(due), event(due + timedelta(days=300))])
        await asked_again(quiet_tenant)
        # A clock that is wrong somewhere does not make what happens now too late.
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 6})
        assert datetime.now(UTC) < due, "the machine was too slow for this test"
        await airflow.until({1: 7})
        assert datetime.fromisoformat(airflow.told[1][-1]["first"]) == due
        assert datetime.now(UTC) >= due


async def test_what_happened_before_the_first_start_is_no_news(quiet_tenant: CustobarSandbox) -> None:
    """Rule: a watcher's first look tells what happened since ``since``, by default since that start."""
    quiet_tenant.load("events", [event(ago(minutes=50)), event(ago(minutes=40)), event(ago(minutes=30))])
    async with triggerer() as airflow:
        airflow.watch(1, store=Store(), since=None)
        airflow.watch(2, store=Store(), since=ago(minutes=45))
        await airflow.until({2: 2})
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 1, 2: 3})


async def test_a_restart_neither_repeats_nor_skips(quiet_tenant: CustobarSandbox) -> None:
    """Rule: what happens while no triggerer runs is told by the next one, and nothing that was told before."""
    stores = {1: Store(), 2: Store()}
    kinds = {1: ("BROWSE",), 2: ("BROWSE", "MAIL_OPEN")}
    at = ago(minutes=5)
    for browses, opens in ((2, 0), (1, 1), (0, 0), (3, 2)):
        quiet_tenant.load("events", [event(at)] * browses + [event(kind="MAIL_OPEN")] * opens)
        async with triggerer() as airflow:
            for number, store in stores.items():
                airflow.watch(number, *kinds[number], store=store, since=ago(hours=1))
            await asked_again(quiet_tenant, "MAIL_OPEN")
            await airflow.until({1: browses, 2: browses + opens})


async def test_a_death_before_the_save_repeats_one_batch(quiet_tenant: CustobarSandbox) -> None:
    """Rule: a triggerer that dies between an event and its watermark tells that batch again, with the same watermarks."""
    store = Store()
    async with triggerer() as airflow:
        airflow.watch(1, "BROWSE", "MAIL_OPEN", store=store)
        quiet_tenant.load("events", [event(), event(kind="MAIL_OPEN")])
        await airflow.until({1: 2})
        saved = dict(store.texts)
        airflow.stores = False
        quiet_tenant.load("events", [event(), event()])
        await airflow.until({1: 4})
        before = airflow.told[1]
    assert store.texts == saved
    async with triggerer() as airflow:
        airflow.watch(1, "BROWSE", "MAIL_OPEN", store=store)
        await airflow.until({1: 2})
        assert airflow.told[1] == before[-1:]
        assert airflow.told[1][0]["watermarks"] == before[-1]["watermarks"]
    async with triggerer() as airflow:
        airflow.watch(1, "BROWSE", "MAIL_OPEN", store=store)
        await asked_again(quiet_tenant)
        assert airflow.told[1] == []


async def test_nothing_is_saved_before_airflow_has_it(quiet_tenant: CustobarSandbox) -> None:
    """Rule: a watermark moves on once the event is stored, not before; without news it is written once at most."""
    store = Store()
    async with triggerer(stores=False) as airflow:
        airflow.watch(1, store=store)
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 1})
        assert store.writes == 0
    async with triggerer() as airflow:
        airflow.watch(1, store=store)
        await airflow.until({1: 1})
        writes = store.writes
        await asked_again(quiet_tenant, times=4)
        assert store.writes == writes > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 403}),
        ("drop", {}),
        ("wrong token", {}),
        ("no connection", {}),
    ],
    ids=lambda each: "".join(map(str, each.values())) if isinstance(each, dict) else each,
)
async def test_failures_end_no_watch(
    quiet_tenant: CustobarSandbox, connect: Connect, kind: str, details: dict[str, Any]
) -> None:
    """Rule: what fails is tried again after longer and longer pauses, and once it is mended nothing is missing."""
    mended = quiet_tenant.airflow_connection(requests_per_minute=600_000, max_attempts=1)
    if kind == "wrong token":
        connect("custobar_default", mended.replace(quiet_tenant.token, "APIWRONG"))
    elif kind == "no connection":
        connect("custobar_default", "{}")
    else:
        quiet_tenant.faults.add(Fault(kind, times=None, **details))
    async with triggerer() as airflow:
        airflow.watch(1, "BROWSE", "MAIL_OPEN", store=Store())
        airflow.watch(2, "BROWSE", store=Store())
        quiet_tenant.load("events", [event(), event(kind="MAIL_OPEN")])
        # A look at the start, one 2 intervals later, one 4 after that; the next would come 8 after that.
        await asyncio.sleep(11 * INTERVAL)
        if kind != "no connection":
            first, second, third = asked_for(quiet_tenant)
            assert second - first >= 2 * INTERVAL - 0.1
            assert third - second >= 4 * INTERVAL - 0.1
        assert airflow.is_watching(1)
        assert airflow.is_watching(2)
        assert airflow.told == {1: [], 2: []}
        quiet_tenant.faults.clear()
        connect("custobar_default", mended)
        await airflow.until({1: 2, 2: 1})
        await asked_again(quiet_tenant, times=3)
        looks = asked_for(quiet_tenant)[-3:]
        assert looks[-1] - looks[0] < 8 * INTERVAL, "still slow after it was mended"


async def test_who_leaves_disturbs_nobody(quiet_tenant: CustobarSandbox) -> None:
    """Rule: others go on being told when a watcher leaves, and what only that one wanted is asked for no more."""
    async with triggerer() as airflow:
        airflow.watch(1, "BROWSE", store=Store())
        airflow.watch(2, "BROWSE", "MAIL_OPEN", store=Store())
        airflow.watch(3, "BROWSE", store=Store())
        await asked_again(quiet_tenant)
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 1, 2: 1, 3: 1})
        await airflow.leave(2)
        opens = len(asked_for(quiet_tenant, "MAIL_OPEN"))
        await asked_again(quiet_tenant, times=3)
        # One may have been on its way.
        assert len(asked_for(quiet_tenant, "MAIL_OPEN")) <= opens + 1
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 2, 2: 1, 3: 2})
        # Also the one who came first, and whose leaving would end it for everybody.
        await airflow.leave(1)
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 2, 3: 3})


async def test_who_comes_late_joins(quiet_tenant: CustobarSandbox) -> None:
    """Rule: a watcher that comes later is told from its own ``since`` on, and the others hear nothing twice."""
    async with triggerer() as airflow:
        airflow.watch(1, "BROWSE", store=Store())
        quiet_tenant.load("events", [event(ago(minutes=10)), event(ago(minutes=3))])
        await airflow.until({1: 2})
        airflow.watch(2, "BROWSE", "MAIL_OPEN", store=Store(), since=ago(minutes=5))
        airflow.watch(3, "BROWSE", store=Store(), since=None)
        await airflow.until({1: 2, 2: 1})
        quiet_tenant.load("events", [event(), event(kind="MAIL_OPEN")])
        await airflow.until({1: 3, 2: 3, 3: 1})


async def test_other_connections_are_watched_apart(
    quiet_tenant: CustobarSandbox, custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Connect
) -> None:
    """Rule: watchers of two tenants share neither events, nor troubles, nor watermarks."""
    other, store = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False), Store()
    connect("other", other.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    other.faults.add(Fault("status", status=500, times=2))
    async with triggerer() as airflow:
        airflow.watch(1, store=store)
        airflow.watch(2, store=store, custobar_conn_id="other")
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 1, 2: 0})
        other.load("events", [event(), event()])
        await airflow.until({1: 1, 2: 2})
    assert sorted(store.texts) == ["custobar/custobar_default/BROWSE", "custobar/other/BROWSE"]


async def alone(store: Store | None, **options: Any) -> AsyncGenerator[dict[str, Any], None]:
    """The payloads of a watcher that nobody shares a stream with."""
    trigger = watcher(**options)
    trigger.asset_state_store = store
    async for told in trigger.run():
        yield told.payload


async def test_a_watcher_alone_does_the_same(quiet_tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: without Airflow's shared streams events are told as with them, and a restart neither repeats nor skips."""
    monkeypatch.setattr(custobar, "_STORED_AFTER_SECONDS", 0.1)
    store, at = Store(), ago(minutes=5)
    for _ in range(2):
        quiet_tenant.load("events", [event(at), event(at)])
        payloads = alone(store)
        assert (await asyncio.wait_for(anext(payloads), 10))["count"] == 2
        saved = dict(store.texts)
        following = asyncio.ensure_future(anext(payloads))
        await asyncio.sleep(TWO_ROUNDS)
        assert not following.done()
        assert store.texts != saved
        quiet_tenant.load("events", [event(at)])
        assert (await asyncio.wait_for(following, 10))["count"] == 1
        # Dies before that is saved, so it comes again.
        await payloads.aclose()
        payloads = alone(store)
        assert (await asyncio.wait_for(anext(payloads), 10))["count"] == 1
        following = asyncio.ensure_future(anext(payloads))
        await asyncio.sleep(TWO_ROUNDS)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def test_a_watcher_alone_goes_on_through_failures(quiet_tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: without shared streams, too, no answer of the server ends a watch."""
    monkeypatch.setattr(custobar, "_STORED_AFTER_SECONDS", 0.1)
    quiet_tenant.load("events", [event()])
    quiet_tenant.faults.add(Fault("status", status=500))
    quiet_tenant.faults.add(Fault("status", status=403, after=1))
    assert (await asyncio.wait_for(anext(alone(Store())), 10))["count"] == 1
    assert [request.status for request in quiet_tenant.requests] == [500, 403, 200]


@pytest.mark.parametrize("has_store", [False, True])
async def test_a_watcher_without_state_says_so(
    quiet_tenant: CustobarSandbox, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, *, has_store: bool
) -> None:
    """Rule: where Airflow keeps no state for a watcher, a warning tells that a restart will miss events."""
    async with triggerer() as airflow:
        airflow.watch(1, store=Store() if has_store else None)
        quiet_tenant.load("events", [event()])
        await airflow.until({1: 1})
    said = capsys.readouterr().out + caplog.text
    assert ("what happens while it does not run will be missed" in said) is not has_store


async def test_what_a_payload_holds(
    quiet_tenant: CustobarSandbox, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: a payload counts and dates what is new, in JSON; of the people behind it nothing is fetched, told or logged."""
    caplog.set_level(logging.DEBUG)
    times = [ago(minutes=minutes).replace(microsecond=0) for minutes in (9, 6, 3)]
    first, middle, last = times
    quiet_tenant.load("events", [event(first), event(last), event(middle, "MAIL_OPEN")])
    store = Store()
    async with triggerer() as airflow:
        airflow.watch(1, "MAIL_OPEN", "BROWSE", "MAIL_CLICK", store=store, since=ago(minutes=20))
        await airflow.until({1: 3})
        (payload,) = airflow.told[1]
    quiet = datetime.fromisoformat(payload["watermarks"].pop("MAIL_CLICK"))
    assert ago(minutes=21) < quiet < ago(minutes=19)
    assert payload == {
        "count": 3,
        "types": {"BROWSE": 2, "MAIL_OPEN": 1},
        "first": first.isoformat(),
        "last": last.isoformat(),
        "window_start": first.isoformat(),
        "window_end": (last + timedelta(microseconds=1)).isoformat(),
        "watermarks": {"BROWSE": last.isoformat(), "MAIL_OPEN": middle.isoformat()},
    }
    assert all(request.query["fields"] == ["type,date"] for request in quiet_tenant.requests)
    everything = json.dumps(payload) + str(store.texts) + capsys.readouterr().out + caplog.text
    assert "Trigger fired event" in everything
    for secret in ("c-4711", "ann@example.com", quiet_tenant.token):
        assert secret not in everything


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"event_types": []}, "event_types="),
        ({"event_types": ["BROWZE"]}, "event_types='BROWZE'.*Did you mean 'BROWSE'"),
        ({"since": "yesterday"}, "since='yesterday'.*ISO 8601"),
        ({"since": "2026-02-01"}, "since='2026-02-01'.*offset"),
        ({"since": datetime(2026, 2, 1)}, "since=datetime.*aware"),  # noqa: DTZ001 - that is what is wrong with it
        ({"since": 5}, "since=5"),
        ({"lookback": -1}, "lookback=-1"),
        ({"lookback": timedelta(days=4000)}, "lookback=.*ten years"),
        ({"lookback": float("nan")}, "lookback=nan"),
        ({"poke_interval": 0}, "poke_interval=0.*above zero"),
        ({"poke_interval": float("nan")}, "poke_interval=nan"),
    ],
)
def test_bad_arguments_are_refused_when_the_dag_is_read(arguments: dict[str, Any], said: str) -> None:
    """Rule: a watcher that could not work fails where its DAG is parsed, naming the argument."""
    with pytest.raises(InvalidArgumentError, match=said):
        CustobarNewEventsTrigger(**{"event_types": ["BROWSE"], **arguments})


def test_a_watcher_travels_whole() -> None:
    """Rule: what a watcher serialises is JSON, holds every option, and makes an equal watcher."""
    options = {
        "event_types": ["BROWSE", "OWN"],
        "since": "2026-02-01T00:00:00+00:00",
        "lookback": 90.0,
        "poke_interval": 7.0,
        "allow_unknown_names": True,
        "custobar_conn_id": "other",
    }
    assert set(options) == set(inspect.signature(CustobarNewEventsTrigger).parameters)
    path, arguments = CustobarNewEventsTrigger(**options).serialize()
    assert arguments == options
    again = import_string(path)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, options)


def test_equal_watchers_are_one_trigger_to_airflow() -> None:
    """Rule: however types, moments and spans are written, the same watch is the same trigger, and polls are shared widely."""
    one = CustobarNewEventsTrigger(
        event_types=["MAIL_OPEN", "BROWSE"], since="2026-02-01T02:00:00+02:00", lookback=timedelta(minutes=1)
    )
    same = CustobarNewEventsTrigger(event_types=["BROWSE", "MAIL_OPEN"], since=datetime(2026, 2, 1, tzinfo=UTC), lookback=60)
    assert BaseEventTrigger.hash(*one.serialize()) == BaseEventTrigger.hash(*same.serialize())
    keys = {
        CustobarNewEventsTrigger(event_types=types, **options).shared_stream_key()
        for types, options in (
            ("BROWSE", {}),
            ("MAIL_OPEN", {"lookback": 5}),
            ("BROWSE", {"since": "2026-02-01T00:00:00Z"}),
            ("BROWSE", {"custobar_conn_id": "other"}),
            ("BROWSE", {"poke_interval": 5}),
        )
    }
    assert len(keys) == 3
