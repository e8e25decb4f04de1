"""E-mail addresses and phone numbers, by the libraries that know them; most rows pass by a short cut.

The libraries take 50 to 100 microseconds a value. What a short cut accepts they accept too (tests hold that); whatever it does
not is for them to decide.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import email_validator
import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata

_LOCAL = r"[A-Za-z0-9_%+'-]+(?:\.[A-Za-z0-9_%+'-]+)*"
_LABEL = r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*"
_PLAIN_EMAIL = re.compile(rf"(?=.{{6,254}}\Z)(?=[^@]{{1,64}}@){_LOCAL}@(?:{_LABEL}\.)+([A-Za-z]{{2,24}})")
_LONGEST_LABEL = re.compile(r"[^.@]{64}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_LONGEST_CALLING_CODE = 3


def check_email(value: str) -> str:
    """``value`` as it is.

    :raises ValueError: not the form of an e-mail address in a domain of two labels or more. Nothing is looked up.
    """
    plain = _PLAIN_EMAIL.fullmatch(value)
    if plain and plain[1].lower() not in email_validator.SPECIAL_USE_DOMAIN_NAMES and not _LONGEST_LABEL.search(value):
        return value
    # EmailNotValidError is a ValueError; its text may show the address, so nobody shows it.
    email_validator.validate_email(value, check_deliverability=False, globally_deliverable=False)
    if "." not in value.rpartition("@")[2]:
        raise ValueError
    return value


def check_phone(value: str) -> str:
    """``value`` as it is.

    :raises ValueError: not in E.164 form, or a number that its country cannot have, by its length.
    """
    if not _E164.fullmatch(value):
        raise ValueError
    for length in range(1, _LONGEST_CALLING_CODE + 1):
        plan = _numbering_plan(value[1 : 1 + length])
        if plan:
            pattern, lengths = plan
            if len(value) - 1 - length in lengths and pattern.fullmatch(value, 1 + length):
                return value
            break
    try:
        number = phonenumbers.parse(value)
    except phonenumbers.NumberParseException as error:
        raise ValueError from error
    # The library leaves a national prefix out, as in +358 (0)40; but then the text is not E.164.
    if phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) != value:
        raise ValueError
    if not phonenumbers.is_possible_number(number):
        raise ValueError
    return value


@cache
def _numbering_plan(calling_code: str) -> tuple[re.Pattern[str], frozenset[int]] | None:
    """What numbers of a country look like, and how many digits they have; None where no country has this code."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(calling_code))
    if not regions:
        return None
    metadata: Any = PhoneMetadata.metadata_for_region_or_calling_code(int(calling_code), regions[0])
    general = metadata.general_desc
    return re.compile(general.national_number_pattern), frozenset(general.possible_length)
