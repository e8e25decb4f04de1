"""Every switch of the simulated API, with its default and the reason why it is a switch.

Source ids (S1, C3, ...) name the documents and public clients that the behaviour was read from: S = the
vendor's documentation, C = a public client. "Our choice" marks what none of them says.
"""

from __future__ import annotations

import dataclasses

from airflow_provider_custobar.sandbox.live_settings import LiveSettings, option
from airflow_provider_custobar.sandbox.options import Choice, Flag, Number, Subset, Zone


@dataclasses.dataclass
class SandboxSettings(LiveSettings):
    """Live settings: an assignment takes effect with the next request, a wrong one raises."""

    # --- who may call (S4, S8; statuses are our choice)
    auth_schemes: tuple[str, ...] = option(("bearer", "token", "basic"), Subset("bearer", "token", "basic"))
    #: 401 for a token outside its scope is imaginable as well; our choice is 403.
    scope_status: int = option(403, Choice(401, 403))

    # --- reading (S1 unless said otherwise)
    limit_default: int = option(100, Number(1))
    limit_max_json: int = option(10_000, Number(1))
    limit_max_csv: int = option(100_000, Number(1))
    #: What happens above the maximum is unknown.
    limit_over_max: str = option("reject", Choice("reject", "clamp"))
    #: Unknown; "ignore" returns the whole data set, "match" takes any field, as older editions had it (S2).
    unknown_filter: str = option("reject", Choice("reject", "ignore", "match"))
    #: The same filter twice: unknown.
    repeated_filter: str = option("last", Choice("last", "any"))
    #: S1 asks for one type per request, C3 sends none.
    events_require_type: bool = option(True, Flag())
    #: S1 shows plain dates in date.gte and date.lte only.
    event_datetimes: bool = option(True, Flag())
    #: S1 shows one record per sale row; C3 reads transactions with nested products (JSON only, CSV is rows).
    sales_shape: str = option("rows", Choice("rows", "transactions"))
    #: Whether date.lte with a plain date takes that whole day, as the example in S1 suggests, or its first moment alone.
    last_day: str = option("whole", Choice("whole", "midnight"))
    #: Ranges on sale_date are not documented.
    sale_date_ranges: bool = option(False, Flag())
    #: Ranges on date_joined, last_login and a product's date are not documented.
    date_ranges: bool = option(False, Flag())
    #: S1 documents order, but shows it for no datetime: obeyed, ignored, refused, sorted as the texts that are shown, or
    #: within each page only.
    time_order: str = option("obey", Choice("obey", "ignore", "reject", "text", "page"))
    #: C3 reads it, no page documents it.
    include_count: bool = option(True, Flag())

    # --- paging
    #: The shape of next_url is not shown anywhere; "offset" is stateless and therefore never a snapshot.
    next_url_style: str = option("absolute", Choice("absolute", "relative", "offset"))
    cursor_ttl_s: float = option(600, Number(0, whole=False))
    #: False pages by position over the data as it is at each request.
    cursor_snapshot: bool = option(True, Flag())
    #: Both are allowed by "follow next_url until there is none" (S1).
    empty_last_page: bool = option(False, Flag())
    short_pages: bool = option(False, Flag())

    # --- time
    tenant_timezone: str = option("UTC", Zone())
    #: S1 shows Z, C3 parses values without a zone; "mixed" is one of several ways for each value.
    datetime_style: str = option("z", Choice("z", "naive", "offset", "mixed"))

    # --- bodies; nothing is documented about the form of the CSV
    csv_line_end: str = option("crlf", Choice("crlf", "lf"))
    csv_bom: bool = option(False, Flag())
    csv_bool: str = option("true/false", Choice("true/false", "True/False"))
    csv_list_separator: str = option(",", Choice(",", ";", "|"))
    csv_repeat_header: bool = option(True, Flag())
    #: Whether the server compresses for a client that accepts it is unknown.
    gzip_responses: bool = option(False, Flag())
    #: Only the JSON form is observed (C1, C2).
    error_body: str = option("json", Choice("json", "html", "empty"))

    # --- uploads
    #: C1 accepts 200 and 201, a queue would suggest 202.
    upload_status: int = option(200, Choice(200, 201, 202))
    #: S7 shows run_id, C2 wants response = ok.
    upload_body: str = option("both", Choice("both", "run_id", "ok"))
    import_delay_s: float = option(0, Number(0, whole=False))
    max_body_bytes: int = option(10_000_000, Number(1))
    max_rows: int | None = option(None, Number(1, optional=True))
    #: True refuses rows with malformed e-mails, phone numbers and values of a wrong JSON type.
    strict_rows: bool = option(False, Flag())
    #: GET /api/runs/<run_id>/ is an invention of this simulator, thus off.
    run_status: bool = option(False, Flag())

    # --- pace: 180 a minute is known to C1, the rest is our choice
    rate_limit: int | None = option(180, Number(1, optional=True))
    rate_window_s: float = option(60, Number(0.001, whole=False))
    retry_after: str = option("on", Choice("on", "off", "date", aliases={True: "on", False: "off"}))
