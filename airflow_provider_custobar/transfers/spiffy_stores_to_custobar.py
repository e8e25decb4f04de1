"""The customers of a shop at Spiffy Stores to Custobar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.spiffy.filters import build_filters
from airflow_provider_custobar.api.windows import Window, build_window
from airflow_provider_custobar.assets import spiffy_stores
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.hooks.spiffy_stores import SpiffyStoresHook
from airflow_provider_custobar.task.lineage import Dataset, Field, resource_dataset
from airflow_provider_custobar.task.run_period import check_period, period_arguments
from airflow_provider_custobar.task.upload_operator import CustobarUploadBaseOperator
from airflow_provider_custobar.upload.options import UploadOptions

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_custobar.upload.spiffy_customers import CustomerMapping

# In which zone the API reads times, and whether it includes them, is not documented.
_OVERLAP = timedelta(days=1)


class SpiffyStoresToCustobarOperator(CustobarUploadBaseOperator):
    """
    Send a shop's customers to Custobar, all of them or those that changed in a period.

    With a period, the shop is asked for a day more on either side, and customers are kept by their own ``updated_at``; who
    changes again after the period belongs to a later one. Telephone numbers, which are free texts in the shop, become E.164 as
    they are dialled in the address's country; those that cannot are left out and counted as ``phones_left_out`` in the result.

    Takes the arguments of :class:`~airflow_provider_custobar.task.upload_operator.CustobarUploadBaseOperator`, and:

    :param spiffy_stores_conn_id: The Spiffy Stores connection id. (templated)
    :param date: One day of the Custobar connection's time zone, such as ``{{ ds }}``. (templated)
    :param window_start: Start of the period, included, in place of ``date``. (templated)
    :param window_end: End of the period, not included. (templated)
    :param window: ``auto`` in place of all of these: the period that the DAG run stands for; see
        :func:`~airflow_provider_custobar.task.run_period.run_period`.
    :param filters: Further filters of the shop's API, such as ``{"marketing_status": "accepts_marketing"}``. (templated)
    :param query: A search, such as ``country:Australia -state:declined``. (templated)
    :param field_mapping: The shop's fields to Custobar's, on top of
        :data:`~airflow_provider_custobar.upload.spiffy_customers.DEFAULT_MAPPING`; None leaves a field out. (templated)
    :param id_prefix: Put in front of the shop's ids to make ``external_id``, such as ``spiffy-``. (templated)
    :param company_fields: Which of ``name``, ``state``, ``credit``, ``wholesale``, ``orders_count``, ``total_spent`` to send as
        fields of your own, ``COMPANY__credit`` and so on; amounts in hundredths. (templated)
    :param clear_empty: Let what is empty in the shop remove the field in Custobar. By default it is left out of the upload.
    """

    template_fields: Sequence[str] = (
        *CustobarUploadBaseOperator.common_template_fields,
        "spiffy_stores_conn_id",
        "date",
        "window_start",
        "window_end",
        "filters",
        "query",
        "id_prefix",
        "company_fields",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **CustobarUploadBaseOperator.template_fields_renderers,
        "filters": "json",
        "query": "json",
    }

    def __init__(
        self,
        *,
        spiffy_stores_conn_id: str = SpiffyStoresHook.default_conn_name,
        date: Any = None,
        window_start: Any = None,
        window_end: Any = None,
        window: Literal["auto"] | None = None,
        filters: Mapping[str, Any] | None = None,
        query: str | Mapping[str, Any] | None = None,
        field_mapping: Mapping[str, str | None] | None = None,
        id_prefix: str = "",
        company_fields: Sequence[str] = (),
        clear_empty: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(field_mapping=field_mapping, **kwargs)
        if self.resource != "customers":
            raise InvalidArgumentError("resource", self.resource, "the shop's customers are customers")
        check_period(date, window_start, window_end, window)
        self.spiffy_stores_conn_id = spiffy_stores_conn_id
        self.date = date
        self.window_start = window_start
        self.window_end = window_end
        self.window = window
        self.filters = filters
        self.query = query
        self.id_prefix = id_prefix
        self.company_fields = company_fields
        self.clear_empty = clear_empty
        self._mapping: CustomerMapping | None = None

    def source_fields(self, inputs: Sequence[Dataset]) -> Mapping[str, Sequence[Field]]:
        # Rows have Custobar's names already.
        sources = self._mapping.sources if self._mapping else {}
        return {target: [each.field(name) for each in inputs] for target, name in sources.items()}

    @property
    def options(self) -> UploadOptions:
        # Names are Custobar's by then, and are checked as those of any other mapping; what is empty was dealt with there.
        return replace(super().options, field_mapping=self._mapping.targets if self._mapping else None, clear_empty=False)

    @property
    def extra_result(self) -> dict[str, Any]:
        return {"phones_left_out": self._mapping.phones_left_out if self._mapping else 0}

    def make_rows(self, context: Context) -> Iterable[object]:
        # Only here, as in the hook's upload.
        from airflow_provider_custobar.upload.spiffy_customers import CustomerMapping  # noqa: PLC0415

        config = CustobarHook(self.custobar_conn_id).get_config()
        window = build_window(**period_arguments(self, context, config.timezone), timezone=config.timezone)
        build_filters(self.filters, query=self.query)
        period = _around(window)
        taken = next((name for name in self.filters or () if name in period), None)
        if taken is not None:
            raise InvalidArgumentError("filters", taken, "it is made of the period: give either")
        filters = {**(self.filters or {}), **period}
        hook = SpiffyStoresHook(self.spiffy_stores_conn_id)
        base_url = hook.get_config().base_url
        self.lineage.note(inputs=lambda: [resource_dataset(spiffy_stores.uri_of(base_url))])
        fields = [self.company_fields] if isinstance(self.company_fields, str) else self.company_fields
        mapping = self._mapping = CustomerMapping(
            field_mapping=self.field_mapping,
            id_prefix=self.id_prefix,
            company_fields=fields or (),
            company=self.company or config.company,
            clear_empty=self.clear_empty,
        )

        def read() -> Iterator[object]:
            for customer in hook.get_customers(filters=filters, query=self.query):
                if window is None or _changed_in(window, customer):
                    yield mapping.row(customer)
            if mapping.phones_left_out:
                self.log.warning("%s telephone numbers could not be made E.164, and are left out", mapping.phones_left_out)

        return read()


def _around(window: Window | None) -> dict[str, datetime]:
    if window is None:
        return {}
    return {"updated_at_min": window.start - _OVERLAP, "updated_at_max": window.end + _OVERLAP}


def _changed_in(window: Window, customer: Mapping[str, Any]) -> bool:
    """Who cannot be placed is sent: the same customer twice does no harm."""
    try:
        moment = datetime.fromisoformat(str(customer.get("updated_at")))
    except ValueError:
        return True
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) in window
