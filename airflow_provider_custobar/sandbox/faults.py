"""Scripted and random faults: which requests they meet, how often, and in which order."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug import Request, Response

from airflow_provider_custobar.sandbox.fault_effects import EFFECTS

#: What an unlucky but honest network does.
RANDOM_KINDS = ("status", "drop", "truncate")

Where = Callable[[Request], bool] | Mapping[str, str]


class Fault:
    """A fault of one kind for the API requests that match.

    The first ``after`` matching requests are spared, the next ``times`` (None: all) are met. ``method`` and
    ``path`` match exactly; ``where`` is a function of the request, or query parameters that must be there.
    Details depend on the kind, see ``EFFECTS``. Early kinds (status, delay, drop, html, redirect) count
    requests, before authentication and rate limit; the others count successful responses that they fit.
    """

    def __init__(
        self,
        kind: str,
        *,
        times: int | None = 1,
        after: int = 0,
        method: str | None = None,
        path: str | None = None,
        where: Where | None = None,
        **details: Any,
    ) -> None:
        if kind not in EFFECTS:
            raise ValueError(f"kind={kind!r}: expected one of {', '.join(EFFECTS)}")
        self.kind = kind
        self.effect = EFFECTS[kind]
        for name, value in (("times", times), ("after", after)):
            least = 0 if name == "after" else 1
            if (value is None and name == "times") or (type(value) is int and value >= least):
                continue
            raise ValueError(f"{name}={value!r}: expected a whole number of at least {least}")
        for name, value in details.items():
            self._check_detail(name, value)
        self.times = times
        self.after = after
        self.method = method
        self.path = path
        self.where = where
        self.details = {**self.effect.details, **details}
        self._met = 0

    def _check_detail(self, name: str, value: Any) -> None:
        if name not in self.effect.details:
            accepted = ", ".join(["times", "after", "method", "path", "where", *self.effect.details])
            raise ValueError(f"{name}={value!r}: fault {self.kind!r} accepts {accepted}")
        default, choices = self.effect.details[name], self.effect.choices.get(name)
        if choices is not None and value not in choices:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(choices)}")
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if number and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise ValueError(f"{name}={value!r}: expected a number of at least 0")

    def __repr__(self) -> str:
        return f"Fault({self.kind!r}, times={self.times}, after={self.after}, met={self._met})"

    @property
    def early(self) -> bool:
        """Tell whether the fault comes before the work on the request."""
        return self.effect.early is not None

    def matches(self, request: Request) -> bool:
        """Tell whether the request is one of those meant."""
        if self.method is not None and request.method != self.method.upper():
            return False
        if self.path is not None and request.path != self.path:
            return False
        if self.where is None:
            return True
        if callable(self.where):
            return bool(self.where(request))
        return all(value in request.args.getlist(name) for name, value in self.where.items())

    def due(self) -> bool:
        """Count a match and tell whether the fault applies to it."""
        self._met += 1
        return self._met > self.after and (self.times is None or self._met <= self.after + self.times)


@dataclass
class _RandomFaults:
    generator: random.Random
    probability: float
    templates: tuple[Fault, ...]

    def draw(self, request: Request) -> Fault | None:
        # Both numbers are drawn for every request, so that one outcome does not shift the next ones.
        chance, choice = self.generator.random(), self.generator.randrange(len(self.templates))
        template = self.templates[choice]
        return template if chance < self.probability and template.matches(request) else None


class Faults:
    """All faults in force, in the order of their coming."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripted: list[Fault] = []
        self._random: list[_RandomFaults] = []

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force."""
        with self._lock:
            self._scripted.append(fault)
        return fault

    def add_random(self, *, seed: int = 1, probability: float, kinds: Iterable[str | Fault] = RANDOM_KINDS) -> None:
        """Meet each request with this probability by one of the kinds; the same seed makes the same choices."""
        if not 0 <= probability <= 1:
            raise ValueError(f"probability={probability!r}: expected a number from 0 to 1")
        templates = tuple(kind if isinstance(kind, Fault) else Fault(kind) for kind in kinds)
        if not templates:
            raise ValueError(f"kinds=(): expected at least one of {', '.join(EFFECTS)}")
        with self._lock:
            generator = random.Random(seed)  # noqa: S311 - repeatable, not secret
            self._random.append(_RandomFaults(generator, probability, templates))

    def clear(self) -> None:
        """End all faults."""
        with self._lock:
            self._scripted.clear()
            self._random.clear()

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._scripted))

    def arriving(self, request: Request) -> list[Fault]:
        """Return the early faults for a request, and the late ones that chance chose for it."""
        with self._lock:
            drawn = [drawing.draw(request) for drawing in self._random]
            scripted = [fault for fault in self._scripted if fault.early and fault.matches(request) and fault.due()]
        return [*scripted, *(fault for fault in drawn if fault is not None)]

    def leaving(self, request: Request, response: Response, drawn: Iterable[Fault]) -> list[Fault]:
        """Return the late faults for a successful response."""
        with self._lock:
            scripted = [
                fault
                for fault in self._scripted
                if not fault.early and fault.effect.fits(response) and fault.matches(request) and fault.due()
            ]
        return [*scripted, *(fault for fault in drawn if not fault.early and fault.effect.fits(response))]
