"""What all operators that read from Custobar have in common: what is asked for, of which period."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import InvalidArgumentError, whole_number
from airflow_provider_custobar.api.query import ON_BAD_TIMESTAMP, OnBadTimestamp, Query, build_query
from airflow_provider_custobar.api.resources import ApiFormat
from airflow_provider_custobar.api.windows import Window
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.stream.endings import ON_EMPTY, ON_INCOMPLETE, IncompleteWindowError, OnEmpty, OnIncomplete
from airflow_provider_custobar.task.execution import CustobarTask
from airflow_provider_custobar.task.lineage import TellsLineage
from airflow_provider_custobar.task.run_period import check_period, period_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

API_FORMATS = ("auto", "json", "csv")
_MOST_LOOKBACK_DAYS = 3_660


class CustobarQueryOperator(TellsLineage, CustobarTask, BaseOperator):
    """
    Asks Custobar for the records of one resource.

    :param resource: ``customers``, ``events``, ``sales`` or ``products``. (templated)
    :param event_types: Types of events; needed for events, and for them only. (templated)
    :param date: One day of the tenant's time zone, such as ``{{ ds }}``; events and sales only. (templated)
    :param window_start: Start of the period, included, in place of ``date``. (templated)
    :param window_end: End of the period, not included. (templated)
    :param window: ``auto`` in place of all of these: the period that the DAG run stands for, whatever its schedule; see
        :func:`~airflow_provider_custobar.task.run_period.run_period`.
    :param lookback: That many days before ``date`` once more, for records that Custobar got late. With Airflow 3.3 assets in
        ``outlets`` get the partitions of those that have changed, beside the run's own. (templated)
    :param on_bad_timestamp: What to do with a record that cannot be placed in the window, since it has no readable timestamp:
        ``fail``, ``keep`` it or ``drop`` it. ``bad_timestamps`` in the result counts them.
    :param filters: Custobar's filters by name, such as ``{"country": "FI"}``. (templated)
    :param fields: Names of the fields to export; all by default. (templated)
    :param order: Names of the fields to sort by, with ``-`` for descending. (templated)
    :param page_size: Records a request; the API's maximum by default (10,000 JSON, 100,000 CSV). (templated)
    :param api_format: Which pages to ask the API for: ``json``, ``csv`` (ten times as many records a request) or ``auto``.
    :param on_empty: What to do where there are no rows: ``write`` that there are none, ``skip`` writing, or ``fail``.
        With ``skip``, what an earlier run has written under the same names stays as it is: objects, a manifest, a table's rows.
    :param on_incomplete: What to do with a window that is not over yet, whose last records are still to come: ``warn`` and go
        on, ``fail`` (a later attempt may find it over), or ``skip`` the task; the last two before the first request.
    :param allow_unknown_names: Let filters, fields and event types through that Custobar's documentation does not list.
    :param custobar_conn_id: The Custobar connection id. (templated)
    :param multiple_outputs: Push each key of the result by itself as well, for ``task.output["uris"]``.
    """

    query_template_fields: ClassVar[tuple[str, ...]] = (
        "resource",
        "event_types",
        "date",
        "window_start",
        "window_end",
        "lookback",
        "filters",
        "fields",
        "order",
        "page_size",
        "custobar_conn_id",
    )
    template_fields: Sequence[str] = query_template_fields
    template_fields_renderers: ClassVar[dict[str, str]] = {"filters": "json"}
    ui_color = "#d6eaf8"

    def __init__(
        self,
        *,
        resource: str,
        event_types: str | Sequence[str] | None = None,
        date: Any = None,
        window_start: Any = None,
        window_end: Any = None,
        window: Literal["auto"] | None = None,
        lookback: int | str = 0,
        on_bad_timestamp: OnBadTimestamp = "fail",
        filters: Mapping[str, Any] | None = None,
        fields: str | Sequence[str] | None = None,
        order: str | Sequence[str] | None = None,
        page_size: int | str | None = None,
        api_format: Literal["auto", "json", "csv"] = "auto",
        on_empty: OnEmpty = "write",
        on_incomplete: OnIncomplete = "warn",
        allow_unknown_names: bool = False,
        custobar_conn_id: str = CustobarHook.default_conn_name,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        one_of("api_format", api_format, API_FORMATS)
        one_of("on_empty", on_empty, ON_EMPTY)
        one_of("on_incomplete", on_incomplete, ON_INCOMPLETE)
        one_of("on_bad_timestamp", on_bad_timestamp, ON_BAD_TIMESTAMP)
        check_period(date, window_start, window_end, window)
        self.resource = resource
        self.event_types = event_types
        self.date = date
        self.window_start = window_start
        self.window_end = window_end
        self.window = window
        self.lookback = lookback
        self.on_bad_timestamp = on_bad_timestamp
        self.filters = filters
        self.fields = fields
        self.order = order
        self.page_size = page_size
        self.api_format = api_format
        self.on_empty = on_empty
        self.on_incomplete = on_incomplete
        self.allow_unknown_names = allow_unknown_names
        self.custobar_conn_id = custobar_conn_id

    @abstractmethod
    def page_format(self, draft: Query) -> ApiFormat:
        """Which pages to ask for, once it is known which fields.

        :raises InvalidArgumentError: they cannot be had in the format that the user wants.
        """

    def make_query(self, config: ClientConfig, context: Context) -> Query:
        """The rendered arguments, checked.

        :raises InvalidArgumentError: names the argument, its value and what is accepted.
        """
        period = period_arguments(self, context, config.timezone)
        build = partial(
            build_query,
            self.resource,
            filters=self.filters,
            fields=self.fields,
            order=self.order,
            event_types=self.event_types,
            **period,
            on_bad_timestamp=self.on_bad_timestamp,
            allow_unknown_names=self.allow_unknown_names,
            timezone=config.timezone,
            trust_day_filter=config.trust_day_filter,
        )
        # Which pages to ask for may depend on the fields, which are known once they are checked.
        return build(page_size=self.page_size, api_format=self.page_format(build()))

    def window_is_complete(self, window: Window | None) -> bool | None:
        """Whether ``window`` is over, so that nothing more happens in it; None without one. Does as ``on_incomplete`` says.

        :raises IncompleteWindowError: it is not over, and ``on_incomplete`` says ``fail``.
        :raises AirflowSkipException: it is not over, and ``on_incomplete`` says ``skip``.
        """
        if window is None:
            return None
        if window.end <= datetime.now(UTC):
            return True
        if self.on_incomplete == "warn":
            self.log.warning("Not over yet, so what happens until its end will be missing: the window %s", window)
            return False
        text = f"Nothing was asked for, as on_incomplete={self.on_incomplete!r} and the window is not over yet: {window}"
        raise IncompleteWindowError(text) if self.on_incomplete == "fail" else AirflowSkipException(text)

    def days_before(self, query: Query) -> list[Window]:
        """The days that ``lookback`` asks for beside the window, oldest first.

        :raises InvalidArgumentError: the window is not one day.
        """
        days = whole_number("lookback", self.lookback, least=0, most=_MOST_LOOKBACK_DAYS)
        window = query.window
        if not days:
            return []
        if window is None or not window.is_whole_days or len(window.days) != 1:
            raise InvalidArgumentError(
                "lookback", self.lookback, f"it goes with a window of one day of the tenant's, not with {window or 'none'}"
            )
        return window.days_before(days)


def one_of(argument: str, value: object, accepted: Sequence[object]) -> None:
    """Check a choice.

    :raises InvalidArgumentError: it is none.
    """
    if value not in accepted:
        raise InvalidArgumentError(argument, value, f"give one of {', '.join(map(str, accepted))}")


def described(query: Query) -> str:
    """What goes on a line about a query's resource: which types of events, of which period."""
    types = f", of type {', '.join(query.event_types)}" if query.event_types else ""
    period = f", in {query.window}" if query.window else ""
    return f"{types}{period}"


def interval(start: datetime, end: datetime) -> dict[str, Any]:
    """A period as it is told in XCom and manifests."""
    return {"start": start.isoformat(), "end": end.isoformat()}
