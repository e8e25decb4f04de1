"""How a run over a query's pages may end: before it begins, without a row, or to be begun once more."""

from __future__ import annotations

from typing import Literal

from airflow_provider_custobar.api.errors import CustobarError, Fate, ProtocolError

OnEmpty = Literal["write", "skip", "fail"]
ON_EMPTY: tuple[OnEmpty, ...] = ("write", "skip", "fail")
OnIncomplete = Literal["warn", "fail", "skip"]
ON_INCOMPLETE: tuple[OnIncomplete, ...] = ("warn", "fail", "skip")


class EmptyExportError(CustobarError):
    """Nothing to export, and ``on_empty="fail"``."""


class IncompleteWindowError(CustobarError):
    """The window is not over yet, and ``on_incomplete="fail"``."""


def may_start_over(error: CustobarError, *, is_continued: bool) -> bool:
    """Whether a run that ended so is to begin once more from its first page.

    Answers that contradict each other are final, unless those of an earlier attempt are among them.
    """
    return error.fate is Fate.START_OVER or (is_continued and isinstance(error, ProtocolError))
