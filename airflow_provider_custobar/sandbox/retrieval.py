"""GET /api/data/<resource>/: one page of a resource (S1, S2)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from werkzeug import Request, Response

from airflow_provider_custobar.sandbox.catalogue import Resource
from airflow_provider_custobar.sandbox.cursors import Cursors, Params
from airflow_provider_custobar.sandbox.errors import ApiError
from airflow_provider_custobar.sandbox.query import Query, parse_query
from airflow_provider_custobar.sandbox.render import (
    csv_columns,
    csv_page,
    json_page,
    shown_records,
)
from airflow_provider_custobar.sandbox.settings import SandboxSettings
from airflow_provider_custobar.sandbox.store import Store
from airflow_provider_custobar.sandbox.table import Ref
from airflow_provider_custobar.sandbox.transactions import as_transactions

NEXT_URL_HEADER = "X-Custobar-Next-Url"
#: What stays as the client wrote it; the rest of a raw query string cannot stand in a header.
_KEEP_IN_QUERY = "!$%&'()*+,-./:;=?@_~"


class DataPage(Response):
    """A response that knows how many records it carries."""

    rows = 0


class Retrieval:
    """Answers data requests from the store."""

    def __init__(self, store: Store, cursors: Cursors, settings: SandboxSettings) -> None:
        self._store = store
        self._cursors = cursors
        self._settings = settings

    def page(self, resource: Resource, request: Request) -> DataPage:
        """Answer one request with the first page or the one that a cursor points to."""
        settings = self._settings
        params = {name: list(values) for name, values in request.args.lists()}
        cursor_name = _only(params.pop("cursor", None), "cursor")
        offset_text = None
        if settings.next_url_style == "offset":
            offset_text = _only(params.pop("offset", None), "offset")
        query = parse_query(resource, params, settings, self._store.campaigns_of)
        refs: Sequence[Ref] | None = None
        offset = _offset(offset_text)
        if cursor_name is not None:
            cursor = self._cursors.find(cursor_name, resource.name, params)
            refs, offset = cursor.refs, cursor.offset
        if refs is None:
            with self._store.lock:
                refs = self._select(query)
        end = min(offset + self._page_size(query), len(refs))
        more = end < len(refs) or (settings.empty_last_page and end > offset)
        next_url = self._next_url(request, params, resource.name, end, refs) if more else None
        return self._rendered(query, refs, offset, end, next_url)

    def _select(self, query: Query) -> Sequence[Ref]:
        refs = query.select(self._store.tables[query.resource.name])
        if query.resource.name == "sales" and not query.csv and self._settings.sales_shape == "transactions":
            table = self._store.tables["sales"]
            return as_transactions(table.resolve(ref) for ref in refs)
        return refs

    def _page_size(self, query: Query) -> int:
        return max(1, query.limit // 2) if self._settings.short_pages else query.limit

    def _rendered(self, query: Query, refs: Sequence[Ref], offset: int, end: int, next_url: str | None) -> DataPage:
        settings, resource = self._settings, query.resource
        table = self._store.tables[resource.name]
        page = query.within_page(refs[offset:end], table)
        records = shown_records(resource, (table.resolve(ref) for ref in page), query.fields, settings)
        if query.csv:
            columns = csv_columns(resource, query.fields, table.extra_names)
            header = settings.csv_repeat_header or offset == 0
            body = csv_page(resource, records, columns, settings, header=header)
            content_type = "text/csv; charset=utf-8"
        else:
            count = len(refs) if settings.include_count else None
            body = json_page(resource.name, records, count=count, next_url=next_url)
            content_type = "application/json"
        response = DataPage(body, content_type=content_type)
        response.rows = len(records)
        if next_url is not None:
            response.headers[NEXT_URL_HEADER] = next_url
        return response

    def _next_url(self, request: Request, params: Params, resource: str, offset: int, refs: Sequence[Ref]) -> str:
        """Build the next page's URL: same path (scopes match it exactly, S4), all parameters, one more."""
        settings = self._settings
        name = "offset" if settings.next_url_style == "offset" else "cursor"
        if name == "offset":
            value = str(offset)
        else:
            snapshot = refs if settings.cursor_snapshot else None
            value = self._cursors.create(resource, params, offset, snapshot, settings.cursor_ttl_s)
        raw = request.query_string.decode("latin-1")
        kept = [part for part in raw.split("&") if part and part.partition("=")[0] != name]
        query = quote("&".join([*kept, f"{name}={value}"]), safe=_KEEP_IN_QUERY, encoding="latin-1")
        target = f"{request.path}?{query}"
        return target if settings.next_url_style == "relative" else f"{request.host_url.rstrip('/')}{target}"


def _only(values: list[str] | None, name: str) -> str | None:
    if values is not None and len(values) > 1:
        raise ApiError(400, f"The parameter '{name}' occurs twice.")
    return values[0] if values else None


def _offset(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdecimal()):
        raise ApiError(400, f"Invalid value '{text}' for offset: expected a whole number.")
    return int(text)
