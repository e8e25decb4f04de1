"""Whether moments come in an order, as they themselves show it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


class TimeOrder:
    """A series of moments, looked at as it comes.

    ``order`` is a documented parameter of the API, but nobody has shown that events and sales obey it, so only the moments
    tell. Equal ones may come in any order, and prove nothing.
    """

    def __init__(self, *, descending: bool) -> None:
        self._descending = descending
        #: How often a moment lay truly further than the one before it.
        self.steps = 0
        #: Whether one lay the other way.
        self.is_broken = False
        self.last: datetime | None = None

    def take(self, moments: Iterable[datetime]) -> None:
        for moment in moments:
            if self.last is not None and moment != self.last:
                if (moment < self.last) is self._descending:
                    self.steps += 1
                else:
                    self.is_broken = True
            self.last = moment
