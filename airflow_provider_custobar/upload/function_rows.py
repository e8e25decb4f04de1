"""Rows out of what a function gives: an iterable of them, or a data frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_custobar.api.errors import InvalidArgumentError

_ACCEPTED = "yield or return rows: mappings or dataclasses, or one pandas.DataFrame"


def function_rows(given: Any) -> Iterable[object]:
    """The rows of ``given``, a data frame or an iterable of mappings or dataclasses.

    :raises InvalidArgumentError: it is neither.
    """
    # Not imported for that: who returns one has done it.
    if type(given).__module__.partition(".")[0] == "pandas" and hasattr(given, "itertuples"):
        return _pandas_rows(given)
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise InvalidArgumentError("the function's return value", type(given).__name__, _ACCEPTED)
    return _plain_rows(given)


def _plain_rows(rows: Iterable[object]) -> Iterator[object]:
    for row in rows:
        if dataclasses.is_dataclass(row) and not isinstance(row, type):
            # Not asdict, which copies what is in them.
            yield {each.name: getattr(row, each.name) for each in dataclasses.fields(row)}
        else:
            yield row


def _pandas_rows(frame: Any) -> Iterator[object]:
    """pandas has several values for one that is missing, and knows them all itself."""
    names = list(frame.columns)
    if twice := sorted({str(name) for name in names if names.count(name) > 1}):
        raise InvalidArgumentError("the function's return value", ", ".join(twice), "two columns have that name")
    missing = frame.isna().itertuples(index=False, name=None)
    for values, lacks in zip(frame.itertuples(index=False, name=None), missing, strict=True):
        yield {name: value for name, value, is_missing in zip(names, values, lacks, strict=True) if not is_missing}
