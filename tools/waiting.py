"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import requests

T = TypeVar("T")

#: Of interest only where something hangs. A machine with much other work may take ten times as long as an idle one.
LIMIT_SECONDS = 300.0


def wait_until(
    what: str,
    look: Callable[[], T],
    *,
    limit_seconds: float = LIMIT_SECONDS,
    every_seconds: float = 0.1,
    log: Callable[[], str] = lambda: "",
) -> T:
    """Call ``look`` until it returns something true, and return that. A request that failed is made again.

    :param what: completes "waited in vain until ..."
    :param log: what to show besides, if it was in vain
    :raises TimeoutError: it was; the text tells what was seen last.
    """
    ends = time.monotonic() + limit_seconds
    while True:
        try:
            found = look()
            seen = repr(found)
        except requests.RequestException as err:
            seen = repr(err)
        else:
            if found:
                return found
        if time.monotonic() > ends:
            raise TimeoutError(f"waited in vain for {limit_seconds:.0f} s until {what}; seen last: {seen}\n{log()}")
        time.sleep(every_seconds)
