"""The upload loop. It exists once; sources differ only in how they yield rows."""

from __future__ import annotations

import hashlib
import logging
import time
import zoneinfo
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_custobar.api.errors import CustobarError, Fate, InvalidArgumentError, PayloadTooLargeError, fate_of
from airflow_provider_custobar.upload.batches import batches, halves
from airflow_provider_custobar.upload.changes import Changes, Standing
from airflow_provider_custobar.upload.duplicates import Duplicates
from airflow_provider_custobar.upload.groups import Groups
from airflow_provider_custobar.upload.journal import Journal, Sent
from airflow_provider_custobar.upload.plan import UploadPlan
from airflow_provider_custobar.upload.results import InvalidRowsError, PartlySentError, TooManyRemovedError, UploadResult
from airflow_provider_custobar.upload.rows import GoodRow, Rejected, check_row, storable
from airflow_provider_custobar.upload.spool import Spool
from airflow_provider_custobar.upload.verification import ReadBack, Sample, verify

log = logging.getLogger(__name__)

#: Sends one batch of encoded rows, again if it may be; returns the import's run id, if there is one.
Send = Callable[[Sequence[bytes], bool], str | None]

_REASONS_SHOWN = 10
_FIELDS_SHOWN = 50
_PROGRESS_SECONDS = 5.0


def _nowhere(_: Rejected) -> None:
    """Rejects that nobody wants."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Everything that one upload needs.

    ``rows`` are read once. What is good of them waits in a file until all are checked, so that nothing is sent where
    ``on_invalid="fail"`` and any row is bad, and memory holds one batch at a time. ``reject`` gets each bad row as it is found;
    ``after_check`` is called once when all were found, before any is sent. With ``changes``, only rows go that are not as they
    were. ``place_of`` tells where a row stands, by its position, which is told without it. ``read_back`` is needed where the
    plan verifies; ``sleep`` waits for that.
    """

    rows: Iterable[object]
    place_of: Callable[[int], str] | None = None
    plan: UploadPlan
    send: Send
    reject: Callable[[Rejected], None] = _nowhere
    after_check: Callable[[], None] = lambda: None
    journal: Journal = field(default_factory=lambda: Journal(None))
    changes: Changes | None = None
    read_back: ReadBack | None = None
    sleep: Callable[[float], Any] = time.sleep
    log: logging.Logger = log

    def run(self) -> UploadResult:
        """Check all rows, then send them.

        :raises InvalidRowsError: some rows are bad, and ``on_invalid="fail"``; shows the first ten by position and reason.
        :raises PartlySentError: rows without identifiers were sent or may have been, and then something failed.
        """
        with closing(_Run(self)) as run:
            return run.run()


