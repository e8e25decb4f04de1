"""How much a test does that could go on for ever: a little in ``make test``, a lot in ``make soak``, which sets ``SOAK``.

Properties of Hypothesis do more there by themselves; other such tests have the mark ``soak`` and take their number from
:func:`times`.
"""

from __future__ import annotations

import os

SOAK = "SOAK" in os.environ


def times(few: int, many: int) -> int:
    """``few`` in an ordinary run, ``many`` in ``make soak``."""
    return many if SOAK else few
