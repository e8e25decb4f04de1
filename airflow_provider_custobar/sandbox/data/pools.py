"""Names, places and words to draw from, made once by mimesis."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

CAMPAIGNS = {
    "CA-1": "Vårrea, upp till 20 %",
    "CA-2": 'The "Aamu" collection is here',
    "CA-3": "Kesäale: viimeiset päivät!",
    "CA-4": "Win back\nsecond letter",
    "CA-5": "Välkommen, ny medlem",
}
MAILING_LISTS = ("newsletter", "vip", "store-openings")
SHOPS = ("helsinki", "tampere", "online")
_LOCALES = {"FI": "fi", "SE": "sv", "GB": "en-gb", "DE": "de"}
_POOL = 60


@dataclass(frozen=True)
class Country:
    """What a customer of one country may be called and where they may live."""

    code: str
    language: str
    dialling_code: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]
    streets: tuple[str, ...]


@dataclass(frozen=True)
class Pools:
    """Everything that generated records draw from."""

    countries: tuple[Country, ...]
    colours: tuple[str, ...]
    tastes: tuple[str, ...]


@functools.cache
def pools() -> Pools:
    """Make the pools; the same on every machine, the seed of a sandbox decides what is drawn from them."""
    # Only a sandbox with generated data needs mimesis.
    from mimesis import Generic  # noqa: PLC0415
    from mimesis.locales import Locale  # noqa: PLC0415

    countries = []
    for code, locale in _LOCALES.items():
        generic = Generic(Locale(locale), seed=1)
        address, person = generic.address, generic.person
        countries.append(
            Country(
                code=code,
                language=locale[:2].upper(),
                dialling_code={"FI": "+358", "SE": "+46", "GB": "+44", "DE": "+49"}[code],
                first_names=tuple(person.first_name() for _ in range(_POOL)),
                last_names=tuple(person.last_name() for _ in range(_POOL)),
                cities=tuple((address.city(), address.province()) for _ in range(_POOL)),
                streets=tuple(address.street_name() for _ in range(_POOL)),
            )
        )
    words = Generic(Locale.EN, seed=1)
    return Pools(
        countries=tuple(countries),
        colours=tuple(words.text.color() for _ in range(_POOL)),
        tastes=tuple(words.food.fruit() for _ in range(_POOL)),
    )


def ascii_slug(text: str) -> str:
    """Fold a name into lower-case ASCII letters and digits, joined by dots."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", ".", folded).strip(".") or "x"
