"""Operators that send data to Custobar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.export.targets import ObjectInfo, Sink
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.stopping import Stoppable
from airflow_provider_custobar.transfers.custobar_to_object_storage import object_storage_target
from airflow_provider_custobar.upload.plan import ON_INVALID, OnInvalid
from airflow_provider_custobar.upload.rows import Rejected
from airflow_provider_custobar.upload.uploader import PartlySentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_MOST_REASONS_LOGGED = 1_000


class CustobarUploadOperator(Stoppable, BaseOperator):
    """
    Send records to Custobar, in batches, after all of them were checked.

    Custobar only schedules an import: ``run_ids`` in the result name the imports. The result goes to XCom: ``resource``,
    ``rows``, ``uploaded``, ``rejected``, ``batches``, ``run_ids``, ``rejects_uri``.

    :param records: A list of mappings, or another task's output. (templated)
    :param resource: ``customers``, ``events``, ``sales``, ``products`` or ``shops``. (templated)
    :param field_mapping: The source's names to Custobar's, such as ``{"mail": "email"}``; other names stay. (templated)
    :param batch_size: Most rows in one request. (templated)
    :param max_batch_bytes: Most bytes in one request. (templated)
    :param on_invalid: ``fail``: nothing is sent if any row is bad. ``skip``: the good rows are sent.
    :param rejects_path: Object or file, by any ``ObjectStoragePath`` URL, for rejected rows: a JSON object a line, with
        ``position``, ``reasons`` and ``row``. Not written where every row is good. Without it, reasons go to the log.
        (templated)
    :param require_external_id: Refuse customers without one: they would update every customer with that e-mail address.
    :param allow_irreversible: Let rows through that forget or delete a customer for good.
    :param allow_unknown_names: Let fields through that Custobar's documentation does not list.
    :param dry_run: Do everything but send.
    :param custobar_conn_id: The Custobar connection id. (templated)
    """

    template_fields: Sequence[str] = (
        "records",
        "resource",
        "field_mapping",
        "batch_size",
        "max_batch_bytes",
        "rejects_path",
        "custobar_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"records": "json", "field_mapping": "json"}
    ui_color = "#d5f5e3"

    def __init__(
        self,
        *,
        records: Sequence[Mapping[str, Any]] | Any,
        resource: str = "customers",
        field_mapping: Mapping[str, str] | None = None,
        batch_size: int | str = 500,
        max_batch_bytes: int | str = 1_000_000,
        on_invalid: OnInvalid = "fail",
        rejects_path: str | None = None,
        require_external_id: bool = True,
        allow_irreversible: bool = False,
        allow_unknown_names: bool = False,
        dry_run: bool = False,
        custobar_conn_id: str = CustobarHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_invalid not in ON_INVALID:
            raise InvalidArgumentError("on_invalid", on_invalid, f"give one of {', '.join(ON_INVALID)}")
        self.records = records
        self.resource = resource
        self.field_mapping = field_mapping
        self.batch_size = batch_size
        self.max_batch_bytes = max_batch_bytes
        self.on_invalid = on_invalid
        self.rejects_path = rejects_path
        self.require_external_id = require_external_id
        self.allow_irreversible = allow_irreversible
        self.allow_unknown_names = allow_unknown_names
        self.dry_run = dry_run
        self.custobar_conn_id = custobar_conn_id

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        # Airflow's own place for this: MappedOperator calls it too.
        super()._do_render_template_fields(*args, **kwargs)
        if isinstance(self.records, (list, tuple)):
            self.records = Rows(self.records)

    def execute(self, context: Context) -> dict[str, Any]:
        if isinstance(self.records, (str, bytes, Mapping)) or not isinstance(self.records, Sequence):
            raise InvalidArgumentError(
                "records",
                type(self.records).__name__,
                "give a list of mappings; from another task take its .output, not a template, which gives a text",
            )
        rejects = _Rejects(self.rejects_path, self.log)
        with self.stoppable(), rejects:
            try:
                result = CustobarHook(self.custobar_conn_id).upload(
                    self.resource,
                    self.records,
                    reject=rejects.add,
                    # Before anything is sent, and where nothing will be: that is when the reasons are wanted most.
                    after_check=rejects.publish,
                    field_mapping=self.field_mapping,
                    batch_size=self.batch_size,
                    max_batch_bytes=self.max_batch_bytes,
                    on_invalid=self.on_invalid,
                    require_external_id=self.require_external_id,
                    allow_irreversible=self.allow_irreversible,
                    allow_unknown_names=self.allow_unknown_names,
                    dry_run=self.dry_run,
                )
            except PartlySentError as error:
                # Airflow's own retry would start again with the first row.
                raise AirflowFailException(str(error)) from error
        return {
            "resource": self.resource,
            "rows": result.rows,
            "uploaded": result.uploaded,
            "rejected": result.rejected,
            "batches": result.batches,
            "run_ids": result.run_ids,
            "rejects_uri": rejects.uri,
        }


class Rows(Sequence[Any]):
    """Rendered records. Airflow stores a task's rendered fields and shows them to everybody who may see the task; of the
    customers in these it stores the number.
    """

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def serialize(self) -> str:
        return f"<{len(self):,} records>"


class _Rejects:
    """Rejected rows as JSON Lines, in an object that comes to be with the first of them; without a path, their reasons in
    the log. A context manager that leaves nothing unpublished behind.
    """

    def __init__(self, path: str | None, log: Any) -> None:
        self.uri: str | None = None
        self._log = log
        self._logged = 0
        self._target = object_storage_target("rejects_path", path, None, replace=True) if path else None
        self._sink: Sink | None = None
        if self._target is not None:
            self._target.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._sink is not None:
            self._sink.abort()

    def add(self, rejected: Rejected) -> None:
        if self._target is None:
            self._tell(rejected)
            return
        if self._sink is None:
            self._sink = self._target.open(ObjectInfo(content_type="application/x-ndjson"))
        self._sink.write(rejected.as_json() + b"\n")

    def publish(self) -> None:
        if self._sink is not None and self._target is not None:
            self._sink.publish()
            self._sink = None
            self.uri = self._target.uri

    def _tell(self, rejected: Rejected) -> None:
        self._logged += 1
        if self._logged <= _MOST_REASONS_LOGGED:
            self._log.warning("Row %s is set aside: %s", rejected.position, "; ".join(rejected.reasons))
        elif self._logged == _MOST_REASONS_LOGGED + 1:
            self._log.warning("More rows are set aside than are told here: give rejects_path to have them all")
