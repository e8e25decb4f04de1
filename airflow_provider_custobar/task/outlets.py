"""What is told to who waits for a task's outlets: what was written, and on Airflow 3.3 which partitions have changed.

An asset event has the partition keys of the run's windows. Days of ``lookback`` are written anew each night and hardly ever
differ, so the key of such a day is added only if its rows are not those that were last told of.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pendulum
from airflow.sdk import AssetAlias

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.api.pages import CsvPage, Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.timed_pages import TimedPage
from airflow_provider_custobar.api.windows import Window
from airflow_provider_custobar.stream.pipeline import Turns
from airflow_provider_custobar.task.compat import add_partitions, asset_state_of, partition_of, takes_partitions
from airflow_provider_custobar.task.schedule import key_format_of, timetable_of
from airflow_provider_custobar.task.told_windows import RowDigest, ToldWindows

Pages = Callable[[Position | None, Turns], Iterable[Page]]
JobT = TypeVar("JobT")

_AIRFLOWS_KEY_FORMAT = "%Y-%m-%dT%H:%M:%S"
_TOLD = ("resource", "window", "rows", "bytes", "manifest")
_MOST_URIS = 100


class OutletEvents:
    """The outlet events of one attempt at a task: :meth:`watched` before the work, :meth:`tell` after it.

    :param task: an operator.
    :param windows: the days of ``lookback``, oldest first, then the run's own window; ``[None]`` without windows.
    """

    def __init__(self, task: Any, context: Mapping[str, Any], windows: Sequence[Window | None]) -> None:
        self._outlets = [outlet for outlet in task.outlets if not isinstance(outlet, AssetAlias)]
        self._context = context
        self._log = task.log
        self._windows = [window for window in windows if window is not None]
        self._digests: dict[Window, RowDigest] = {}

    def watched(self, job: JobT, query: Query) -> JobT:
        """``job``, an export or a load of ``query``, with pages that are looked at on their way, where that is of use."""
        window = query.window
        states = [asset_state_of(self._context, outlet) for outlet in self._outlets]
        is_of_use = len(self._windows) > 1 and any(state is not None for state in states)
        if window is None or not is_of_use:
            return job
        windows = [each for each in self._windows if window.start <= each.start < window.end]
        pages: Pages = job.pages  # type: ignore[attr-defined]

        def watched_pages(after: Position | None, turns: Turns) -> Iterator[Page]:
            digests = {each: RowDigest() for each in windows}
            for each in windows:
                self._digests.pop(each, None)
            is_whole = after is None
            for page in pages(after, turns):
                try:
                    _add(digests, page, query)
                except CustobarError:
                    # Who gets the page will say so, if it matters there.
                    is_whole = False
                yield page
                del page
            if is_whole:
                self._digests |= digests

        return replace(job, pages=watched_pages)  # type: ignore[type-var]

    def tell(self, document: Mapping[str, Any]) -> None:
        """Fill the events of all outlets by the result of the task. By then the work is done, so nothing that goes wrong with
        it fails the task.
        """
        for outlet in self._outlets:
            try:
                event = self._context["outlet_events"][outlet]
                event.extra = _extra(document) | event.extra
                if self._windows and takes_partitions(event, of_lookback=len(self._windows) > 1):
                    self._add_partitions(event, outlet, document)
            except Exception as error:  # noqa: BLE001 - as above
                self._log.warning("Could not tell everything to who waits for %s: %s", outlet, error)

    def _add_partitions(self, event: Any, outlet: Any, document: Mapping[str, Any]) -> None:
        timetable = timetable_of(self._context)
        run_key, _ = partition_of(self._context)
        keys = _keys(self._windows, run_key, key_format_of(timetable))
        if not keys:
            # Then it stands for something else than time, or nobody knows how it would be written for another day.
            self._log.info("The event of %s has the run's own partition only: %s is not made of its window", outlet, run_key)
            return
        digests = dict(zip(keys, self._hexdigests(document), strict=True))
        told = ToldWindows(self._context, asset_state_of(self._context, outlet), self._log)
        changed = told.changed(digests) if len(keys) > 1 else set()
        # The run's own window is news, whatever is in it.
        keys = [key for key in keys if key in changed or key == keys[-1]]
        # Where runs have partitions, nobody expects events without.
        has_partitions = run_key is not None or getattr(timetable, "partitioned_at_runtime", False)
        add_partitions(event, keys, and_none=not has_partitions)
        if len(digests) > 1:
            told.save(digests, changed | {keys[-1]})

    def _hexdigests(self, document: Mapping[str, Any]) -> Iterator[str | None]:
        """One for each window; None where its rows were not all seen. Another place or format is a change, too."""
        places = [window["uris"] for window in document.get("windows") or ()]
        for number, window in enumerate(self._windows):
            digest = self._digests.get(window)
            uris = places[number] if len(places) == len(self._windows) else document["uris"]
            yield None if digest is None else digest.hexdigest(document["format"], *uris)


def _extra(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a result goes along with an event: small, and no row of it."""
    extra = {name: document[name] for name in _TOLD if document.get(name) is not None}
    uris = document["uris"]
    extra["uris"] = uris[:_MOST_URIS]
    if len(uris) > _MOST_URIS:
        extra["uri_count"] = len(uris)
    return extra


def _keys(windows: Sequence[Window], run_key: str | None, key_format: str | None) -> list[str]:
    """The partition keys of ``windows``. The last is the run's own where it has one, and the others are written like it; none
    where that cannot be.
    """
    keys = [_key(window) for window in windows]
    starts = [window.start.astimezone(pendulum.timezone(window.timezone)) for window in windows]
    forms = [form for form in (key_format, _AIRFLOWS_KEY_FORMAT) if form]
    for written in (keys, *([start.strftime(form) for start in starts] for form in forms)):
        if run_key in (None, written[-1]):
            return written
    return []


def _key(window: Window) -> str:
    days = window.days
    return days[0].isoformat() if len(days) == 1 and window.is_whole_days else window.start.isoformat()


def _add(digests: Mapping[Window, RowDigest], page: Page, query: Query) -> None:
    """Add the rows of a page to the digests of their windows."""
    columns = page.header if isinstance(page, CsvPage) else ()
    if len(digests) == 1:
        (digest,) = digests.values()
        # A line end within a cell makes two of a row, which is as good for this.
        digest.add(bytes(page.view).splitlines(), columns)
        return
    windows = list(digests)
    rows: list[list[bytes]] = [[] for _ in windows]
    lost: list[bytes] = []
    starts = [window.start for window in windows]
    zone = pendulum.timezone(windows[0].timezone)
    for moment, row in TimedPage.of(page, str(query.resource.timestamp), zone).pairs():
        number = bisect_right(starts, moment) - 1 if moment is not None else -1
        (rows[number] if number >= 0 else lost).append(row)
    for digest, own in zip(digests.values(), rows, strict=True):
        # A row that cannot be placed, as where its timestamp was not asked for, may be in any.
        digest.add(own, columns).add(lost)
