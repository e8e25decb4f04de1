"""The sending of an upload: checked rows go to Custobar in batches, and a journal tells a later attempt how far it came."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from airflow_provider_custobar.api.errors import CustobarError, Fate, PayloadTooLargeError, fate_of
from airflow_provider_custobar.api.log_lines import counted
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.stream.progress_log import NowAndThen, PaceShare
from airflow_provider_custobar.upload.batches import batches, halves
from airflow_provider_custobar.upload.check import CheckedRows
from airflow_provider_custobar.upload.journal import Journal, Sent
from airflow_provider_custobar.upload.plan import UploadPlan
from airflow_provider_custobar.upload.results import PartlySentError
from airflow_provider_custobar.upload.rows import GoodRow
from airflow_provider_custobar.upload.verification import Sample

#: Sends one batch of encoded rows, again if it may be; returns the import's run id, if there is one.
Send = Callable[[Sequence[bytes], bool], str | None]


class Sending:
    """First :meth:`take_up`, then :meth:`run`; in a dry run only the latter, which then sends nothing."""

    def __init__(
        self,
        plan: UploadPlan,
        rows: CheckedRows,
        *,
        digest: str,
        send: Send,
        journal: Journal,
        log: logging.Logger,
        pacer: Pacer | None = None,
    ) -> None:
        self._plan = plan
        self._name = plan.resource.name
        self._rows = rows
        self._digest = digest
        self._send = send
        self._journal = journal
        self._log = log
        self._pacer = pacer
        self.sample = Sample()

    def take_up(self) -> bool:
        """Go on where an earlier attempt stopped; whether one has sent anything of these rows.

        :raises PartlySentError: nobody knows which of them an earlier attempt has sent, and they must not be sent twice.
        """
        if self._journal.may_have_forgotten and self._rows.count and not self._rows.may_be_sent_again:
            raise PartlySentError(
                "This is not the task's first attempt, and this Airflow does not keep what an earlier one has sent. These"
                f" {self._name} have no identifier of their own, so what is sent again is there twice: nothing was sent. Look"
                " up in Custobar what has arrived, and send the rest by a new run; or give events_delivery='at_least_once'."
            )
        found = self._journal.load()
        if found is not None and found.digest == self._digest:
            self._go_on(found)
            return found.rows > 0
        if found is not None:
            self._refuse_others(found)
            self._log.info("What comes in, or where it goes, is not what an earlier attempt had begun to send: starting over")
        self._journal.start(Sent(digest=self._digest))
        return False

    def _go_on(self, found: Sent) -> None:
        self._journal.start(found)
        if found.sending and self._is_at_most_once:
            self._journal.end("unknown", found.sending)
            raise PartlySentError(
                f"An earlier attempt ended while it sent {self._told(found.rows, found.sending)}: nobody knows"
                f" whether they have arrived. {self._way_out()}"
            )
        if found.rows:
            self._log.info("Going on after %s that an earlier attempt has sent", counted(found.rows, "row"))

    def _refuse_others(self, found: Sent) -> None:
        if found.must_not_repeat and self._is_at_most_once and (found.rows or found.sending):
            raise PartlySentError(
                f"An earlier attempt has sent {found.rows:,} rows of other {self._name}, or to another place: what comes in, or"
                " where it goes, has changed since. These rows have no identifier of their own, so what is sent again is there"
                " twice. Start a new run with the rows that are missing, or give events_delivery='at_least_once'."
            )

    @property
    def _is_at_most_once(self) -> bool:
        return self._plan.options.events_delivery == "at_most_once"

    def run(self) -> None:
        """Send what is not sent yet; count duplicates and draw the sample of all rows.

        :raises PartlySentError: rows without identifiers were sent or may have been, and then something failed.
        """
        line, pace = NowAndThen(), PaceShare(self._pacer)
        try:
            for batch in batches(self._unsent(), self._plan):
                if not self._plan.options.dry_run:
                    self._send_halving(batch)
                if line.is_due():
                    sent = self._journal.sent
                    self._log.info(
                        "%s of %s of %s sent so far, in %s%s",
                        f"{sent.rows:,}", counted(self._rows.count, "row"), self._name,
                        counted(sent.batches, "batch", "batches"), pace.in_words(),
                    )  # fmt: skip
        except BaseException as error:
            # Whatever it is: Airflow retries a task that was told to stop or ran out of time, too.
            self._fail(error)
            raise

    def _unsent(self) -> Iterator[GoodRow]:
        to_skip = self._journal.sent.rows
        for row in self._rows:
            if row.identity is not None:
                self._rows.duplicates.add(row.identity)
            self.sample.add(row)
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
            run_id = self._send(data, may_repeat)
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
        # What is no error of ours broke off a request at a place that nobody knows.
        doubtful = sent.sending if getattr(error, "may_have_arrived", True) else 0
        progress = f"{sent.rows:,} of {self._rows.count:,} rows were sent before."
        if not sent.rows and not getattr(error, "may_have_arrived", True):
            progress = "Nothing was sent."
        if sent.sending:
            journal.end("unknown" if doubtful else "refused", sent.sending)
        elif sent.rows:
            journal.save()
        said = str(error) or type(error).__name__
        if sent.must_not_repeat:
            if doubtful and journal.outlives_this_process:
                raise PartlySentError(
                    f"{said} {progress} The next {self._told(sent.rows, doubtful)} may have arrived. {self._way_out()}"
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

    def _told(self, begun: int, count: int) -> str:
        return f"{count:,} rows of {self._name} (good rows {begun:,} to {begun + count - 1:,}, counted from 0)"

    def _way_out(self) -> str:
        return (
            f"These {self._name} have no identifier of their own, so they are not sent again by themselves: look up in Custobar"
            " what has arrived. Clear the task to go on after them, or give events_delivery='at_least_once' to send again what"
            " may be there already."
        )
