"""The client of a store's API, driven as Custobar's is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_custobar.api.driver import Driver
from airflow_provider_custobar.api.spiffy import flow
from airflow_provider_custobar.api.spiffy.filters import MAX_PAGE_SIZE
from airflow_provider_custobar.api.spiffy.flow import Customer


class SpiffyStoresClient(Driver):
    """One store's API; see :class:`~airflow_provider_custobar.api.driver.Driver`.

    ``parameters`` are those of :func:`airflow_provider_custobar.api.spiffy.filters.build_filters`. Amounts with decimals come
    as :class:`decimal.Decimal`. Every method raises :class:`~airflow_provider_custobar.api.errors.CustobarError`.
    """

    def store(self) -> dict[str, Any]:
        return self._finish(flow.store(self._context))

    def pages(self, parameters: Mapping[str, str], page_size: int = MAX_PAGE_SIZE) -> Iterator[list[Customer]]:
        """All customers that ``parameters`` select, page by page, no one twice."""
        pages: Iterator[list[Customer]] = self._run(flow.customers(self._context, parameters, page_size))
        yield from pages

    def count(self, parameters: Mapping[str, str]) -> int:
        return self._finish(flow.count(self._context, parameters))

    def get(self, number: int) -> Customer:
        return self._finish(flow.get(self._context, number))

    def create(self, customer: Mapping[str, Any]) -> Customer:
        """The customer as the store took it. Not sent again where it may have arrived."""
        return self._finish(flow.create(self._context, customer))

    def update(self, number: int, changes: Mapping[str, Any]) -> Customer:
        return self._finish(flow.update(self._context, number, changes))

    def delete(self, number: int) -> None:
        self._finish(flow.delete(self._context, number))
