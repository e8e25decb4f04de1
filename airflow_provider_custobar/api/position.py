"""Where a run over a query's pages stands, in values that can be stored."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Position:
    """The place after one page: what a later run of the same query needs to go on there.

    ``chain`` counts the query's chains, ``url`` is the next page of that chain, empty for its first one. ``header`` is that
    of the CSV pages so far, ``seen`` digests of the last identities (see
    :class:`~airflow_provider_custobar.api.selection.Selection`), ``record`` how many records of the chain came, ``repeated``
    how many of the run were left out as seen. Nothing has a default, so that a damaged store cannot pass for the beginning.
    """

    chain: int
    url: str
    header: tuple[str, ...]
    seen: tuple[str, ...] = field(repr=False)
    record: int
    repeated: int


#: Before the first page.
START = Position(chain=0, url="", header=(), seen=(), record=0, repeated=0)
