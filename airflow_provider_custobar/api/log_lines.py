"""Texts for a task's log, which is read in a browser, and without scrolling to the right."""

from __future__ import annotations

import re

#: The most characters of a line, where its words allow that.
LONGEST_LINE = 150
# A window is one word, though it holds a space.
_WINDOW = re.compile(r"(\[[^\s,]+,) ([^\s,]+\))")
_JOINT = "\N{NO-BREAK SPACE}"
# Where a line may end, the best places first: after a sentence, after a part of one, between words.
_ENDS = (re.compile(r"[.!?] "), re.compile(r"[:;] "), re.compile(r" (?=\()|, "), re.compile(r" "))
# A line that is much shorter than it may be is hardly a gain over one that ends in a less good place.
_SHORT = 50


def in_lines(text: str) -> str:
    """``text`` with line breaks, so that no line is longer than can be read; words, and so URLs, stay whole."""
    return "\n".join(line for given in text.splitlines() for line in _broken(_WINDOW.sub(rf"\1{_JOINT}\2", given)))


def _broken(rest: str) -> list[str]:
    lines = []
    while len(rest) > LONGEST_LINE and (cut := _best_end(rest)):
        lines.append(rest[:cut].rstrip(" "))
        rest = rest[cut:].lstrip(" ")
    return [line.replace(_JOINT, " ") for line in (*lines, rest)]


def _best_end(rest: str) -> int:
    """Where the first line of ``rest`` ends; 0 if there is no such place."""
    cut = 0
    for ends in _ENDS:
        cut = max((match.end() for match in ends.finditer(rest, 0, LONGEST_LINE + 1)), default=0)
        if cut >= _SHORT:
            return cut
    if cut:
        return cut
    first_space = rest.find(" ")
    return first_space + 1 if first_space > 0 else 0


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 page``, ``1,234 pages``."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def size_of(count: int) -> str:
    """A number of bytes as people read it."""
    if count < 1 << 10:
        return counted(count, "byte")
    return f"{count / (1 << 10):.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):,.1f} MiB"
