"""JSON and JSON Lines: numbers with their digits, one value for each name, and rows that are set aside alone."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.upload.files import FileError
from airflow_provider_custobar.upload.formats.json_array import read_array
from airflow_provider_custobar.upload.rows import GoodRow, Rejected, Unreadable, check_row
from tests.upload.file_help import read
from tests.upload.support import build_plan


def both(*texts: str) -> list[list[Any]]:
    """The rows that each text is, as elements of an array and as lines."""
    return [read("a.json", f"[{', '.join(texts)}]".encode()), read("a.jsonl", "\n".join(texts).encode())]


@pytest.mark.parametrize(
    "digits",
    ["12345678901234567.89", "0.10", "-0.0", "1.0", "19.900", "0.1000000000000000055511151231257827", "100000000000000000000",
     "-9223372036854775809", "18446744073709551616", "9007199254740993", "9" * 400, "123456789.123456789123456789"],
)  # fmt: skip
def test_numbers_keep_their_digits(digits: str) -> None:
    """Rule: a number goes out, or into the file of rejects, with the digits that it came with."""
    for (row,) in both(f'{{"external_id": "1", "ACME__n": {digits}, "ACME__l": [{{"n": {digits}}}]}}'):
        good = check_row(0, row, build_plan())
        assert isinstance(good, GoodRow)
        assert good.data.decode() == f'{{"external_id":"1","ACME__n":{digits},"ACME__l":[{{"n":{digits}}}]}}'
        rejected = check_row(0, row | {"no_such_field": 1}, build_plan())
        assert isinstance(rejected, Rejected)
        assert f'"ACME__n":{digits},' in rejected.as_json().decode()


@pytest.mark.parametrize("digits", ["1e400", "-1E-400", "1.50e+3", "1e5", "0.0000001"])
def test_numbers_with_exponents_stay_the_same_number(digits: str) -> None:
    """Rule: an exponent may be written otherwise, and the number is the same to the last digit."""
    for (row,) in both(f'{{"external_id": "1", "ACME__n": {digits}}}'):
        good = check_row(0, row, build_plan())
        assert isinstance(good, GoodRow)
        assert json.loads(good.data, parse_float=Decimal)["ACME__n"] == Decimal(digits)


@pytest.mark.parametrize(
    "row", [{"n": Decimal("NaN")}, {"n": float("nan"), "m": Decimal("1.50")}, {"n": [Decimal("-Infinity")]}]
)
def test_a_rejected_row_is_json_whatever_it_holds(row: dict[str, Any]) -> None:
    """Rule: what JSON has no number for is no number in the file of rejects."""
    rejected = check_row(0, row, build_plan())
    assert isinstance(rejected, Rejected)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(rejected.as_json(), parse_constant=refuse)


# Deeper than any version of Python goes.
DEEP = "[" * 200_000 + '"}]\\""' + "]" * 200_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{{"external_id": "1", "ACME__n": {DEEP}}}', "'ACME__n' is nested too deep"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "'a' is nested too deep"),
        (DEEP, "it is nested too deep"),
        (f'{{"a": {{"b": "]}}"}}, "Ada Lovelace": {DEEP}}}', "a field whose name has other characters"),
        ('{"external_id": "1", "city": "Oulu", "city": "Turku"}', "one name twice: 'city'"),
        ('{"Ada Lovelace": 1, "Ada Lovelace": 1}', "one name twice: a field whose name has other characters"),
        ('{"external_id": "1", "ACME__n": {"a": 1, "b": [{"c" : 1, "c": 1}]}}', "one name twice"),
        ('{"external_id" : "1", "external_id":"2"}', "one name twice"),
        ('{"a\\u0062": 1, "ab": 2}', "one name twice"),
        ('{"ACME__n": 1e99999999999999999999}', "'ACME__n' holds a number that is too large"),
        (f'{{"b":[1, {{"c": 2}}],"ACME__n":[{{"c": {"1" * 5_000}}}],"d":1}}', "'ACME__n' holds a number that is too large"),
        ("9" * 5_000, "it holds a number that is too large"),
    ],
)
def test_a_row_that_no_value_can_be_made_of_is_set_aside_alone(text: str, said: str) -> None:
    """Rule: the rows around it are read, and the file of rejects holds it as it came."""
    for found in both('{"a": 1}', text, '{"a": 2}'):
        first, bad, last = found
        assert (first, last) == ({"a": 1}, {"a": 2})
        assert isinstance(bad, Unreadable)
        assert said in bad.reason
        assert bad.content == text


@pytest.mark.parametrize("depth", [150, 700, 950, 5_000])
def test_a_value_that_is_nested_deep_is_a_reason_against_its_row(depth: int) -> None:
    """Rule: between what every reader takes and what none does, it is the row that is refused, and it can be written down."""
    for rows in both(f'{{"external_id": "1", "ACME__n": {"[" * depth}1{"]" * depth}}}', '{"external_id": "2"}'):
        rejected, good = (check_row(place, row, build_plan()) for place, row in enumerate(rows))
        assert isinstance(rejected, Rejected)
        assert "nested" in rejected.reasons[0]
        assert json.loads(rejected.as_json())["position"] == 0
        assert isinstance(good, GoodRow)


@pytest.mark.parametrize(
    "text",
    ['{"a": ":x\\":", "b": "c :d"}', '{"a": "\\": 1"}', '{"a": {"a": {"a": 1}}}', '{"a" : 1, "b"\t:2}', '[{"a": 1}, {"a": 2}]'],
)
def test_names_that_are_alike_only_seem_to_be_one(text: str) -> None:
    """Rule: a name counts once for each object, and colons within texts are no names."""
    for found in both(text):
        assert found == [json.loads(text)]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_for_no_number_are_a_reason_against_their_row(word: str) -> None:
    """Rule: what some programs write for nothing is refused with its field's name, in both formats."""
    for (row,) in both(f'{{"external_id": "1", "ACME__n": {word}}}'):
        rejected = check_row(0, row, build_plan())
        assert isinstance(rejected, Rejected)
        assert "ACME__n" in rejected.reasons[0]


