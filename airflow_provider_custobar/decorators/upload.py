"""``@task.custobar_upload``: a function's rows, sent to Custobar."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    task_decorator_factory,
)

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.task.compat import arguments_of
from airflow_provider_custobar.task.upload_operator import CustobarUploadBaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _CustobarUploadDecoratedOperator(DecoratedOperator, CustobarUploadBaseOperator):
    """See :func:`custobar_upload_task`."""

    data_fields: ClassVar[tuple[str, ...]] = ("op_args", "op_kwargs")
    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *CustobarUploadBaseOperator.common_template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **CustobarUploadBaseOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.custobar_upload"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if inspect.iscoroutinefunction(python_callable) or inspect.isasyncgenfunction(python_callable):
            raise InvalidArgumentError(
                "python_callable", python_callable.__name__, "a function of @task.custobar_upload cannot be async"
            )
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)

    def make_rows(self, context: Context) -> Iterable[object]:
        # Only here, as in the hook's upload.
        from airflow_provider_custobar.upload.function_rows import function_rows  # noqa: PLC0415

        context_merge(context, self.op_kwargs)
        arguments = arguments_of(self.python_callable, self.op_args, context)
        return function_rows(self.python_callable(*self.op_args, **arguments))


def custobar_upload_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """
    Send the rows that a function yields, or returns, to Custobar, in batches, after all of them were checked.

    ::

        @task.custobar_upload(resource="customers", on_invalid="skip")
        def loyalty(day: str) -> Iterator[dict[str, Any]]:
            for member in members_of(day):
                yield {"external_id": member.id, "tags.add": [member.level]}

        loyalty("{{ ds }}")

    Rows are mappings or dataclasses, from a generator or a list, or those of a pandas DataFrame, in which missing values are
    left out (of Polars, return ``frame.iter_rows(named=True)``). They wait in a temporary file of the worker until all are
    checked, and never come into XCom, which has the upload's result.

    Takes the arguments of :class:`~airflow_provider_custobar.task.upload_operator.CustobarUploadBaseOperator`.
    """
    # Airflow would take it from the function, which returns rows; the task returns the upload's result.
    kwargs.setdefault("multiple_outputs", True)
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=_CustobarUploadDecoratedOperator, **kwargs
    )
