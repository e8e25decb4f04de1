"""One resource's present state: generated records, and those loaded, uploaded or changed on top of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, overload

from airflow_provider_custobar.sandbox.data.protocol import Generated, Record, Wanted

#: A generated record's index, or a stored record itself. Records are never changed in place and generated
#: ones never differ, so a list of references is a snapshot.
Ref = int | Record


class Entry(NamedTuple):
    """A stored record with its place in the default order, and its own date in microseconds since 1970."""

    order_key: Any
    arrival: int
    record: Record
    instant: int


class Merged(Sequence[Ref]):
    """Generated indexes with stored entries inserted where the default order wants them.

    Reading an element costs one bisection in the stored entries, so a page deep inside a million generated
    events is as cheap as the first.
    """

    def __init__(self, indexes: Sequence[int], entries: list[Entry], order_key: Callable[[int], Any]) -> None:
        self._indexes = indexes
        self._records = [entry.record for entry in entries]
        # Position of each stored record in the whole: generated ones before it, plus stored ones before it.
        self._places = [_first_after(indexes, entry.order_key, order_key) + number for number, entry in enumerate(entries)]

    def __len__(self) -> int:
        return len(self._indexes) + len(self._records)

    @overload
    def __getitem__(self, item: int) -> Ref: ...
    @overload
    def __getitem__(self, item: slice) -> list[Ref]: ...
    def __getitem__(self, item: int | slice) -> Ref | list[Ref]:
        if isinstance(item, slice):
            if not self._records:
                return list(self._indexes[item])
            return [self[number] for number in range(*item.indices(len(self)))]
        before = bisect_left(self._places, item)
        if before < len(self._places) and self._places[before] == item:
            return self._records[before]
        return self._indexes[item - before]


def _first_after(indexes: Sequence[int], wanted: Any, order_key: Callable[[int], Any]) -> int:
    """Count the generated records that come before a stored one; equal keys keep the generated one first."""
    low, high = 0, len(indexes)
    while low < high:
        middle = (low + high) // 2
        if order_key(indexes[middle]) <= wanted:
            low = middle + 1
        else:
            high = middle
    return low


class Table:
    """Records of one resource by key; the key is the external id, or an arrival number without one."""

    def __init__(
        self,
        generated: Generated,
        *,
        order_key: Callable[[Record], Any],
        instant: Callable[[Record], int],
        known: Collection[str],
    ) -> None:
        self._generated = generated
        self._known = known
        #: Names of fields that records have and the catalogue does not list, such as custom fields.
        self.extra_names: set[str] = set(generated.extra_names)
        self._order_key = order_key
        self._instant = instant
        self._entries: dict[str, Entry] = {}
        # The entries in default order and by date; made when asked for, thrown away by the next change.
        self._in_order: list[Entry] | None = None
        self._by_instant: list[Entry] | None = None
        self._arrivals = 0
        # Generated records that were replaced or removed.
        self._hidden: set[int] = set()
        self._by_value: dict[str, dict[str, dict[str, None]]] = {}

    def __len__(self) -> int:
        return len(self._generated) - len(self._hidden) + len(self._entries)

    def resolve(self, ref: Ref) -> Record:
        """Return the record behind a reference."""
        return self._generated.record(ref) if isinstance(ref, int) else ref

    def refs(self, wanted: Wanted, keep: Callable[[Record], bool] | None) -> Sequence[Ref]:
        """Select in default order: generated records by ``wanted`` alone, stored ones by ``keep``."""
        indexes = self._generated.select(wanted)
        if self._hidden:
            indexes = [index for index in indexes if index not in self._hidden]
        entries = [entry for entry in self._candidates(wanted) if keep is None or keep(entry.record)]
        if not indexes:
            return [entry.record for entry in entries]
        return Merged(indexes, entries, self._generated.order_key)

    def get(self, key: str) -> Record | None:
        """Return the record with this key."""
        if key in self._entries:
            return self._entries[key].record
        index = self._generated.find(key)
        return None if index is None or index in self._hidden else self._generated.record(index)

    def add(self, record: Record) -> str:
        """Store a record that has no key of its own, and return the key it got."""
        key = f"#{self._arrivals + 1}"
        self.put(key, record)
        return key

    def put(self, key: str, record: Record) -> None:
        """Store a record under a key, in place of what was there."""
        self._reindex(key, self.get(key) if self._by_value else None, record)
        self.extra_names.update(name for name in record if name not in self._known)
        earlier = self._entries.get(key)
        self._arrivals += 1
        arrival = earlier.arrival if earlier else self._arrivals
        self._entries[key] = Entry(self._order_key(record), arrival, record, self._instant(record))
        self._changed(key)

    def remove(self, key: str) -> None:
        """Forget a record."""
        self._reindex(key, self.get(key) if self._by_value else None, None)
        self._entries.pop(key, None)
        self._changed(key)

    def keys_with(self, field: str, value: str) -> list[str]:
        """Return the keys of all records whose field has this value, by an index made at first use."""
        if field not in self._by_value:
            index: dict[str, dict[str, None]] = {}
            for key, record in self._items():
                if field in record:
                    index.setdefault(_folded(field, record[field]), {})[key] = None
            self._by_value[field] = index
        return list(self._by_value[field].get(_folded(field, value), ()))

    def _items(self) -> Iterator[tuple[str, Record]]:
        for number in range(len(self._generated)):
            if number not in self._hidden:
                record = self._generated.record(number)
                yield record["external_id"], record
        for key, entry in self._entries.items():
            yield key, entry.record

    def _candidates(self, wanted: Wanted) -> list[Entry]:
        """Return the stored entries in default order; with a date range only those in it, found by bisection."""
        if wanted.low is None and wanted.high is None:
            if self._in_order is None:
                self._in_order = sorted(self._entries.values(), key=_by_order)
            return self._in_order
        if self._by_instant is None:
            self._by_instant = sorted(self._entries.values(), key=_by_instant)
        entries = self._by_instant
        first = 0 if wanted.low is None else bisect_left(entries, wanted.low, key=_by_instant)
        last = len(entries) if wanted.high is None else bisect_left(entries, wanted.high, key=_by_instant)
        return sorted(entries[first:last], key=_by_order)

    def _changed(self, key: str) -> None:
        self._in_order = self._by_instant = None
        index = self._generated.find(key)
        if index is not None:
            self._hidden.add(index)

    def _reindex(self, key: str, old: Record | None, new: Record | None) -> None:
        for field, index in self._by_value.items():
            if old is not None and field in old:
                index.get(_folded(field, old[field]), {}).pop(key, None)
            if new is not None and field in new:
                index.setdefault(_folded(field, new[field]), {})[key] = None


def _by_order(entry: Entry) -> tuple[Any, int]:
    return entry.order_key, entry.arrival


def _by_instant(entry: Entry) -> int:
    return entry.instant


def _folded(field: str, value: Any) -> str:
    """E-mails compare without regard to case, everything else with it (our choice)."""
    return str(value).lower() if field == "email" else str(value)
