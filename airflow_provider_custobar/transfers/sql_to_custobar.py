"""The result of a query to Custobar."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.task.database import find_hook, names_of
from airflow_provider_custobar.task.lineage import Dataset, Field
from airflow_provider_custobar.task.query_operator import one_of
from airflow_provider_custobar.task.query_result import query_result
from airflow_provider_custobar.task.query_tables import tables_of
from airflow_provider_custobar.task.upload_operator import CustobarUploadBaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_custobar.upload.sql_rows import Result


class SqlToCustobarOperator(CustobarUploadBaseOperator):
    """
    Send the rows that a query selects to Custobar, in batches, after all of them were checked.

    The query is executed once, and its result kept in a temporary file on the worker: memory does not grow with the rows.
    Values become what Custobar expects: keys that are numbers become texts, 0 and 1 booleans, decimals numbers, arrays and JSON
    lists, dates and datetimes ISO 8601 (without an offset, in the connection's time zone). Money must be whole hundredths.
    What has no form in JSON is a reason against its row, not against the query: bytes, intervals, ``infinity``, years before 1
    and after 9999.

    An attempt that follows a failed one goes on after the rows that it has sent, if the query gives the same ones again, in the
    same order: ``ORDER BY`` sees to that.

    Takes the arguments of :class:`~airflow_provider_custobar.task.upload_operator.CustobarUploadBaseOperator`, and:

    :param sql: The query, or the name of a file that ends in ``.sql``. (templated)
    :param conn_id: The connection id of the database, of any type whose hook is one of common-sql's. (templated)
    :param parameters: Values for the query's placeholders, in the form that the database's driver has. (templated)
    :param clear_empty: Let NULL remove the field in Custobar. By default it is left out of the upload.
    :param database: The database, in place of the one that the connection names. (templated)
    :param hook_params: Further arguments for the database's hook; what is not here is taken from the connection's extra.
        (templated)
    """

    # A parameter may be NULL.
    data_fields: ClassVar[tuple[str, ...]] = ("parameters",)
    template_fields: Sequence[str] = (
        "sql",
        "conn_id",
        "parameters",
        "database",
        "hook_params",
        *CustobarUploadBaseOperator.common_template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **CustobarUploadBaseOperator.template_fields_renderers,
        "sql": "sql",
        "parameters": "json",
        "hook_params": "json",
    }

    def __init__(
        self,
        *,
        sql: str,
        conn_id: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        clear_empty: bool = False,
        database: str | None = None,
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        one_of("clear_empty", clear_empty, (True, False))
        self.sql = sql
        self.conn_id = conn_id
        self.parameters: Any = parameters
        self.clear_empty = clear_empty
        self.database = database
        self.hook_params = hook_params
        self._made_of: Mapping[str, Sequence[Field]] = {}

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        # Airflow's own place for this: MappedOperator calls it too.
        super()._do_render_template_fields(*args, **kwargs)
        # A text as well, which a template has made of a list: it is refused, and told of before that.
        if self.parameters is not None and not isinstance(self.parameters, Parameters):
            self.parameters = Parameters(self.parameters)

    def make_rows(self, context: Context) -> Iterable[object]:
        # Only here, as in the hook's upload.
        from airflow_provider_custobar.upload.sql_rows import SqlRows  # noqa: PLC0415

        if not isinstance(self.sql, str) or not self.sql.strip():
            raise InvalidArgumentError("sql", self.sql, "give a query; a template must not render to nothing")
        parameters = self.parameters.values if isinstance(self.parameters, Parameters) else self.parameters
        if parameters is not None and (isinstance(parameters, str) or not hasattr(parameters, "__len__")):
            raise InvalidArgumentError("parameters", type(parameters).__name__, "give a list, or a mapping by name")
        hook = find_hook(self.conn_id, self.hook_params, self.database)

        def note_tables(default_schema: str | None) -> None:
            self.lineage.note(inputs=lambda: self._tables(hook, default_schema))

        @contextmanager
        def execute() -> Iterator[Result]:
            self.log.info("Executing: %s", self.sql)
            with query_result(hook, self.sql, parameters, on_connect=note_tables) as result:
                yield result

        return SqlRows(execute, resource=self.resource, field_mapping=self.field_mapping, clear_empty=self.clear_empty)

    def source_fields(self, inputs: Sequence[Dataset]) -> Mapping[str, Sequence[Field]]:
        return self._made_of

    def _tables(self, hook: DbApiHook, default_schema: str | None) -> list[Dataset]:
        # Where SQLAlchemy does not know the database, its hook may.
        default_schema = default_schema or hook.get_openlineage_default_schema()
        tables, self._made_of = tables_of(self.sql, names_of(hook), default_schema)
        return tables


class Parameters:
    """Rendered parameters. OpenLineage's provider emits the attribute of this name of any task, and values are people's data:
    of what is no JSON it emits the type.
    """

    def __init__(self, values: object) -> None:
        self.values: Any = values

    def serialize(self) -> str:
        """As the page of rendered templates shows them."""
        return json.dumps(self.values, default=str)
