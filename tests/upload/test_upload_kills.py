"""Uploads whose process ends at a batch's boundary, and the attempts after it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_custobar.upload.journal import Journal
from airflow_provider_custobar.upload.results import PartlySentError, UploadResult
from tests.upload.support import GOOD, Sent, Store, customer, run

SIZE = 2
ROWS = {
    # Most of them come twice: it is the later row that counts.
    "customers": [customer(number % 4, city=f"Town {number}") for number in range(7)],
    "events": [GOOD["events"] | {"label": str(number)} for number in range(7)],
}
BEFORE, TAKEN, RECORDED = "before the request", "taken, and not recorded", "recorded"


class KilledError(BaseException):
    """The end of the process."""


class World:
    """A server and Airflow's store, which outlive a process that is killed at this moment of its ``batch``, counted from 0.

    Nothing that the process would do afterwards, such as to record how it ended, comes about.
    """

    def __init__(self, batch: int, moment: str, seconds_between_batches: float) -> None:
        self._death = (batch, moment)
        self._is_dead = False
        self._clock = itertools.count(0.0, seconds_between_batches)
        self.server = Sent()
        self.stored = Store()

    def attempt(self, resource: str) -> UploadResult:
        self._is_dead = False
        journal = Journal(self, clock=lambda: next(self._clock))
        return run(ROWS[resource], send=self._send, journal=journal, resource=resource, batch_size=SIZE)[0]

    def _send(self, rows: Sequence[bytes], may_repeat: bool) -> str | None:
        batch = len(self.server.batches)
        self._live(batch, BEFORE)
        run_id = self.server(rows, may_repeat)
        self._live(batch, TAKEN)
        return run_id

    def get(self, key: str) -> Any:
        return self.stored.get(key)

    def set(self, key: str, value: Any) -> None:
        self._live()
        self.stored.set(key, value)
        if not value["sending"]:
            self._live(value["batches"] - 1, RECORDED)

    def delete(self, key: str) -> None:
        self._live()
        self.stored.delete(key)

    def _live(self, *moment: Any) -> None:
        if moment == self._death:
            self._is_dead, self._death = True, (-1, "never again")
        if self._is_dead:
            raise KilledError


@pytest.mark.parametrize("resource", ROWS)
@pytest.mark.parametrize(
    ("moment", "seconds_between_batches"), [(BEFORE, 10.0), (TAKEN, 10.0), (RECORDED, 10.0), (BEFORE, 0.0), (TAKEN, 0.0)]
)
@pytest.mark.parametrize("batch", range(4))
def test_killed_at_a_batchs_boundary(batch: int, moment: str, seconds_between_batches: float, resource: str) -> None:
    """Rule: after a kill, customers go again from where the journal was last saved, so that all are there and the last row of
    each counts; events, of which each batch is recorded before it goes, go on behind the one in doubt, which a
    :class:`PartlySentError` names first.
    """
    rows = ROWS[resource]
    batches = [rows[start : start + SIZE] for start in range(0, len(rows), SIZE)]
    world = World(batch, moment, seconds_between_batches)
    with pytest.raises(KilledError):
        world.attempt(resource)
    is_in_doubt = resource == "events" and moment != RECORDED
    if is_in_doubt:
        first = batch * SIZE
        named = rf"ended while it sent .*\(good rows {first} to {first + len(batches[batch]) - 1}, .*Clear the task"
        with pytest.raises(PartlySentError, match=named):
            world.attempt(resource)
    result = world.attempt(resource)

    sent = [[json.loads(row) for row in rows] for rows in world.server.batches]
    if resource == "events":
        assert sent == [each for number, each in enumerate(batches) if (number, moment) != (batch, BEFORE)]
    else:
        # Customers that came quickly one after the other were recorded once, after the first batch.
        known = min(batch, 1) if not seconds_between_batches else batch + (moment == RECORDED)
        assert sent == batches[: batch + (moment != BEFORE)] + batches[known:]
        tenant = {row["external_id"]: row for rows in sent for row in rows}
        assert tenant == {row["external_id"]: row for row in rows}
    assert result.uploaded == len(rows) - (len(batches[batch]) if is_in_doubt else 0)
    assert world.stored.values == {}


@pytest.mark.parametrize("resource", ROWS)
def test_killed_when_all_was_sent(resource: str) -> None:
    """Rule: a worker that dies after the last batch, and before Airflow knows of its success, lets the next attempt send no
    event again; a task that is cleared, which raises its max_tries, sends all of them.
    """
    store, server = Store(), Sent()
    sent = []
    for max_tries in (1, 1, 3):
        journal = Journal(store, max_tries=max_tries)
        result = run(ROWS[resource], send=server, journal=journal, resource=resource)[0]
        sent.append((sum(map(len, server.batches)), result.resumed))
    assert sent == ([(7, False), (7, True), (14, False)] if resource == "events" else [(7, False), (14, False), (21, False)])
