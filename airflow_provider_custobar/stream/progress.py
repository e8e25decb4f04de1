"""How far a run over a query's pages is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position


@dataclass(frozen=True, kw_only=True)
class Progress:
    """So many pages with so many rows are dealt with, ``unplaced`` of them without a readable timestamp.

    ``position`` is where the API's pages go on: None before the first page, and after the last one.
    """

    position: Position | None = None
    pages: int = 0
    rows: int = 0
    unplaced: int = 0

    @property
    def is_past_the_last_page(self) -> bool:
        return self.position is None and self.pages > 0

    def plus(self, page: Page) -> Self:
        return replace(
            self,
            position=page.after,
            pages=self.pages + 1,
            rows=self.rows + page.rows,
            unplaced=self.unplaced + page.unplaced,
        )
