"""How an upload may end."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_custobar.api.errors import CustobarError, Fate
from airflow_provider_custobar.upload.verification import Verification


class InvalidRowsError(CustobarError):
    """Rows that must not be sent. ``rejected`` is how many; nothing was sent."""

    fate = Fate.FINAL

    def __init__(self, message: str, *, rejected: int) -> None:
        self.rejected = rejected
        super().__init__(message)


class PartlySentError(CustobarError):
    """Rows that must not be sent twice were sent, or may have been, when something failed: a person has to look."""

    fate = Fate.FINAL


class TooManyRemovedError(CustobarError):
    """More rows are gone than ``max_removed`` allows; nothing was sent."""

    fate = Fate.FINAL


class DigestMismatchError(CustobarError):
    """What would be sent is not what ``expected_digest`` stands for; nothing was sent by this attempt."""

    fate = Fate.FINAL


@dataclass(kw_only=True)
class UploadResult:
    """``rows`` came in: ``rejected`` were set aside, ``new``, ``changed`` and ``unchanged`` tell how they differ from those of
    the last run, where that is known. ``removed`` were there in the last run and are not in this one. ``uploaded`` were sent,
    by this attempt or one that it continued (none in a dry run), what is sent for removed ones included. ``duplicates`` have
    the identifier of an earlier row. ``digest`` stands for what was to be sent, and where to: another upload takes it as its
    ``expected_digest``.
    """

    rows: int = 0
    uploaded: int = 0
    rejected: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    duplicates: int = 0
    batches: int = 0
    run_ids: list[str] = field(default_factory=list)
    resumed: bool = False
    verified: Verification | None = None
    digest: str = ""