class _Run:
    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._plan = upload.plan
        self._name = upload.plan.resource.name
        self._journal = upload.journal
        self._log = upload.log
        self._result = UploadResult()
        self._groups = Groups(self._plan.resource) if self._plan.resource.group else None
        self._dropped = Counter[str]()
        self._duplicates = Duplicates()
        self._to_go = Spool[GoodRow]()
        self._sample = Sample()
        self._good = 0
        self._nameless = 0
        self._may_be_sent_again = True

    def close(self) -> None:
        for each in (self._groups, self._to_go):
            try:
                if each is not None:
                    each.close()
            except Exception as error:  # noqa: BLE001 - a temporary file fails no upload that is done
                self._log.warning("Could not close a temporary file: %s", error)

    def run(self) -> UploadResult:
        if self._plan.when_removed is not None:
            self._patched("1", self._plan.when_removed)
        fingerprint = self._check()
        if not self._plan.options.dry_run:
            self._refuse_to_guess()
            self._take_up(fingerprint)
        if self._good and self._upload.changes is not None and not self._plan.options.dry_run:
            self._upload.changes.about_to_send()
        started = time.monotonic()
        dry = self._plan.options.dry_run
        self._send_all()
        result = self._result
        if self._duplicates.count:
            result.duplicates = self._duplicates.count
            self._log.warning(
                "%s: %s rows have the identifier of an earlier one; all were kept in their order, so the last one counts",
                self._name, f"{result.duplicates:,}",
            )  # fmt: skip
        sent = self._journal.sent
        result.uploaded, result.batches, result.run_ids = sent.uploaded, sent.batches, sent.run_ids
        if result.removed:
            self._log.info("%s: %s rows are gone since the last run", self._name, f"{result.removed:,}")
        self._log.info(
            "%s: %s rows, %s sent in %s batches, %s rejected, %s unchanged, %.1f s%s",
            self._name, f"{result.rows:,}", f"{result.uploaded:,}", f"{result.batches:,}", f"{result.rejected:,}",
            f"{result.unchanged:,}", time.monotonic() - started, " (dry run: nothing was sent)" if dry else "",
        )  # fmt: skip
        if not dry:
            # Everything is sent: what fails from here on is told, and fails nothing, since another attempt would send it again.
            self._verify()
            if self._upload.changes is not None:
                self._upload.changes.commit(forgets_gone=self._knows_who_is_there)
            self._journal.clear()
        return result

    def _verify(self) -> None:
        if self._plan.options.verify is None or self._upload.read_back is None:
            return
        rows = self._sample if self._plan.options.verify == "sample" else self._to_go
        # An attempt that dies here is followed by one that only reads back.
        self._journal.save()
        self._upload.sleep(self._plan.verify_delay)
        zone = zoneinfo.ZoneInfo(self._plan.timezone)
        try:
            self._result.verified = verify(rows, self._upload.read_back, self._plan.resource, zone, self._log)
        except Exception as error:  # noqa: BLE001 - the upload itself is done
            self._log.warning("The rows were sent, but could not be read back: %s", error)

    def _check(self) -> str:
        """Read all rows, sending none; return the fingerprint of those that are to go."""
        result, first = self._result, list[Rejected]()
        digest = hashlib.blake2b(self._name.encode(), digest_size=16)
        self._begin_to_note()
        last = time.monotonic()
        # What is open of a source closes here also when something fails.
        with closing(self._checked()) as rows:
            for row in rows:
                result.rows += 1
                self._note_there(row)
                if isinstance(row, Rejected):
                    result.rejected += 1
                    self._upload.reject(row)
                    if len(first) < _REASONS_SHOWN:
                        first.append(row)
                elif self._is_to_go(row):
                    self._add(row, digest)
                else:
                    result.unchanged += 1
                if time.monotonic() - last >= _PROGRESS_SECONDS:
                    last = time.monotonic()
                    self._log.info("%s: %s rows checked, %s rejected", self._name, f"{result.rows:,}", f"{result.rejected:,}")
        self._upload.after_check()
        if self._dropped:
            told = ", ".join(f"{name} in {count:,} rows" for name, count in self._dropped.most_common(_FIELDS_SHOWN))
            self._log.warning("%s: values of fields that Custobar does not have are left out: %s", self._name, told)
        if result.rejected:
            summary = _summary(first, result, self._name, self._upload.place_of)
            if self._plan.options.on_invalid == "fail":
                raise InvalidRowsError(f"{summary}\nNothing was sent.", rejected=result.rejected)
            self._log.warning("%s", summary)
        if self._plan.when_removed is not None and self._upload.changes is not None:
            self._add_removed(self._plan.when_removed, self._upload.changes, digest)
        return str(digest.hexdigest())

    def _note_there(self, row: GoodRow | Rejected) -> None:
        changes = self._upload.changes
        if changes is None or not changes.keeps_external_ids:
            return
        if isinstance(row, GoodRow):
            name, _, external_id = (row.identity or "").partition("=")
            known_as = external_id if name == "external_id" else None
        else:
            known_as = row.external_id
        if known_as is None:
            self._nameless += 1
        elif isinstance(row, Rejected):
            changes.note_there(known_as, Standing.REJECTED)
        else:
            changes.note_there(known_as, Standing.LAST if row.is_irreversible else Standing.SENT)

    @property
    def _knows_who_is_there(self) -> bool:
        """Not where nothing has come in, or a row without an external_id may be anybody's."""
        return self._result.rows > 0 and not self._nameless

    def _add_removed(self, patch: Mapping[str, object], changes: Changes, digest: Any) -> None:
        """Add a row for each that the last run had and this one has not.

        :raises TooManyRemovedError: they are more than may be.
        """
        if not self._knows_who_is_there:
            why = f"{self._nameless:,} rows do not tell their external_id" if self._nameless else "no rows came in"
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
            row = self._patched(external_id, patch)
            self._result.removed += 1
            self._add(row, digest)

    def _patched(self, external_id: str, patch: Mapping[str, object]) -> GoodRow:
        # The patch's names are Custobar's.
        plan = replace(self._plan, field_mapping={})
        row = check_row(self._result.rows + self._result.removed, {"external_id": external_id, **patch}, plan)
        if isinstance(row, Rejected):
            raise InvalidArgumentError("when_removed", ", ".join(patch), "; ".join(row.reasons))
        if lost := [*row.dropped, *(name for name, value in patch.items() if value is None)]:
            raise InvalidArgumentError("when_removed", ", ".join(lost), "Custobar has no such field, or nothing to set it to")
        return row

    def _add(self, row: GoodRow, digest: Any) -> None:
        digest.update(row.data)
        digest.update(b"\n")
        self._to_go.add(row._replace(source=None) if row.source is not None else row)
        self._good += 1
        self._may_be_sent_again = self._may_be_sent_again and self._plan.may_be_sent_again(row.identity)
        if row.dropped:
            self._dropped.update(row.dropped)
        if row.identity is not None:
            self._duplicates.note(row.identity)

    def _checked(self) -> Generator[GoodRow | Rejected]:
        return self._judged(self._groups) if self._groups is not None else self._read()

    def _read(self) -> Generator[GoodRow | Rejected]:
        rows = iter(self._upload.rows)
        try:
            for position, row in enumerate(rows):
                yield check_row(position, row, self._plan)
        finally:
            if isinstance(rows, Generator):
                rows.close()

    def _judged(self, groups: Groups) -> Generator[GoodRow | Rejected]:
        """The rows once more, when all were read and the groups of all are known."""
        last = time.monotonic()
        with closing(Spool[GoodRow | Rejected]()) as spool, closing(self._read()) as rows:
            for row in rows:
                groups.note(row, is_to_go=isinstance(row, GoodRow) and row.group is not None and self._is_new(row))
                spool.add(storable(row))
                if time.monotonic() - last >= _PROGRESS_SECONDS:
                    last = time.monotonic()
                    self._log.info("%s: %s rows read, to know which belong together", self._name, f"{row.position + 1:,}")
            groups.noted()
            # Only rows that are not set aside count as uploaded.
            self._begin_to_note()
            yield from map(groups.judged, spool)

    def _begin_to_note(self) -> None:
        if self._upload.changes is not None:
            self._upload.changes.begin()
        self._result.new = self._result.changed = 0

    def _is_to_go(self, row: GoodRow) -> bool:
        # Asked of every row, as it takes note.
        is_new = self._is_new(row)
        return is_new if self._groups is None or row.group is None else self._groups.is_to_go(row.group)

    def _is_new(self, row: GoodRow) -> bool:
        changes = self._upload.changes
        if changes is None or row.identity is None:
            return True
        change = changes.change_of(row.identity, row.data)
        self._result.new += change == "new"
        self._result.changed += change == "changed"
        return change != "unchanged"

    def _refuse_to_guess(self) -> None:
        if self._journal.may_have_forgotten and self._good and not self._may_be_sent_again:
            raise PartlySentError(
                "This is not the task's first attempt, and this Airflow does not keep what an earlier one has sent. These"
                f" {self._name} have no identifier of their own, so what is sent again is there twice: nothing was sent. Look"
                " up in Custobar what has arrived, and send the rest by a new run; or give events_delivery='at_least_once'."
            )

    def _take_up(self, fingerprint: str) -> None:
        """Go on where an earlier attempt stopped, if there was one."""
        found = self._journal.load()
        fresh = Sent(fingerprint=fingerprint)
        at_most_once = self._plan.options.events_delivery == "at_most_once"
        if found is None:
            self._journal.start(fresh)
        elif found.fingerprint != fingerprint:
            if found.must_not_repeat and at_most_once and (found.rows or found.sending):
                raise PartlySentError(
                    f"An earlier attempt has sent {found.rows:,} rows of other {self._name}: what comes in has changed since."
                    " These rows have no identifier of their own, so what is sent again is there twice. Start a new run with"
                    " the rows that are missing, or give events_delivery='at_least_once'."
                )
            self._log.info("What comes in is not what an earlier attempt had begun to send: starting over")
            self._journal.start(fresh)
        else:
            self._journal.start(found)
            self._result.resumed = found.rows > 0
            if found.sending and at_most_once:
                self._journal.end("unknown", found.sending)
                raise PartlySentError(
                    f"An earlier attempt ended while it sent {_rows(found.rows, found.sending, self._name)}: nobody knows"
                    f" whether they have arrived. {self._way_out()}"
                )
            if found.rows:
                self._log.info("Going on after %s rows that an earlier attempt has sent", f"{found.rows:,}")

    def _send_all(self) -> None:
        last = time.monotonic()
        try:
            for batch in batches(self._to_send(), self._plan):
                if not self._plan.options.dry_run:
                    self._send_halving(batch)
                if time.monotonic() - last >= _PROGRESS_SECONDS:
                    last = time.monotonic()
                    sent = self._journal.sent
                    self._log.info(
                        "%s: %s of %s rows in %s batches sent",
                        self._name, f"{sent.rows:,}", f"{self._good:,}", f"{sent.batches:,}",
                    )  # fmt: skip
        except BaseException as error:
            # Whatever it is: Airflow retries a task that was told to stop or ran out of time, too.
            self._fail(error)
            raise

    def _to_send(self) -> Iterator[GoodRow]:
        """The good rows that are not sent yet."""
        to_skip = self._journal.sent.rows
        for row in self._to_go:
            if row.identity is not None:
                self._duplicates.add(row.identity)
            self._sample.add(row)
            if to_skip:
                to_skip -= 1
            else:
                yield row

    def _send_halving(self, batch: Sequence[GoodRow]) -> None:
        """Send ``batch``, in halves where the server finds it too large."""
        data = [row.data for row in batch]
        may_repeat = all(self._plan.may_be_sent_again(row.identity) for row in batch)
        self._journal.begin(len(batch), must_not_repeat=not may_repeat)
        try:
            run_id = self._upload.send(data, may_repeat)
        except PayloadTooLargeError:
            self._journal.end("refused", len(batch))
            if len(batch) == 1:
                raise
            for half in halves(batch):
                self._send_halving(half)
        else:
            self._journal.end("sent", len(batch), run_id)

    def _fail(self, error: BaseException) -> None:
        """Record how far it came, and say so.

        :raises PartlySentError: a next attempt must not simply start again.
        """
        journal = self._journal
        sent = journal.sent
        progress = f"{sent.rows:,} of {self._good:,} rows were sent before."
        # What is no error of ours broke off a request at a place that nobody knows.
        doubtful = sent.sending if getattr(error, "may_have_arrived", True) else 0
        if sent.sending:
            journal.end("unknown" if doubtful else "refused", sent.sending)
        elif sent.rows:
            journal.save()
        said = str(error) or type(error).__name__
        if sent.must_not_repeat:
            if doubtful and journal.outlives_this_process:
                raise PartlySentError(
                    f"{said} {progress} The next {_rows(sent.rows, doubtful, self._name)} may have arrived. {self._way_out()}"
                ) from error
            if not journal.outlives_this_process and (sent.uploaded or doubtful):
                raise PartlySentError(
                    f"{said} {progress} These {self._name} have no identifier of their own, so what is sent again is there"
                    " twice: look up in Custobar what has arrived, and send the rest."
                ) from error
        if fate_of(error) is Fate.FINAL and not sent.must_not_repeat:
            # Nobody goes on from here, and all of it may be sent again.
            journal.clear()
        if isinstance(error, CustobarError):
            error.add_advice(progress)

    def _way_out(self) -> str:
        return (
            f"These {self._name} have no identifier of their own, so they are not sent again by themselves: look up in Custobar"
            " what has arrived. Clear the task to go on after them, or give events_delivery='at_least_once' to send again what"
            " may be there already."
        )


def _rows(begun: int, count: int, name: str) -> str:
    return f"{count:,} rows of {name} (good rows {begun:,} to {begun + count - 1:,}, counted from 0)"


def _summary(first: Sequence[Rejected], result: UploadResult, name: str, place_of: Callable[[int], str] | None) -> str:
    lines = []
    for rejected in first:
        place = f" ({place_of(rejected.position)})" if place_of else ""
        lines.append(f"row {rejected.position}{place}: {'; '.join(rejected.reasons)}")
    more = result.rejected - len(first)
    return "\n".join(
        [
            f"{result.rejected:,} of {result.rows:,} rows of {name} cannot be uploaded:",
            *lines,
            *([f"and {more:,} more"] if more else []),
        ]
    )