def test_line_ends_within_lines() -> None:
    """Rule: only line feeds and carriage returns end a line of JSON."""
    data = '{"a": "\u2028\u2029\x85"}\r\n\r\n{"a": 1}\r{"a":\t2}\r\r\n {"a": 3} '
    assert read("a.jsonl", data.encode()) == [{"a": "\u2028\u2029\x85"}, {"a": 1}, {"a": 2}, {"a": 3}]


def test_bytes_that_are_no_text_are_a_reason_against_their_line() -> None:
    """Rule: a line that is no text in its encoding is set aside alone."""
    first, bad, last = read("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n{"a": 2}\n')
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert bad == Unreadable("it holds bytes that are no text in its encoding", '{"a": "\ufffd"}')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}\n{"a": 2}\n', "after 0 rows: .*jsonl"),
        ('[{"a": 1}, {"a": secret}]', "after 1 rows: it is not whole JSON"),
        ('[{"a": 1}, {"secret": 1}', "after 2 rows: "),
        (f'[{{"a": 1}}, {DEEP[:-1]}', "after 1 rows: it is not whole JSON"),
        ("[1,, 2]", "after 1 rows: "),
        ('{"a": [1], "b": [2]}', "something follows"),
    ],
)
def test_a_document_that_is_none_is_told_by_file_and_place(text: str, said: str) -> None:
    """Rule: what is wrong with a document as a whole names the file and how far it was read, and shows nothing of it."""
    with pytest.raises(FileError, match=rf"(?s)^a\.json cannot be read to its end, .*({said})") as caught:
        read("a.json", text.encode())
    assert "secret" not in str(caught.value)


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 1]), st.integers(1, 40))
def test_arrays_are_read_in_pieces_of_any_size(rows: list[Any], indent: int | None, piece: int) -> None:
    """Rule: wherever the text is cut, the elements are those of the array, and one that is set aside ends where it ends."""

    class Pieces(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            return super().read(min(size or 0, piece) if size and size > 0 else piece)

    for document in (rows, {"customers": rows}):
        assert list(read_array(Pieces(json.dumps(document, indent=indent)))) == rows
    twice = '{"a": "]}\\\\\\"[", "a": [1, {"b": ","}]}'
    *before, bad, last = read_array(Pieces(f"[{''.join(f'{json.dumps(row, indent=indent)}, ' for row in rows)}{twice} , 1]"))
    assert (before, bad.content, last) == (rows, twice, 1)


FIELDS = st.dictionaries(
    st.sampled_from(["ACME__a", "ACME__b", "ACME__c"]),
    st.recursive(
        st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=4,
    ),
)


def as_json(value: Any) -> str:
    """JSON of a value, decimals as numbers with their digits."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {as_json(item)}" for name, item in value.items()) + "}"
    return "[" + ", ".join(map(as_json, value)) + "]" if isinstance(value, list) else json.dumps(value)


@given(st.lists(FIELDS, max_size=4), st.sampled_from(["utf-8", "utf-16-be"]))
def test_the_body_of_a_request_is_what_pythons_own_reader_finds(fields: list[dict[str, Any]], encoding: str) -> None:
    """Rule: what was in the file goes out, value for value and digit for digit."""
    texts = [as_json({"external_id": str(n)} | row) for n, row in enumerate(fields)]
    expected = [json.loads(text, parse_float=Decimal) for text in texts]
    for name, data in {"a.json": f"[{','.join(texts)}]", "a.jsonl": "\n".join(texts)}.items():
        checked = [
            check_row(n, row, build_plan()) for n, row in enumerate(read(name, data.encode(encoding), encoding=encoding))
        ]
        assert all(isinstance(row, GoodRow) for row in checked)
        assert [json.loads(row.data, parse_float=Decimal) for row in checked if isinstance(row, GoodRow)] == expected
