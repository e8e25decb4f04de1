"""The synchronous client of Custobar's API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from airflow_provider_custobar.api import flow, paging
from airflow_provider_custobar.api.driver import Driver
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.prefetch import Prefetch, Turns
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.resources import Resource


class CustobarClient(Driver):
    """One tenant's API; see :class:`~airflow_provider_custobar.api.driver.Driver`."""

    def pages(self, query: Query, *, after: Position | None = None, turns: Turns | None = None) -> Iterator[Page]:
        """The pages of ``query`` as they arrive, each with only the records that belong to the answer.

        :param after: go on after the page that this was taken from.
        :param turns: ask for each page as soon as the head of the one before tells its address, in a thread of its own. One
            turn is taken before each page is first asked for, none for a retry; who consumes the pages gives turns back.
        :raises CustobarError: see :func:`airflow_provider_custobar.api.paging.pages`.
        """
        steps = paging.pages(self._context, query, after)
        if turns is None:
            # Named, because type checkers do not take unions apart by themselves.
            pages: Iterator[Page] = self._run(steps)
            yield from pages
            return
        # A session of its own, since none may be used by two threads.
        with self._make_session() as session:
            prefetch = Prefetch(turns, partial(self._send_ahead, session))
            self._prefetches[prefetch] = session
            try:
                pages = self._run(steps, prefetch)
                yield from pages
            finally:
                self._prefetches.pop(prefetch, None)
                prefetch.close()

    def upload(self, resource: Resource, rows: Sequence[bytes], *, repeatable: bool | None = None) -> str | None:
        """Send one batch of encoded rows; return the ``run_id`` of the import that it scheduled, if the server names one.

        :param repeatable: whether the batch may be sent again when it may have arrived; by default, as its rows allow it.
        :raises CustobarError: see :func:`airflow_provider_custobar.api.flow.upload`.
        """
        return self._finish(flow.upload(self._context, resource, rows, repeatable=repeatable))

    def test(self) -> None:
        """One harmless GET of the connection's ``test_path``.

        :raises CustobarError: why the connection does not work.
        """
        self._finish(flow.probe(self._context))
