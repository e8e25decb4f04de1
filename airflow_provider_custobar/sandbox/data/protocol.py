"""What the store asks of generated data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Record = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """The part of a query that generated data answers by arithmetic; None means no wish.

    ``low`` and ``high`` bound the resource's own date in microseconds since 1970, half-open.
    """

    external_id: str | None = None
    type: str | None = None
    low: int | None = None
    high: int | None = None


class Generated(Protocol):
    """Records computed from their index, in the resource's default order."""

    @property
    def extra_names(self) -> tuple[str, ...]:
        """Names of the tenant's own fields."""

    def __len__(self) -> int: ...

    def record(self, index: int) -> Record:
        """Compute a record, the same each time."""

    def order_key(self, index: int) -> Any:
        """Return the default order's key, non-decreasing in the index."""

    def find(self, external_id: str) -> int | None:
        """Return the index of an external id."""

    def select(self, wanted: Wanted) -> Sequence[int]:
        """Return the indexes that fit, in order, without computing every record."""


class Nothing:
    """No generated data at all."""

    extra_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return 0

    def record(self, index: int) -> Record:
        """There are no records."""
        raise IndexError(index)

    def order_key(self, index: int) -> Any:
        """There are no records."""
        raise IndexError(index)

    def find(self, external_id: str) -> int | None:
        """There are no records."""
        return None

    def select(self, wanted: Wanted) -> Sequence[int]:
        """There are no records."""
        return ()


class NumberedIds:
    """External ids ``<prefix><number>`` of one width, so that text order is index order."""

    def __init__(self, prefix: str, size: int) -> None:
        self._prefix = prefix
        self._size = size
        self._width = max(6, len(str(size + 1000)))

    def __getitem__(self, index: int) -> str:
        return f"{self._prefix}{index + 1001:0{self._width}}"

    def find(self, external_id: str) -> int | None:
        """Return the index of an id that this object would give."""
        digits = external_id[len(self._prefix) :]
        if not external_id.startswith(self._prefix) or not digits.isdecimal() or not digits.isascii():
            return None
        index = int(digits) - 1001
        return index if 0 <= index < self._size and self[index] == external_id else None


def one_id(found: int | None) -> Sequence[int]:
    """Return the selection for an external id."""
    return () if found is None else (found,)


class Identified:
    """Records in the order of their external ids, and found by these alone."""

    def __init__(self, prefix: str, size: int) -> None:
        self._size = size
        self._ids = NumberedIds(prefix, size)

    def __len__(self) -> int:
        return self._size

    def order_key(self, index: int) -> str:
        """Records come by external id."""
        return self._ids[index]

    def find(self, external_id: str) -> int | None:
        """Return the index of an external id."""
        return self._ids.find(external_id)

    def select(self, wanted: Wanted) -> Sequence[int]:
        """Only an external id narrows the selection."""
        return range(self._size) if wanted.external_id is None else one_id(self.find(wanted.external_id))
