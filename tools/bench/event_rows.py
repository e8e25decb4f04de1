"""Event records as Custobar's documentation shows them: about 400 bytes each as JSON and 217 as CSV."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

#: Every field that the documentation names for events: what CSV without ``fields`` has columns for.
ALL_FIELDS = (
    "type date customer_id customer_token email phone_number product_id product_ean label path utm_source utm_medium"
    " utm_campaign sale_id tracking_number sentiment_value mailing_lists"
).split()
#: What the records have, and what is asked for where fields are named.
FIELDS = tuple("type date customer_id email product_id product_ean label path utm_source utm_medium utm_campaign".split())

_SEED = 20_260_201
_START = datetime(2026, 2, 1, tzinfo=UTC)
_WORDS = "aalto birch cedar dahlia elm fjord gran hazel ivy juniper kielo lärche maple näre oak pihlaja quercus rowan".split()
_CAMPAIGNS = ("spring-sale-2026", "welcome-series-autumn", "win-back", "newsletter-february", "members-only")


def make_rows(count: int) -> list[dict[str, str]]:
    """Distinct page views of one type, a few seconds apart.

    Like the documentation's records they leave out what has no value. Some labels hold commas, quotes and line ends.
    """
    draw = random.Random(_SEED)
    when = _START
    rows = []
    for number in range(count):
        when += timedelta(seconds=draw.randrange(3))
        customer = draw.randrange(1_000_000)
        product = draw.randrange(10_000)
        words = draw.choices(_WORDS, k=5)
        label = f"{words[0].title()} {words[1]} and {words[2]} for {words[3]} no {product}"
        if number % 20 == 0:
            label = f'{label}, the "{words[4]}"'
        elif number % 50 == 1:
            label = f"{label}\n{words[4]}"
        row = {
            "type": "BROWSE",
            "date": f"{when:%Y-%m-%dT%H:%M:%SZ}",
            "customer_id": f"C-{customer:07}",
            "email": f"{words[0].encode('ascii', 'ignore').decode()}.{customer:07}@example.com",
            "product_id": f"P-{product:05}",
            "product_ean": f"64{draw.randrange(10**11):011}",
            "label": label,
            "path": f"/shop/{words[1]}/{words[2]}-{words[3]}-{product:05}?color={words[4]}&view={number % 7}",
        }
        if number % 8:
            row |= {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": draw.choice(_CAMPAIGNS)}
        rows.append(row)
    return rows
