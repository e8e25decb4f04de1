"""What every upload to Custobar has in common; operators differ in where their rows come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.stores.local import canonical_uri
from airflow_provider_custobar.stores.protocol import Location, Target
from airflow_provider_custobar.task.attempt import TaskAttempt
from airflow_provider_custobar.task.compat import task_state_store
from airflow_provider_custobar.task.execution import CustobarTask
from airflow_provider_custobar.task.lineage import Dataset, Field, TellsLineage, custobar_dataset
from airflow_provider_custobar.task.names import check_name
from airflow_provider_custobar.task.object_storage import locate
from airflow_provider_custobar.upload.options import (
    EventsDelivery,
    OnInvalid,
    UnknownFields,
    UploadOptions,
    Verify,
    check_choices,
)
from airflow_provider_custobar.upload.rejects import Rejects

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_custobar.upload.journal import Journal


class CustobarUploadBaseOperator(TellsLineage, CustobarTask, BaseOperator):
    """
    Send rows to Custobar, in batches, after all of them were checked.

    Custobar only schedules an import: ``run_ids`` in the result name the imports. The result goes to XCom: ``resource``,
    ``rows``, ``uploaded``, ``rejected``, ``new``, ``changed``, ``unchanged``, ``removed``, ``duplicates``, ``batches``,
    ``run_ids``, ``rejects_uri``, ``resumed``, ``verified``, ``digest``; what is ``new`` and so on is known with
    ``only_changed``.

    Where Airflow keeps a task's state (3.3), an attempt that follows a failed one goes on after the rows that it has sent, if
    they are still the same.

    :param resource: ``customers``, ``events``, ``sales``, ``products`` or ``shops``. (templated)
    :param field_mapping: The source's names to Custobar's, such as ``{"mail": "email", "notes": None}``; None leaves a field
        out, other names stay. (templated)
    :param batch_size: Most rows in one request. (templated)
    :param max_batch_bytes: Most bytes in one request. (templated)
    :param on_invalid: ``fail``: nothing is sent if any row is bad. ``skip``: the good rows are sent.
    :param rejects_path: Object or file, by any ``ObjectStoragePath`` URL, for rejected rows: a JSON object a line, with
        ``position``, ``reasons`` and ``row``. An operator that reads S3 or GCS takes its own connection for URLs there, and
        a plain name for one in its bucket. Not written where every row is good. Without it, reasons go to the log. (templated)
    :param require_external_id: Refuse customers without one: they would update every customer with that e-mail address.
    :param allow_irreversible: Let rows through that forget or delete a customer for good.
    :param unknown_fields: What to do with fields that Custobar has none for: ``fail`` refuses their rows; ``drop`` leaves them
        out and logs which and how often; ``send`` sends them.
    :param company: The prefix of the tenant's own fields, ``COMPANY__name``. By default the connection's host tells it, where
        it is ``COMPANY.custobar.com``; otherwise any will do. (templated)
    :param events_delivery: What to do with a batch of rows without identifiers (all events, sales without ``external_id``) that
        may have arrived: ``at_most_once`` fails the task, names the batch, and goes on after it when the task is cleared;
        ``at_least_once`` sends it again, so that its rows may be there twice.
    :param verify: Read rows back by ``external_id`` afterwards and report differences: ``sample``, 20 of them, or ``all``. One
        request for each.
    :param verify_delay: Seconds between the last batch and that: Custobar imports later than it answers. (templated)
    :param only_changed: Send only the rows that are not as they were when they were last uploaded with this ``state_path``.
    :param state_path: Object or file, named as ``rejects_path``, that keeps a digest of each row (an SQLite database, some 35
        bytes a row). Remove it to send all rows again. (templated)
    :param when_removed: With ``only_changed``: fields to send, by ``external_id``, for rows that the last run had and this one
        has not, such as ``{"tags.remove": ["gold"]}`` or ``{"can_email": False}``. A run without any row, or with one
        whose ``external_id`` cannot be told, takes nobody for removed. The state then holds the external_ids as they are;
        without this argument it holds digests only. (templated)
    :param max_removed: Most rows that may be removed, a number or a share of those of the last run (``0.1``, ``"10%"``): with
        more, nothing is sent. (templated)
    :param dry_run: Do everything but send; the result tells what would be new, changed, unchanged and removed.
    :param expected_digest: The ``digest`` of an earlier result, such as ``{{ ti.xcom_pull('preview')['digest'] }}`` of a dry
        run: it stands for the rows that were to go, in their order, and for where to. If anything else would be sent, the task
        fails for good, and nothing is sent. (templated)
    :param custobar_conn_id: The Custobar connection id. (templated)
    :param multiple_outputs: Push each key of the result by itself as well, for ``task.output["uploaded"]``.
    """

    common_template_fields: ClassVar[tuple[str, ...]] = (
        "resource",
        "field_mapping",
        "batch_size",
        "max_batch_bytes",
        "rejects_path",
        "company",
        "verify_delay",
        "state_path",
        "when_removed",
        "max_removed",
        "expected_digest",
        "custobar_conn_id",
    )
    template_fields: Sequence[str] = common_template_fields
    template_fields_renderers: ClassVar[dict[str, str]] = {"field_mapping": "json", "when_removed": "json"}
    ui_color = "#d5f5e3"

    def __init__(
        self,
        *,
        resource: str = "customers",
        field_mapping: Mapping[str, Any] | None = None,
        batch_size: int | str = 500,
        max_batch_bytes: int | str = 1_000_000,
        on_invalid: OnInvalid = "fail",
        rejects_path: str | None = None,
        require_external_id: bool = True,
        allow_irreversible: bool = False,
        unknown_fields: UnknownFields = "fail",
        company: str | None = None,
        events_delivery: EventsDelivery = "at_most_once",
        verify: Verify = None,
        verify_delay: float | str = 60,
        only_changed: bool = False,
        state_path: str | None = None,
        when_removed: Mapping[str, Any] | None = None,
        max_removed: float | str = 0.1,
        dry_run: bool = False,
        expected_digest: str | None = None,
        custobar_conn_id: str = CustobarHook.default_conn_name,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        check_choices(on_invalid=on_invalid, events_delivery=events_delivery, verify=verify, unknown_fields=unknown_fields)
        self.resource = resource
        self.field_mapping = field_mapping
        self.batch_size = batch_size
        self.max_batch_bytes = max_batch_bytes
        self.on_invalid = on_invalid
        self.rejects_path = rejects_path
        self.require_external_id = require_external_id
        self.allow_irreversible = allow_irreversible
        self.unknown_fields = unknown_fields
        self.company = company
        self.events_delivery = events_delivery
        self.verify = verify
        self.verify_delay = verify_delay
        self.only_changed = only_changed
        self.state_path = state_path
        self.when_removed = when_removed
        self.max_removed = max_removed
        self.dry_run = dry_run
        self.expected_digest = expected_digest
        self.custobar_conn_id = custobar_conn_id

    @abstractmethod
    def make_rows(self, context: Context) -> Iterable[object]:
        """The rows, which are iterated once; what can be refused of their source is refused here."""

    @property
    def source_uris(self) -> Sequence[str]:
        """The objects that the rows come from; known once :meth:`make_rows` was called."""
        return ()

    def source_fields(self, inputs: Sequence[Dataset]) -> Mapping[str, Sequence[Field]]:
        """For lineage: of which fields of the inputs each field of a row is made, as far as that is known beforehand."""
        return {name: [each.field(name) for each in inputs] for name in self.field_mapping or ()}

    @property
    def options(self) -> UploadOptions:
        """Known once :meth:`make_rows` was called."""
        names = (each.name for each in fields(UploadOptions))
        return UploadOptions(**{name: getattr(self, name) for name in names if hasattr(self, name)})

    @property
    def extra_result(self) -> dict[str, Any]:
        """What only some sources have to tell afterwards."""
        return {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Everything that can be refused is refused before the first request to Custobar."""
        with self.executing():
            return self._upload_all(context)

    def _upload_all(self, context: Context) -> dict[str, Any]:
        # Only here, as in the hook's upload.
        from airflow_provider_custobar.upload.change_state import kept_changes  # noqa: PLC0415

        self._check_only_changed()
        hook = CustobarHook(self.custobar_conn_id)
        base_url = hook.get_config().base_url
        rows = self.make_rows(context)
        if not self.dry_run:
            self.lineage.note(outputs=lambda: [custobar_dataset(base_url, self.resource)])
        rejects_place, state_place = self._locations()
        told = f"Checking {self.resource} for {base_url}; nothing will be sent (dry run)"
        self.log.info("%s", in_lines(told if self.dry_run else f"Uploading {self.resource} to {base_url}"))
        with ExitStack() as stack:
            attempt = TaskAttempt(context)
            rejects = stack.enter_context(_rejects(rejects_place.target, attempt)) if rejects_place is not None else None
            changes = None
            if state_place is not None:
                tenant = f"{self.resource} of {base_url}"
                changes = stack.enter_context(
                    kept_changes(
                        state_place,
                        tenant,
                        keeps_external_ids=self.when_removed is not None,
                        keep=not self.dry_run,
                        object_id=attempt.object_id(state_place.uri),
                        may_have_debris=attempt.is_later,
                        log=self.log,
                    )
                )
            result = hook.run_upload(
                self.options,
                rows,
                reject=rejects.add if rejects is not None else None,
                # Before anything is sent, and where nothing will be: that is when the reasons are wanted most.
                after_check=rejects.publish if rejects is not None else lambda: None,
                journal=self._journal(context),
                changes=changes,
            )
        if not self.dry_run:
            self.lineage.note(outputs=lambda: [self._sent_to(base_url, result.uploaded)])
        self.lineage.tell(hook)
        return {
            "resource": self.resource,
            "rows": result.rows,
            "uploaded": result.uploaded,
            "rejected": result.rejected,
            "new": result.new,
            "changed": result.changed,
            "unchanged": result.unchanged,
            "removed": result.removed,
            "duplicates": result.duplicates,
            "batches": result.batches,
            "run_ids": result.run_ids,
            "rejects_uri": rejects.uri if rejects is not None else None,
            "resumed": result.resumed,
            "verified": asdict(result.verified) if result.verified else None,
            "digest": result.digest,
            **self.extra_result,
        }

    def _sent_to(self, base_url: str, rows: int) -> Dataset:
        mapping = self.options.field_mapping or {}
        made_of: dict[str, list[Field]] = {}
        for name, fields_of_source in self.source_fields(self.lineage.inputs).items():
            target = mapping.get(name, name)
            if target is not None and fields_of_source:
                # "tags.add" changes tags.
                made_of.setdefault(target.partition(".")[0], []).extend(fields_of_source)
        return custobar_dataset(base_url, self.resource, fields=made_of, made_of=made_of, rows=rows)

    def _journal(self, context: Context) -> Journal:
        from airflow_provider_custobar.upload.journal import Journal  # noqa: PLC0415 - as above

        ti: Any = context.get("ti")
        store = None if self.dry_run else task_state_store(context)
        return Journal(
            store,
            is_first_attempt=ti is None or ti.try_number <= 1,
            max_tries=None if ti is None else ti.max_tries,
            logger=self.log,
        )

    def location(self, argument: str, value: object) -> Location:
        """Where an argument leads that names an object to be written beside the upload."""
        return locate(argument, check_name(argument, value))

    def _locations(self) -> list[Location | None]:
        """Those of ``rejects_path`` and ``state_path``. What is written replaces nothing that is read, nor each other."""
        taken = {canonical_uri(uri) for uri in self.source_uris}
        locations: list[Location | None] = []
        written = {"rejects_path": self.rejects_path, "state_path": self.state_path if self.only_changed else None}
        for argument, path in written.items():
            location = self.location(argument, path) if path is not None else None
            locations.append(location)
            if location is not None:
                # A URL may also hold a connection's name, or its scheme another spelling.
                uri = canonical_uri(location.uri)
                if uri in taken:
                    accepted = "it would replace what is read, or is written besides: give it a name of its own"
                    raise InvalidArgumentError(argument, path, accepted)
                taken.add(uri)
        return locations

    def _check_only_changed(self) -> None:
        if self.only_changed and not self.state_path:
            accepted = "only_changed=True needs an object that it can keep digests in"
            raise InvalidArgumentError("state_path", self.state_path, accepted)
        if self.when_removed is not None and not self.only_changed:
            raise InvalidArgumentError(
                "when_removed", self.when_removed, "it needs only_changed=True, which keeps what was there"
            )
        if self.only_changed and self.resource == "events":
            raise InvalidArgumentError("only_changed", True, "events have no identifier by which one could be known again")


def _rejects(target: Target, attempt: TaskAttempt) -> Rejects:
    return Rejects(target, object_id=attempt.object_id(target.uri), may_have_debris=attempt.is_later)
