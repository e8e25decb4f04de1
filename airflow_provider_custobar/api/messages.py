"""What a flow and its driver say to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_custobar.api.errors import TransportError
from airflow_provider_custobar.api.responses import Response


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``repeatable`` is False where doing it twice would leave two of something behind.

    ``ahead`` makes of an answer's headers (names in lower case) the Request of the page that follows, if they tell it. Who
    calls it and gets a Request must begin it, at the context's pace: the flow counts the start as taken when it comes to it.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeatable: bool = True
    ahead: Callable[[Mapping[str, str]], Request | None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """``reason`` is empty for ordinary pacing, else one line for the log."""

    seconds: float
    reason: str = ""


Outcome = Response | TransportError | None
