"""From single runs to medians and to ratios. A run is compared with the floor that ran beside it, in the same round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from tools.bench.plan import FLOOR, SCENARIOS


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measurement. ``peak_bytes`` is above what the imports take, ``s3_cpu_seconds`` what the S3 server took meanwhile."""

    scenario: str
    rows: int
    format: str
    contestant: str
    round: int
    requests: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: float
    s3_cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """Medians over the rounds. A ratio is None where there is no floor to compare with."""

    scenario: str
    rows: int
    format: str
    contestant: str
    runs: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: float
    s3_cpu_seconds: float
    wall_ratio: float | None
    cpu_ratio: float | None
    peak_ratio: float | None


def summarise(runs: Iterable[Run]) -> list[Line]:
    """One line for each contestant, format, number of rows and scenario, in the order of their first runs."""
    groups: dict[tuple[str, int, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.scenario, run.rows, run.format, run.contestant), []).append(run)
    return [
        Line(
            scenario=scenario,
            rows=rows,
            format=name,
            contestant=contestant,
            runs=len(own),
            wall_seconds=median(run.wall_seconds for run in own),
            cpu_seconds=median(run.cpu_seconds for run in own),
            peak_bytes=median(run.peak_bytes for run in own),
            s3_cpu_seconds=median(run.s3_cpu_seconds for run in own),
            wall_ratio=_wall_ratio(own, groups.get((scenario, rows, name, FLOOR), ())),
            cpu_ratio=_ratio("cpu_seconds", own, groups.get((scenario, rows, name, FLOOR), ())),
            peak_ratio=_ratio("peak_bytes", own, groups.get((scenario, rows, name, FLOOR), ())),
        )
        for (scenario, rows, name, contestant), own in groups.items()
    ]


def _wall_ratio(own: Sequence[Run], floor: Sequence[Run]) -> float | None:
    pace = SCENARIOS[own[0].scenario].pace_seconds
    if pace:
        # Nothing that keeps the pace is faster than its requests are far apart.
        return median(run.wall_seconds / (run.requests * pace) for run in own)
    return _ratio("wall_seconds", own, floor)


def _ratio(measure: str, own: Sequence[Run], floor: Sequence[Run]) -> float | None:
    floors = {run.round: float(getattr(run, measure)) for run in floor}
    ratios = [float(getattr(run, measure)) / floors[run.round] for run in own if floors.get(run.round, 0) > 0]
    return median(ratios) if ratios else None
