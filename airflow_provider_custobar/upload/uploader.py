"""The upload loop. It exists once; sources differ only in how they yield rows."""

from __future__ import annotations

import logging
import time
import zoneinfo
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_custobar.api.log_lines import counted, in_lines
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.upload.changes import Changes
from airflow_provider_custobar.upload.check import Check, CheckedRows
from airflow_provider_custobar.upload.journal import Journal
from airflow_provider_custobar.upload.plan import UploadPlan, digest_of
from airflow_provider_custobar.upload.results import DigestMismatchError, UploadResult
from airflow_provider_custobar.upload.rows import GoodRow, Rejected
from airflow_provider_custobar.upload.sending import Send, Sending
from airflow_provider_custobar.upload.verification import ReadBack, Verification, verify

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Everything that one upload needs.

    ``rows`` are read once. What is good of them waits in a file until all are checked, so that nothing is sent where
    ``on_invalid="fail"`` and any row is bad, and memory holds one batch at a time. ``reject`` gets each bad row as it is found;
    without it the log tells them. ``after_check`` is called once when all were found, before any is sent. With ``changes``,
    only rows go that are not as they were. ``destination`` is the tenant's address, for the digest. ``place_of`` tells where a
    row stands, by its position, which is told without it. ``pacer`` is what ``send`` waits for. ``read_back`` is needed where
    the plan verifies; ``sleep`` waits for that.
    """

    rows: Iterable[object]
    place_of: Callable[[int], str] | None = None
    plan: UploadPlan
    destination: str = ""
    send: Send
    reject: Callable[[Rejected], None] | None = None
    after_check: Callable[[], None] = lambda: None
    journal: Journal = field(default_factory=lambda: Journal(None))
    changes: Changes | None = None
    read_back: ReadBack | None = None
    pacer: Pacer | None = None
    sleep: Callable[[float], Any] = time.sleep
    log: logging.Logger = log

    def run(self) -> UploadResult:
        """Check all rows, then send them.

        :raises InvalidRowsError: some rows are bad, and ``on_invalid="fail"``; shows the first ten by position and reason.
        :raises TooManyRemovedError: more rows than may be are gone since the last run.
        :raises DigestMismatchError: other rows would be sent than ``expected_digest`` stands for.
        :raises PartlySentError: rows without identifiers were sent or may have been, and then something failed.
        """
        plan, dry = self.plan, self.plan.options.dry_run
        with closing(CheckedRows(plan)) as rows:
            check = Check(
                plan, rows,
                changes=self.changes, reject=self.reject, after_check=self.after_check, place_of=self.place_of, log=self.log,
            )  # fmt: skip
            result = check.run(self.rows)
            result.digest = digest_of(plan, self.destination, rows.fingerprint)
            sending = Sending(
                plan, rows, digest=result.digest, send=self.send, journal=self.journal, log=self.log, pacer=self.pacer
            )
            if plan.expected_digest not in (None, result.digest):
                return self._sent_before(result, plan.expected_digest, rows.count)
            if not dry:
                result.resumed = sending.take_up()
                if rows.count and self.changes is not None:
                    self.changes.about_to_send()
            started = time.monotonic()
            sending.run()
            sent = self.journal.sent
            result.uploaded, result.batches, result.run_ids = sent.uploaded, sent.batches, sent.run_ids
            result.duplicates = rows.duplicates.count
            self._tell(result, time.monotonic() - started)
            if not dry:
                # Everything is sent: what fails from here on is told, and fails nothing, since another attempt would send it
                # again.
                result.verified = self._verified(sending.sample if plan.options.verify == "sample" else rows)
                if self.changes is not None:
                    self.changes.commit()
                self.journal.finish(keep=plan.expected_digest is not None)
        return result

    def _sent_before(self, result: UploadResult, expected: str, count: int) -> UploadResult:
        """What an earlier attempt has sent to its end, before its worker died: by now it is unchanged, or the source is ahead.

        :raises DigestMismatchError: there was no such attempt.
        """
        found = None if self.plan.options.dry_run else self.journal.load()
        if found is not None and found.digest != expected:
            found = None
        if found is None or found.done_within is None:
            if found is None or not found.must_not_repeat:
                self.journal.clear()
            before = f" An earlier attempt has sent {found.rows:,} rows of what was expected." if found and found.rows else ""
            raise DigestMismatchError(
                f"{count:,} rows of {self.plan.resource.name} would go to {self.destination}, with the digest {result.digest}."
                f" That is not what was expected, {expected}: rows, or where they go, have changed since."
                f"{before} Nothing was sent. Make another dry run, and give the digest that it tells."
            )
        self.log.info("All that was expected was sent by an earlier attempt: nothing is left to send")
        result.uploaded, result.batches, result.run_ids = found.uploaded, found.batches, found.run_ids
        result.digest, result.resumed = expected, True
        return result

    def _tell(self, result: UploadResult, seconds: float) -> None:
        name = self.plan.resource.name
        if result.duplicates:
            self.log.warning(
                "%s of %s with the identifier of an earlier one: all were kept in their order, so the last one counts",
                counted(result.duplicates, "row"), name,
            )  # fmt: skip
        sent = f"{counted(result.uploaded, 'row')} of {name} sent in {counted(result.batches, 'batch', 'batches')}"
        if not result.uploaded:
            sent = f"{'Dry run: nothing' if self.plan.options.dry_run else 'Nothing'} was sent of {name}"
        gone = f", {result.removed:,} gone since the last run" if result.removed else ""
        self.log.info(
            "%s: %s came in, %s rejected, %s unchanged%s (%.1f s)",
            sent, counted(result.rows, "row"), f"{result.rejected:,}", f"{result.unchanged:,}", gone, seconds,
        )  # fmt: skip

    def _verified(self, rows: Iterable[GoodRow]) -> Verification | None:
        if self.plan.options.verify is None or self.read_back is None:
            return None
        # An attempt that dies here is followed by one that only reads back.
        self.journal.save()
        self.log.info("Waiting %g s (verify_delay) before rows are read back", self.plan.verify_delay)
        self.sleep(self.plan.verify_delay)
        zone = zoneinfo.ZoneInfo(self.plan.timezone)
        try:
            return verify(rows, self.read_back, self.plan.resource, zone, self.log, place_of=self.place_of)
        except Exception as error:  # noqa: BLE001 - the upload itself is done
            self.log.warning("%s", in_lines(f"The rows were sent, but could not be read back: {error}"))
            return None
