"""What one run has to do. It travels to the run's process as JSON, so this module imports nothing that costs time."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import urlencode

from tools.bench.event_rows import FIELDS
from tools.bench.page_server import LARGEST_PAGE, PATH

PageFormat = Literal["json", "csv"]
FileFormat = Literal["csv", "jsonl", "parquet"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """``key`` ends as the format wants it; ``pace_seconds`` lie between the starts of two requests; ``day`` is that wanted."""

    contestant: str
    file_format: FileFormat
    page_format: PageFormat
    gzip: bool
    rows: int
    pace_seconds: float
    base_url: str
    token: str
    s3_url: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str
    bucket: str
    key: str
    day: str | None = None

    @property
    def query(self) -> dict[str, str]:
        """The first request's parameters: CSV names its fields, as the documentation advises."""
        asked = {"type": "BROWSE", "limit": str(LARGEST_PAGE[self.page_format])}
        if self.day:
            asked |= {"date.gte": self.day, "date.lte": self.day}
        return {**asked, "format": "csv", "fields": ",".join(FIELDS)} if self.page_format == "csv" else asked

    @property
    def first_url(self) -> str:
        return f"{self.base_url}{PATH}?{urlencode(self.query)}"

    @property
    def requests(self) -> int:
        return max(1, -(-self.rows // LARGEST_PAGE[self.page_format]))

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        return cls(**json.loads(text))
