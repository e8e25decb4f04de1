"""The check of an upload: each row is read once, and what may go waits in a file until all were read."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.log_lines import counted, in_lines
from airflow_provider_custobar.stream.progress_log import NowAndThen
from airflow_provider_custobar.upload.changes import Changes, Standing
from airflow_provider_custobar.upload.duplicates import Duplicates
from airflow_provider_custobar.upload.groups import Groups
from airflow_provider_custobar.upload.plan import UploadPlan
from airflow_provider_custobar.upload.results import InvalidRowsError, TooManyRemovedError, UploadResult
from airflow_provider_custobar.upload.rows import GoodRow, Rejected, check_row, row_in_words, storable
from airflow_provider_custobar.upload.spool import Spool

_REASONS_SHOWN = 10
_MOST_REASONS_LOGGED = 1_000
_FIELDS_SHOWN = 50


class CheckedRows(Spool[GoodRow]):
    """The rows that are to go, and what can only be told of all of them."""

    def __init__(self, plan: UploadPlan) -> None:
        super().__init__()
        self._plan = plan
        self._digest = hashlib.blake2b(plan.resource.name.encode(), digest_size=16)
        self.count = 0
        self.may_be_sent_again = True
        #: Has taken note of all rows.
        self.duplicates = Duplicates()

    @property
    def fingerprint(self) -> str:
        """The same for the same rows in the same order, and for no others."""
        return self._digest.hexdigest()

    def add(self, row: GoodRow) -> None:
        super().add(row._replace(source=None) if row.source is not None else row)
        self._digest.update(row.data)
        self._digest.update(b"\n")
        self.count += 1
        self.may_be_sent_again = self.may_be_sent_again and self._plan.may_be_sent_again(row.identity)
        if row.identity is not None:
            self.duplicates.note(row.identity)


class Check:
    """Puts what is to go of the rows into ``checked``; the arguments are those of an upload."""

    def __init__(
        self,
        plan: UploadPlan,
        checked: CheckedRows,
        *,
        changes: Changes | None,
        reject: Callable[[Rejected], None] | None,
        after_check: Callable[[], None],
        place_of: Callable[[int], str] | None,
        log: logging.Logger,
    ) -> None:
        self._plan = plan
        self._name = plan.resource.name
        self._checked = checked
        self._changes = changes
        self._reject = reject
        self._after_check = after_check
        self._place_of = place_of
        self._log = log
        self._groups = Groups(plan.resource) if plan.resource.group else None
        self._dropped = Counter[str]()
        self._result = UploadResult()

    def run(self, source: Iterable[object]) -> UploadResult:
        """Read all rows, once.

        :return: How many there were, and what became of those that do not go.
        :raises InvalidRowsError: some rows are bad, and ``on_invalid="fail"``; shows the first ten by position and reason.
        :raises TooManyRemovedError: more rows than may be are gone since the last run.
        """
        if self._plan.when_removed is not None:
            # A patch that is no good is told before a row is read.
            self._patched("1", self._plan.when_removed)
        first = self._read_all(source)
        self._after_check()
        if self._dropped:
            told = ", ".join(f"{name} in {counted(count, 'row')}" for name, count in self._dropped.most_common(_FIELDS_SHOWN))
            text = f"{self._name}: values of fields that Custobar does not have are left out: {told}"
            self._log.warning("%s", in_lines(text))
        if first:
            summary = self._summary(first)
            if self._plan.options.on_invalid == "fail":
                raise InvalidRowsError(f"{summary}\nNothing was sent.", rejected=self._result.rejected)
            self._log.warning("%s", in_lines(summary))
        if self._plan.when_removed is not None and self._changes is not None:
            self._add_removed(self._plan.when_removed, self._changes)
        return self._result

    def _read_all(self, source: Iterable[object]) -> list[Rejected]:
        """Return the first of the bad rows."""
        result, first, line = self._result, list[Rejected](), NowAndThen()
        self._begin_to_note()
        # What is open of a source closes here also when something fails.
        with closing(self._read(source) if self._groups is None else self._judged(source, self._groups)) as rows:
            for row in rows:
                result.rows += 1
                self._note_there(row)
                if isinstance(row, Rejected):
                    result.rejected += 1
                    if self._reject is not None:
                        self._reject(row)
                    elif self._is_told_at_once or len(first) == _REASONS_SHOWN:
                        self._tell(row)
                    if len(first) < _REASONS_SHOWN:
                        first.append(row)
                elif self._is_to_go(row):
                    self._add(row)
                else:
                    result.unchanged += 1
                if line.is_due():
                    told = f"{counted(result.rows, 'row')} of {self._name} checked"
                    self._log.info("%s so far, %s rejected; nothing is sent yet", told, f"{result.rejected:,}")
        return first

    @property
    def _is_told_at_once(self) -> bool:
        """Whether each bad row goes to the log as it is found. An error tells the first ones itself."""
        return self._reject is None and self._plan.options.on_invalid == "skip"

    def _tell(self, row: Rejected) -> None:
        if self._result.rejected <= _MOST_REASONS_LOGGED:
            place = row_in_words(row.position, self._place_of)
            text = f"{place[:1].upper()}{place[1:]} is set aside: {'; '.join(row.reasons)}"
            self._log.warning("%s", in_lines(text))
        elif self._result.rejected == _MOST_REASONS_LOGGED + 1:
            self._log.warning("More rows are set aside than are told here: give rejects_path to have them all")

    def _read(self, source: Iterable[object]) -> Generator[GoodRow | Rejected]:
        rows = iter(source)
        try:
            for position, row in enumerate(rows):
                yield check_row(position, row, self._plan)
        finally:
            if isinstance(rows, Generator):
                rows.close()

    def _judged(self, source: Iterable[object], groups: Groups) -> Generator[GoodRow | Rejected]:
        """The rows once more, when all were read and the groups of all are known."""
        line = NowAndThen()
        with closing(groups), closing(Spool[GoodRow | Rejected]()) as spool, closing(self._read(source)) as rows:
            for row in rows:
                groups.note(row, is_to_go=isinstance(row, GoodRow) and row.group is not None and self._is_new(row))
                spool.add(storable(row))
                if line.is_due():
                    told = f"{counted(row.position + 1, 'row')} of {self._name} read"
                    self._log.info("%s so far, to know which belong together; nothing is sent yet", told)
            groups.noted()
            # Only rows that are not set aside count as uploaded.
            self._begin_to_note()
            yield from map(groups.judged, spool)

    def _begin_to_note(self) -> None:
        if self._changes is not None:
            self._changes.begin()
        self._result.new = self._result.changed = 0

    def _is_to_go(self, row: GoodRow) -> bool:
        # Asked of every row, as it takes note.
        is_new = self._is_new(row)
        return is_new if self._groups is None or row.group is None else self._groups.is_to_go(row.group)

    def _is_new(self, row: GoodRow) -> bool:
        if self._changes is None or row.identity is None:
            return True
        change = self._changes.change_of(row.identity, row.data)
        self._result.new += change == "new"
        self._result.changed += change == "changed"
        return change != "unchanged"

    def _add(self, row: GoodRow) -> None:
        self._checked.add(row)
        if row.dropped:
            self._dropped.update(row.dropped)

    def _note_there(self, row: GoodRow | Rejected) -> None:
        if self._changes is None or not self._changes.keeps_external_ids:
            return
        if isinstance(row, Rejected):
            self._changes.note_there(row.external_id, Standing.REJECTED)
        else:
            name, _, external_id = (row.identity or "").partition("=")
            standing = Standing.LAST if row.is_irreversible else Standing.SENT
            self._changes.note_there(external_id if name == "external_id" else None, standing)

    def _add_removed(self, patch: Mapping[str, object], changes: Changes) -> None:
        """Add a row for each that the last run had and this one has not."""
        if why := changes.why_none_is_gone():
            self._log.warning("%s: %s, so none is taken for removed", self._name, why)
            return
        known, gone = changes.known_and_gone()
        most = self._plan.max_removed
        if gone > (most if isinstance(most, int) else most * known):
            raise TooManyRemovedError(
                f"{gone:,} of the {known:,} {self._name} that the last run had are not there any more, which is more than"
                f" max_removed={self._plan.options.max_removed}. Nothing was sent. If they are to be gone, give a larger"
                " max_removed for this run."
            )
        for external_id in changes.gone():
            self._checked.add(self._patched(external_id, patch))
            self._result.removed += 1

    def _patched(self, external_id: str, patch: Mapping[str, object]) -> GoodRow:
        # The patch's names are Custobar's.
        plan = replace(self._plan, field_mapping={})
        row = check_row(self._result.rows + self._result.removed, {"external_id": external_id, **patch}, plan)
        if isinstance(row, Rejected):
            raise InvalidArgumentError("when_removed", ", ".join(patch), "; ".join(row.reasons))
        if lost := [*row.dropped, *(name for name, value in patch.items() if value is None)]:
            raise InvalidArgumentError("when_removed", ", ".join(lost), "Custobar has no such field, or nothing to set it to")
        return row

    def _summary(self, first: Sequence[Rejected]) -> str:
        said = f"{self._result.rejected:,} of {counted(self._result.rows, 'row')} of {self._name} cannot be uploaded"
        if self._is_told_at_once:
            return f"{said}, see above."
        lines = [f"{row_in_words(row.position, self._place_of)}: {'; '.join(row.reasons)}" for row in first]
        more = self._result.rejected - len(first)
        return "\n".join(
            [
                f"{said}:",
                *lines,
                *([f"and {more:,} more"] if more else []),
            ]
        )
