"""Generated customers (fields of S3 and S1; the shares of missing values are our choice)."""

from __future__ import annotations

import functools
from datetime import date, timedelta
from typing import NamedTuple

from airflow_provider_custobar.sandbox.data.mixing import mix
from airflow_provider_custobar.sandbox.data.pools import CAMPAIGNS, MAILING_LISTS, SHOPS, ascii_slug, pools
from airflow_provider_custobar.sandbox.data.protocol import Identified, Record

_DOMAINS = ("example.com", "example.org", "example.net", "post.example")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Contact(NamedTuple):
    """How events and sales name a customer."""

    external_id: str
    email: str | None
    phone_number: str | None


class Customers(Identified):
    """``size`` customers who joined before the first day of the generated events."""

    def __init__(self, size: int, *, seed: int, company: str, first_day: date) -> None:
        super().__init__("C-", size)
        self._seed = seed * 16 + 1
        self.extra_names: tuple[str, ...] = (f"{company}__loyalty_level", f"{company}__loyalty_points")
        self._first_day = first_day

    def campaigns(self, index: int) -> frozenset[str]:
        """Campaigns that the customer took part in: a filter of S1 that no record shows."""
        draw = mix(self._seed + 3, index)
        return frozenset(key for bit, key in enumerate(CAMPAIGNS) if draw >> bit & 1)

    @functools.cached_property
    def contacts(self) -> list[Contact]:
        """Identifiers of all customers, since events and sales repeat them."""
        return [self._contact(index) for index in range(self._size)]

    def record(self, index: int) -> Record:
        """Compute a customer."""
        draw, more = mix(self._seed, index), mix(self._seed + 2, index)
        country = pools().countries[draw % 4]
        first, last = self._name(draw)
        contact = self._contact(index)
        city, province = country.cities[(draw >> 16) % len(country.cities)]
        joined = self._first_day - timedelta(days=30 + more % 1500)
        record: Record = {"external_id": contact.external_id}
        if contact.email:
            record["email"] = contact.email
        if contact.phone_number:
            record["phone_number"] = contact.phone_number
        record |= {
            "first_name": first,
            "last_name": last,
            "can_email": bool(more & 3),
            "can_sms": bool(more & 4),
            "can_post": bool(more & 8),
            "can_push": bool(more & 16),
            "can_profile": bool(more & 96),
            "registered_user": True,
            "cb_token": _base36(more, 12),
            "date_joined": f"{joined.isoformat()}T{more % 24:02}:{(more >> 8) % 60:02}:{(more >> 16) % 60:02}Z",
        }
        if more >> 18 & 3:
            seen = self._first_day - timedelta(days=(more >> 25) % 30)
            record["last_login"] = f"{seen.isoformat()}T{(more >> 5) % 24:02}:{(more >> 11) % 60:02}:00Z"
        if more >> 20 & 7:
            street = country.streets[(draw >> 24) % len(country.streets)]
            record |= {
                "street_address": f"{street} {1 + (draw >> 32) % 120}",
                "zip_code": f"{10000 + (draw >> 36) % 89999}",
                "city": city,
                "province": province,
            }
        if more >> 24 & 15:
            record |= {"country": country.code, "language": country.language}
        if more >> 28 & 1:
            born = date(1945, 1, 1) + timedelta(days=(more >> 30) % 22000)
            record["birth_date"] = born.isoformat()
        if more >> 32 & 3:
            record["gender"] = ("female", "male", "other", "female")[more >> 34 & 3]
        lists = [name for bit, name in enumerate(MAILING_LISTS) if more >> 36 & (1 << bit)]
        if lists:
            record["mailing_lists"] = lists
        if more >> 41 & 1:
            record["tags"] = ["loyal", "håll kontakten, tack"][: 1 + (more >> 42 & 1)]
        if more >> 43 & 1:
            record["shop_id"] = SHOPS[(more >> 44) % len(SHOPS)]
        if more >> 50 & 1:
            level, points = self.extra_names
            record[level] = ("bronze", "silver", "gold")[(more >> 52) % 3]
            record[points] = (more >> 51) % 5000
        return record

    def _contact(self, index: int) -> Contact:
        # One customer in fifty shares the e-mail of the one before: e-mails are not unique (S1).
        owner = index - 1 if index % 50 == 7 else index
        draw = mix(self._seed, owner)
        email = None
        if index % 25 != 13:
            first, last = self._name(draw)
            domain = _DOMAINS[(draw >> 48) % len(_DOMAINS)]
            email = f"{ascii_slug(first)}.{ascii_slug(last)}{owner}@{domain}"
        phone = None
        if index % 5 != 2:
            code = pools().countries[mix(self._seed, index) % 4].dialling_code
            phone = f"{code}40{1_000_000 + index}"
        return Contact(self._ids[index], email, phone)

    def _name(self, draw: int) -> tuple[str, str]:
        country = pools().countries[draw % 4]
        return country.first_names[(draw >> 2) % 60], country.last_names[(draw >> 9) % 60]


def _base36(number: int, length: int) -> str:
    text = ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        text += _DIGITS[digit]
    return text
