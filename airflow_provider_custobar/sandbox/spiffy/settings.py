"""Every switch of the simulated store, with its default and the reason why it is a switch (sources: see the package)."""

from __future__ import annotations

import dataclasses

from airflow_provider_custobar.sandbox.live_settings import LiveSettings, option
from airflow_provider_custobar.sandbox.options import Choice, Flag, Number, Subset


@dataclasses.dataclass
class SpiffyStoresSettings(LiveSettings):
    """Live settings: an assignment takes effect with the next request, a wrong one raises."""

    # --- who may call: Basic for private apps, Bearer for others (P2)
    auth_schemes: tuple[str, ...] = option(("basic", "bearer"), Subset("basic", "bearer"))
    #: The body of a 401 is shown nowhere; ``text`` is what Rails answers by itself.
    auth_failure_body: str = option("json", Choice("json", "text", "html", "empty"))
    #: P2 asks for Accept: application/json. ``strict`` wants it named, ``match`` takes */* and none, ``off`` anything.
    accept: str = option("strict", Choice("strict", "match", "off"))
    #: P2 asks for Content-Type: application/json. ``body`` checks requests with a body, ``always`` those without as well.
    content_type: str = option("body", Choice("body", "always", "off"))

    # --- reading, as P1 has it
    limit_default: int = option(30, Number(1))
    limit_max: int = option(50, Number(1))
    #: What happens above the maximum is unknown.
    limit_over_max: str = option("clamp", Choice("clamp", "error"))
    #: The default order is unknown.
    order: str = option("id", Choice("id", "-id", "updated_at"))
    #: "After" and "before" a time: whether the time itself belongs to them is unknown.
    inclusive_bounds: bool = option(True, Flag())
    #: Unknown; web frameworks such as the store's ignore them.
    unknown_parameter: str = option("ignore", Choice("ignore", "error"))
    #: ``offset`` shows times as they are stored, those that the sandbox made with +10:00 (P1's examples have offsets);
    #: ``utc`` rewrites all in UTC with Z, as P2 says of all times.
    timestamps: str = option("offset", Choice("offset", "utc"))

    # --- pace (P2: may change at any time; numbers of the sample in P5)
    rate_limit: int | None = option(500, Number(1, optional=True))
    rate_period: float = option(300, Number(0.001, whole=False))
    #: Whole seconds to the window's end, the whole period (an edition of P6 has it so), or no such header.
    retry_after: str = option("window", Choice("window", "period", "off", aliases={True: "window", False: "off"}))
    #: X-Ratelimit. P6 joins several limiters by newline, which servers send as several lines (``two_lines``), and a proxy
    #: may fold into one (``two_folded``). ``malformed`` and ``missing`` are for the patience of clients.
    rate_header: str = option("one", Choice("one", "two_lines", "two_folded", "malformed", "missing"))
