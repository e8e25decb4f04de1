"""The hook: an Airflow connection turned into a Custobar client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_custobar.api.config import ClientConfig, config_from_connection
from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.api.query import Query, build_query
from airflow_provider_custobar.get_provider_info import get_provider_info
from airflow_provider_custobar.upload.options import EventsDelivery, OnInvalid, UnknownFields, UploadOptions, Verify

if TYPE_CHECKING:
    from airflow_provider_custobar.api.async_client import AsyncCustobarClient
    from airflow_provider_custobar.api.client import CustobarClient
    from airflow_provider_custobar.api.pacing import Pacer
    from airflow_provider_custobar.api.pages import Page
    from airflow_provider_custobar.upload.changes import Changes
    from airflow_provider_custobar.upload.journal import Journal
    from airflow_provider_custobar.upload.results import UploadResult
    from airflow_provider_custobar.upload.rows import Rejected


class CustobarHook(BaseHook):
    """
    Interact with Custobar through its HTTP API.

    Pages and records hold what the API sent, unchanged; with a window, only what lies in it.

    :param custobar_conn_id: The :ref:`Custobar connection id <howto/connection:custobar>`.
    """

    conn_name_attr = "custobar_conn_id"
    default_conn_name = "custobar_default"
    conn_type = "custobar"
    hook_name = "Custobar"

    def __init__(self, custobar_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.custobar_conn_id = custobar_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The connection form for Airflow 3.1 and 3.2; from 3.3 on it comes from the provider's metadata."""
        behaviour: dict[str, Any] = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
        return behaviour

    def get_config(self) -> ClientConfig:
        """
        The connection, checked.

        :raises InvalidArgumentError: a field of the connection is missing or not accepted.
        """
        connection = self.get_connection(self.custobar_conn_id)
        return config_from_connection(
            host=connection.host,
            schema=connection.schema,
            port=connection.port,
            login=connection.login,
            password=connection.password,
            extra=connection.extra_dejson,
        )

    def get_conn(self) -> CustobarClient:
        """A client; use it in a ``with`` block. Requests through one client are paced together."""
        return self.client_of(self.get_config())

    @staticmethod
    def client_of(config: ClientConfig, *, pacer: Pacer | None = None) -> CustobarClient:
        """A client of a connection that was read before, at the pace of others that share ``pacer``."""
        # Only here: what a DAG that is parsed needs of a hook is its name.
        from airflow_provider_custobar.api.client import CustobarClient  # noqa: PLC0415

        return CustobarClient(config, pacer=pacer)

    async def get_async_config(self) -> ClientConfig:
        """As :meth:`get_config`, without holding up the event loop."""
        from asgiref.sync import sync_to_async  # noqa: PLC0415 - as in client_of

        # What masks secrets asks Airflow blockingly, which in the event loop of a triggerer waits for itself (apache/airflow
        # 71891). asgiref's thread, other than a plain one, leads it back to that loop, which Airflow 3.1 needs.
        config: ClientConfig = await sync_to_async(self.get_config, thread_sensitive=False)()
        return config

    async def get_async_conn(self) -> AsyncCustobarClient:
        """A client of one's own for coroutines; use it in an ``async with`` block. The triggers share theirs."""
        from airflow_provider_custobar.api.async_client import AsyncCustobarClient  # noqa: PLC0415 - as above

        return AsyncCustobarClient(await self.get_async_config())

    def get_pages(
        self,
        resource: str,
        *,
        filters: Mapping[str, object] | None = None,
        fields: str | Sequence[str] | None = None,
        order: str | Sequence[str] | None = None,
        event_types: str | Sequence[str] | None = None,
        date: object = None,
        window_start: object = None,
        window_end: object = None,
        page_size: int | None = None,
        api_format: Literal["json", "csv"] = "json",
        on_bad_timestamp: Literal["fail", "keep", "drop"] = "fail",
        allow_unknown_names: bool = False,
    ) -> Iterator[Page]:
        """
        Fetch a resource page by page; at most one page is in memory.

        :param resource: ``customers``, ``events``, ``sales`` or ``products``.
        :param filters: Custobar's filters by name, such as ``{"country": "FI"}``.
        :param fields: Names of the fields to fetch; all by default.
        :param order: Names of the fields to sort by, with ``-`` for descending.
        :param event_types: Types of events; needed for events, and for them only.
        :param date: One day of the tenant's time zone.
        :param window_start: Start of the period, included; a date or a datetime.
        :param window_end: End of the period, not included.
        :param page_size: Records a page; the API's maximum by default (10,000 JSON, 100,000 CSV).
        :param api_format: Pages as ``json`` or ``csv``.
        :param on_bad_timestamp: What to do with a record that cannot be placed in the window: ``fail``, ``keep`` or ``drop``.
        :param allow_unknown_names: Let filters, fields and event types through that the documentation does not list.
        :raises InvalidArgumentError: at this call, before the first request.
        :raises CustobarError: while the pages are read.
        """
        config = self.get_config()
        query = build_query(
            resource,
            filters=filters,
            fields=fields,
            order=order,
            event_types=event_types,
            date=date,
            window_start=window_start,
            window_end=window_end,
            page_size=page_size,
            api_format=api_format,
            on_bad_timestamp=on_bad_timestamp,
            allow_unknown_names=allow_unknown_names,
            timezone=config.timezone,
            trust_day_filter=config.trust_day_filter,
        )
        return _pages(config, query)

    def get_records(
        self,
        resource: str,
        *,
        filters: Mapping[str, object] | None = None,
        fields: str | Sequence[str] | None = None,
        order: str | Sequence[str] | None = None,
        event_types: str | Sequence[str] | None = None,
        date: object = None,
        window_start: object = None,
        window_end: object = None,
        page_size: int | None = None,
        api_format: Literal["json", "csv"] = "json",
        on_bad_timestamp: Literal["fail", "keep", "drop"] = "fail",
        allow_unknown_names: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """
        Fetch a resource record by record; takes the arguments of :meth:`get_pages`.

        :raises InvalidArgumentError: at this call, before the first request.
        """
        pages = self.get_pages(
            resource,
            filters=filters,
            fields=fields,
            order=order,
            event_types=event_types,
            date=date,
            window_start=window_start,
            window_end=window_end,
            page_size=page_size,
            api_format=api_format,
            on_bad_timestamp=on_bad_timestamp,
            allow_unknown_names=allow_unknown_names,
        )
        return (record for page in pages for record in page.dicts())

    def upload(
        self,
        resource: str,
        records: Iterable[object],
        *,
        field_mapping: Mapping[str, str | None] | None = None,
        batch_size: int | str = 500,
        max_batch_bytes: int | str = 1_000_000,
        on_invalid: OnInvalid = "fail",
        require_external_id: bool = True,
        allow_irreversible: bool = False,
        unknown_fields: UnknownFields = "fail",
        company: str | None = None,
        clear_empty: bool = False,
        events_delivery: EventsDelivery = "at_most_once",
        verify: Verify = None,
        verify_delay: float | str = 60,
        dry_run: bool = False,
        timezone: str | None = None,
        expected_digest: str | None = None,
        reject: Callable[[Rejected], None] | None = None,
    ) -> UploadResult:
        """
        Check all ``records``, then send them in batches.

        Takes the options that :class:`~airflow_provider_custobar.upload.options.UploadOptions` describes, and:

        :param records: Mappings, read once, so that they may come from a generator. What is none is rejected.
        :param reject: Called with each bad record; without it, reasons go to the log.
        :raises InvalidArgumentError: before the first request.
        :raises InvalidRowsError: some records are bad and ``on_invalid="fail"``; nothing was sent.
        :raises DigestMismatchError: other records would be sent than ``expected_digest`` stands for; nothing was sent.
        """
        options = UploadOptions(
            resource=resource,
            field_mapping=field_mapping,
            batch_size=batch_size,
            max_batch_bytes=max_batch_bytes,
            on_invalid=on_invalid,
            require_external_id=require_external_id,
            allow_irreversible=allow_irreversible,
            unknown_fields=unknown_fields,
            company=company,
            clear_empty=clear_empty,
            events_delivery=events_delivery,
            verify=verify,
            verify_delay=verify_delay,
            dry_run=dry_run,
            timezone=timezone,
            expected_digest=expected_digest,
        )
        return self.run_upload(options, records, reject=reject)

    def run_upload(
        self,
        options: UploadOptions,
        rows: Iterable[object],
        *,
        reject: Callable[[Rejected], None] | None = None,
        after_check: Callable[[], None] = lambda: None,
        journal: Journal | None = None,
        changes: Changes | None = None,
    ) -> UploadResult:
        """
        As :meth:`upload`, for operators.

        :param after_check: Called when all rows were checked, before any is sent.
        :param journal: Keeps what was sent for a next attempt.
        :param changes: Leaves out rows that have not changed since the last time.
        """
        # Only here: numbering plans and schemas are nothing that exports and sensors, or a DAG being parsed, have to wait for.
        from airflow_provider_custobar.upload.journal import Journal  # noqa: PLC0415
        from airflow_provider_custobar.upload.plan import build_plan  # noqa: PLC0415
        from airflow_provider_custobar.upload.uploader import Upload  # noqa: PLC0415

        config = self.get_config()
        timezone = config.timezone if options.timezone is None else options.timezone
        plan = build_plan(replace(options, timezone=timezone, company=options.company or config.company))
        if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
            raise InvalidArgumentError("records", type(rows).__name__, "give a list, or a generator, of mappings")
        with self.client_of(config) as client:
            return Upload(
                rows=rows,
                place_of=getattr(rows, "place_of", None),
                plan=plan,
                destination=config.base_url,
                send=lambda batch, may_repeat: client.upload(plan.resource, batch, repeatable=may_repeat),
                reject=reject,
                after_check=after_check,
                journal=journal or Journal(None),
                changes=changes,
                read_back=partial(_read_back, client, plan.resource.name),
                pacer=client.pacer,
                log=self.log,
            ).run()

    def test_connection(self) -> tuple[bool, str]:
        """Make one harmless GET of the connection's ``test_path``."""
        try:
            # One attempt: whoever presses the button waits for the answer.
            with self.client_of(replace(self.get_config(), max_attempts=1)) as client:
                client.test()
        except CustobarError as error:
            return False, str(error)
        return True, f"{client.config.base_url} accepts the credentials"


def _read_back(client: CustobarClient, resource: str, external_id: str) -> dict[str, Any] | None:
    query = build_query(resource, filters={"external_id": external_id}, timezone=client.config.timezone)
    return next((record for page in client.pages(query) for record in page.dicts()), None)


def _pages(config: ClientConfig, query: Query) -> Iterator[Page]:
    with CustobarHook.client_of(config) as client:
        yield from client.pages(query)
