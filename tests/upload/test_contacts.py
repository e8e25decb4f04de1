"""E-mail addresses and phone numbers: what the short cuts accept, the libraries accept."""

from __future__ import annotations

import email_validator
import phonenumbers
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from airflow_provider_custobar.upload import contacts

ADDRESS_LIKE = st.from_regex(r"[A-Za-z0-9._%+'\-@]{1,12}@[A-Za-z0-9\-.]{1,20}\.[A-Za-z]{1,6}", fullmatch=True)


def accepts_email(value: str) -> bool:
    try:
        email_validator.validate_email(value, check_deliverability=False, globally_deliverable=False)
    except email_validator.EmailNotValidError:
        return False
    return "." in value.rpartition("@")[2]


@given(ADDRESS_LIKE)
@example("a" * 64 + "@example.com")
@example("a" * 65 + "@example.com")
@example("a@" + "b" * 64 + ".com")
@example("a@" + "b." * 130 + "com")
@example("a@example.test")
@example("a@example.LOCAL")
@example("a@ab--cd.com")
@example("a@xn--a.com")
def test_addresses_are_judged_as_the_library_judges_them(value: str) -> None:
    """Rule: the short cut changes nothing but the time: the verdict is the library's, and a domain has two labels."""
    try:
        assert contacts.check_email(value) == value
    except ValueError:
        assert not accepts_email(value)
    else:
        assert accepts_email(value)


def accepts_phone(value: str) -> bool:
    try:
        number = phonenumbers.parse(value)
    except phonenumbers.NumberParseException:
        return False
    is_e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == value
    return is_e164 and phonenumbers.is_possible_number(number)


@given(st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)), st.from_regex(r"[0-9]{4,13}", fullmatch=True))
def test_numbers_are_judged_as_the_library_judges_them(calling_code: int, national: str) -> None:
    """Rule: in every country, the verdict is that of phonenumbers: possible, and written as E.164 has it."""
    value = f"+{calling_code}{national}"
    assume(7 <= len(value) - 1 <= 15)
    try:
        contacts.check_phone(value)
    except ValueError:
        assert not accepts_phone(value)
    else:
        assert accepts_phone(value)


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_each_countrys_example_number_passes(region: str) -> None:
    """Rule: a real number of any country passes."""
    number = phonenumbers.example_number(region)
    assert number is not None
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if len(written) > 7:
        contacts.check_phone(written)
