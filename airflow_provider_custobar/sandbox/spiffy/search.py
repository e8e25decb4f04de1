"""The ``query`` of a search: terms separated by spaces, all of which must hold.

P1 shows ``country:``, ``total_spent:>100`` and a leading ``-``; other fields, comparisons and quotes are our choice.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

Test = Callable[[Mapping[str, Any]], bool]

_TERM = re.compile(r'(?P<minus>-?)(?:(?P<name>[a-z_]\w*):)?(?P<value>"[^"]*"|\S+)')
_COMPARISON = re.compile(r"(>=|<=|>|<)(.*)", re.DOTALL)
_OPERATORS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
#: Looked for in the addresses; the country by name and by code.
_IN_ADDRESSES: dict[str, tuple[str, ...]] = {
    "country": ("country", "country_code"),
    "province": ("province", "province_code"),
    **{name: (name,) for name in ("address1", "address2", "city", "company", "country_code", "phone", "province_code", "zip")},
}


def parse_search(text: str) -> Test:
    """Return the test of a search; an empty one lets everybody through."""
    tests = list(_tests(text))
    return lambda customer: all(test(customer) for test in tests)


def _tests(text: str) -> Iterator[Test]:
    for term in _TERM.finditer(text):
        value = term["value"].strip('"').lower()
        test = _field(term["name"], value) if term["name"] else _word(value)
        yield _negated(test) if term["minus"] else test


def _negated(test: Test) -> Test:
    return lambda customer: not test(customer)


def _word(word: str) -> Test:
    return lambda customer: any(word in str(customer.get(name) or "").lower() for name in ("name", "email"))


def _field(name: str, wanted: str) -> Test:
    comparison = _COMPARISON.fullmatch(wanted)
    limit = _number(comparison[2]) if comparison else None
    if comparison and limit is not None:
        compare, bound = _OPERATORS[comparison[1]], limit

        def compared(customer: Mapping[str, Any]) -> bool:
            number = _number(customer.get(name))
            return number is not None and compare(number, bound)

        return compared
    return lambda customer: any(_same(value, wanted) for value in _values(customer, name))


def _values(customer: Mapping[str, Any], name: str) -> Iterator[Any]:
    if name == "tags":
        yield from str(customer.get("tags") or "").split(",")
        return
    if name in customer:
        yield customer[name]
    for address in (customer.get("default_address"), *(customer.get("addresses") or ())):
        if isinstance(address, Mapping):
            yield from (address.get(each) for each in _IN_ADDRESSES.get(name, ()))


def _same(value: Any, wanted: str) -> bool:
    """Compare a whole value or one of its words; numbers as numbers."""
    if value is None:
        return False
    if isinstance(value, bool):
        return wanted == str(value).lower()
    number = _number(value)
    if number is not None and number == _number(wanted):
        return True
    text = str(value).strip().lower()
    return text == wanted or wanted in text.split()


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
