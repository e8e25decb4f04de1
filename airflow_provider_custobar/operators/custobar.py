"""Operators that send data to Custobar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.task.upload_operator import CustobarUploadBaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class CustobarUploadOperator(CustobarUploadBaseOperator):
    """
    Send records to Custobar, in batches, after all of them were checked.

    Takes the arguments of :class:`~airflow_provider_custobar.task.upload_operator.CustobarUploadBaseOperator`, and:

    :param records: A list of mappings, or another task's output. (templated)
    """

    data_fields: ClassVar[tuple[str, ...]] = ("records",)
    template_fields: Sequence[str] = ("records", *CustobarUploadBaseOperator.common_template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **CustobarUploadBaseOperator.template_fields_renderers,
        "records": "json",
    }

    def __init__(self, *, records: Sequence[Mapping[str, Any]] | Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.records = records

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        # Airflow's own place for this: MappedOperator calls it too.
        super()._do_render_template_fields(*args, **kwargs)
        if isinstance(self.records, (list, tuple)):
            self.records = Rows(self.records)

    def make_rows(self, context: Context) -> Iterable[object]:
        if isinstance(self.records, (str, bytes, Mapping)) or not isinstance(self.records, Sequence):
            raise InvalidArgumentError(
                "records",
                type(self.records).__name__,
                "give a list of mappings; from another task take its .output, not a template, which gives a text",
            )
        return self.records


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
