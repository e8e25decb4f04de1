"""Rows out of JSON Lines: one JSON value a line."""

from __future__ import annotations

import io
from collections.abc import Iterator

from airflow_provider_custobar.upload.exact_json import UnfitJsonError, decode
from airflow_provider_custobar.upload.rows import Unreadable

_SPACE = " \t\r\n"


def read_json_lines(data: io.BufferedReader, encoding: str) -> Iterator[object]:
    """A line that is no JSON comes as :class:`Unreadable`, as does one with bytes that the encoding does not know."""
    # JSON has no line end of either kind within a value. Bytes that are no text are kept apart until their line is known.
    with io.TextIOWrapper(data, encoding=encoding, errors="surrogateescape") as lines:
        for number, raw in enumerate(lines):
            line = (raw if number else raw.removeprefix("\N{BYTE ORDER MARK}")).strip(_SPACE)
            if line:
                try:
                    yield decode(line)
                except ValueError as error:
                    reason = str(error) if isinstance(error, UnfitJsonError) else "it is not a line of JSON"
                    yield Unreadable(reason, line.encode(errors="surrogateescape").decode(errors="replace"))
