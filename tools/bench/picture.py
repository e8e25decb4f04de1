"""The chart: how long each contestant takes beside the floor, and what memory it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.bench.plan import CONTESTANTS, FLOOR, FORMATS, FREE
from tools.bench.results import Line

# Ours dark, others in colours that also differ in brightness.
_COLOURS = {
    "provider": "#1b4f8a",
    "provider_resumable": "#6fa0d8",
    "documentation": "#e0a030",
    "http_operator": "#c8553d",
    "dlt_pipeline": "#7a4e8a",
}
_BAR = 0.8


def draw(lines: Sequence[Line], path: Path) -> bool:
    """Write the chart of the largest number of rows that most contestants ran; False where matplotlib is missing."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - not needed for the table
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    shown = _shown(lines)
    if not shown:
        return False
    formats = [name for name in FORMATS if any(line.format == name for line in shown)]
    figure, (times, memory) = plt.subplots(1, 2, sharey=True, figsize=(11, 1.6 + 0.26 * len(shown) + 0.2 * len(formats)))
    place = 0.0
    ticks = []
    for name in formats:
        own = [line for entry in CONTESTANTS for line in shown if line.format == name and line.contestant == entry.name]
        ticks.append(place + (len(own) - 1) / 2)
        for line in own:
            colour = _COLOURS.get(line.contestant, "#888888")
            _bar(times, place, line.wall_ratio or 0, f"{line.wall_ratio:.2f}x", colour=colour, base=1.0)
            _bar(memory, place, line.peak_bytes / 1e6, f"{line.peak_bytes / 1e6:,.0f} MB", colour=colour)
            place += 1
        place += 1
    times.set_yticks(ticks, formats)
    times.invert_yaxis()
    times.axvline(1, color="black", linewidth=1)
    times.set_title("wall time, as a multiple of a raw copy", fontsize=10)
    memory.set_title("peak memory above the imports", fontsize=10)
    for axes in (times, memory):
        axes.set_xscale("log")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.18)
    present = {line.contestant for line in shown}
    handles = [plt.Rectangle((0, 0), 1, 1, color=_COLOURS.get(entry.name)) for entry in CONTESTANTS if entry.name in present]
    labels = [entry.label for entry in CONTESTANTS if entry.name in present]
    figure.suptitle(f"Exporting {shown[0].rows:,} events to S3 (log scales; shorter is better)", fontsize=12)
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def _bar(axes: Any, place: float, value: float, text: str, *, colour: str, base: float | None = None) -> None:
    start = min(1.0, value) if base is None else base
    axes.barh(place, value - start, left=start, height=_BAR, color=colour)
    axes.annotate(
        text,
        (max(value, start), place),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _shown(lines: Sequence[Line]) -> list[Line]:
    drawn = [
        line
        for line in lines
        if line.scenario == FREE.name and line.contestant not in (FLOOR, "drain") and line.wall_ratio is not None
    ]
    sizes = {rows: len({line.contestant for line in drawn if line.rows == rows}) for rows in {line.rows for line in drawn}}
    if not sizes:
        return []
    chosen = max(sizes, key=lambda rows: (sizes[rows], rows))
    return [line for line in drawn if line.rows == chosen]
