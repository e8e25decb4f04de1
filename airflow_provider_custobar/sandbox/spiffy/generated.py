"""Generated customers with the fields of P1; how they vary, and how untidy they are, is our choice."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from airflow_provider_custobar.sandbox.data.mixing import mix
from airflow_provider_custobar.sandbox.data.pools import ascii_slug
from airflow_provider_custobar.sandbox.spiffy.store import Customer
from airflow_provider_custobar.sandbox.spiffy.times import STORE_ZONE

_POOL = 40
#: Fixed, so that the same seed gives the same customers on any day.
_END = datetime(2026, 2, 28, tzinfo=UTC)
_DOMAINS = ("example.com", "example.com.au", "example.org", "post.example")
_TITLES = ("Mr", "Ms", "Mrs", "Dr", "", None)
_STATES = ("guest", "enabled", "enabled", "disabled", "invited", "declined")
_TAGS = ("vip", "newsletter", "trade", "club member", "Été 2025", "wholesaler")
_NOTES = (None, "", "Leave at the door", "Prefers e-mail\nCalls before noon", 'Said "no leaflets", thanks')
_NONSENSE = ("n/a", "12345", "call after 5 pm", "same as above", "000")
#: Most of P1's examples are of the store's zone, some are not.
_ZONES = (STORE_ZONE, STORE_ZONE, STORE_ZONE, timezone(timedelta(hours=11)), timezone(timedelta(hours=-4)))


@dataclass(frozen=True)
class _Country:
    code: str
    name: str
    #: A number as people of the country write it, and with its code; # is a digit.
    local: str
    international: str
    zip: str
    provinces: tuple[tuple[str, str], ...]
    #: Whose names and streets are used.
    locale: str


_AUSTRALIA = _Country(
    code="AU",
    name="Australia",
    local="0412 ### ###",
    international="+61 412 ### ###",
    zip="4###",
    provinces=(("Queensland", "QLD"), ("New South Wales", "NSW"), ("Victoria", "VIC"), ("Western Australia", "WA")),
    locale="en-au",
)
_COUNTRIES = (
    _AUSTRALIA,
    _AUSTRALIA,
    _AUSTRALIA,
    _Country(
        "NZ", "New Zealand", "021 123 4###", "+64 21 123 4###", "1###", (("Waikato", "WKO"), ("Auckland", "AUK")), "en-au"
    ),
    _Country("GB", "United Kingdom", "020 7946 0###", "+44 20 7946 0###", "SW1A 1AA", (("", ""), ("Kent", "KEN")), "en-gb"),
    _Country("US", "United States", "(415) 622-3###", "+1 415-622-3###", "94###", (("California", "CA"),), "en"),
    _Country("DE", "Germany", "030 9018 2###", "+49 30 9018 2###", "10###", (("Berlin", "BE"),), "de"),
    _Country("JP", "Japan", "03-3213-1###", "+81 3-3213-1###", "100-0###", (("東京都", "13"),), "ja"),
)


@dataclass(frozen=True)
class _Words:
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[str, ...]
    streets: tuple[str, ...]
    companies: tuple[str, ...]


@functools.cache
def _words(locale: str) -> _Words:
    # Only a sandbox with generated customers needs mimesis.
    from mimesis import Generic  # noqa: PLC0415
    from mimesis.locales import Locale  # noqa: PLC0415

    generic = Generic(Locale(locale), seed=1)
    makers = (
        generic.person.first_name,
        generic.person.last_name,
        generic.address.city,
        generic.address.street_name,
        generic.finance.company,
    )
    return _Words(*(tuple(make() for _ in range(_POOL)) for make in makers))


def generated_customers(size: int, *, seed: int) -> Iterator[Customer]:
    """Yield customers in the order of their ids, which have gaps."""
    number = 1000
    for index in range(size):
        draw, more = mix(seed * 8 + 5, index), mix(seed * 8 + 6, index)
        number += 1 + more % 3
        yield _customer(index, number, draw, more, seed)


def _customer(index: int, number: int, draw: int, more: int, seed: int) -> Customer:
    country = _COUNTRIES[draw % len(_COUNTRIES)]
    words = _words(country.locale)
    title = _TITLES[(draw >> 3) % len(_TITLES)]
    first: str = words.first_names[(draw >> 6) % _POOL]
    last: str | None = words.last_names[(draw >> 12) % _POOL]
    if index % 17 == 11:
        first, last = "", None  # bought with nothing but an e-mail address
    person: dict[str, Any] = {
        "title": title,
        "first_name": first,
        "last_name": last,
        "name": " ".join(text for text in (title, first, last) if text),
    }
    state = _STATES[(draw >> 18) % len(_STATES)]
    zone = _ZONES[(draw >> 22) % len(_ZONES)]
    created = _END - timedelta(days=60 + (more >> 3) % 1500, seconds=(more >> 15) % 86400)
    updated = created + (_END - created) * ((more >> 32) % 1000) / 1000
    is_buyer, is_member = bool(draw >> 26 & 3), state == "enabled"
    spent = f"{(more >> 20) % 500000 / 100:.2f}" if is_buyer else "0.00"
    seen = updated.astimezone(zone).replace(microsecond=0).isoformat() if is_member else None
    addresses = [
        _address(person, country, mix(seed * 8 + 7, index * 4 + each), index * 4 + each) for each in range(draw >> 28 & 3)
    ]
    for address in addresses:
        address["default"] = address is addresses[0]
    return {
        "id": number,
        **person,
        "company": (addresses[0]["company"] if addresses else None),
        "email": _email(index, first, last, draw),
        "default_address": addresses[0] if addresses else None,
        "addresses": addresses,
        "accepts_marketing": bool(draw >> 30 & 1),
        "note": _NOTES[(draw >> 31) % len(_NOTES)],
        "orders_count": 1 + (more >> 9) % 12 if is_buyer else 0,
        "state": state,
        # P1 has it as text in the list of fields, as a number in an example.
        "total_spent": float(spent) if draw >> 34 & 1 else spent,
        "sign_in_count": 1 + (more >> 13) % 40 if is_member else 0,
        "current_sign_in_at": seen,
        "current_sign_in_ip": f"203.0.113.{draw % 256}" if is_member else None,
        "last_sign_in_at": seen,
        "last_sign_in_ip": f"203.0.113.{draw % 256}" if is_member else None,
        "last_order_id": 500_000 + number if is_buyer else None,
        "wholesale": (draw >> 35) % 6 == 0,
        "credit": (0.0, 0, 12.5, 100)[draw >> 38 & 3],
        "accounting_id": f"acc-{number}" if draw >> 40 & 1 else None,
        "pos_id": f"POS{draw:X}" if draw >> 41 & 1 else "",
        "tags": ", ".join(tag for bit, tag in enumerate(_TAGS) if (draw >> 42 & draw >> 50) & 1 << bit),
        "created_at": created.astimezone(zone).replace(microsecond=0).isoformat(),
        "updated_at": updated.astimezone(zone).replace(microsecond=0).isoformat(),
    }


def _email(index: int, first: str, last: str | None, draw: int) -> str:
    name = ".".join(ascii_slug(text) for text in (first, last) if text) or "customer"
    return f"{name}{index}@{_DOMAINS[(draw >> 56) % len(_DOMAINS)]}"


def _address(person: dict[str, Any], country: _Country, draw: int, number: int) -> dict[str, Any]:
    words = _words(country.locale)
    province, code = country.provinces[draw % len(country.provinces)]
    street = f"{1 + (draw >> 4) % 240} {words.streets[(draw >> 12) % _POOL]}"
    return {
        "id": 9000 + number,
        **person,
        "company": words.companies[(draw >> 18) % _POOL] if draw >> 24 & 1 else ("", None)[draw >> 25 & 1],
        "address1": street,
        "address2": ("", None, "Unit 3")[(draw >> 26) % 3],
        "city": words.cities[(draw >> 28) % _POOL],
        "province": province,
        "province_code": code,
        "country": country.name,
        "country_code": country.code,
        "zip": _digits(country.zip, draw >> 34),
        "phone": _phone(country, draw >> 40),
        "default": False,
    }


def _phone(country: _Country, draw: int) -> str | None:
    """Numbers come as people type them: four in eight as at home, one with the country's code, one wrong, two none."""
    kind, draw = draw % 8, draw >> 3
    if kind < 4:
        return _digits(country.local, draw)
    if kind == 4:
        return _digits(country.international, draw)
    return (_NONSENSE[draw % len(_NONSENSE)], "", None)[kind - 5]


def _digits(pattern: str, draw: int) -> str:
    text = ""
    for mark in pattern:
        if mark == "#":
            draw, digit = divmod(draw, 10)
            text += str(digit)
        else:
            text += mark
    return text
