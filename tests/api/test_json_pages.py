"""JSON pages: read without changing a record, refused where anything is missing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import CustobarError, Fate, MalformedResponseError
from airflow_provider_custobar.api.pages import JsonPage, decode_json_page

JSON = {"content-type": "application/json"}


def decode(body: bytes | str, headers: dict[str, str] | None = None) -> JsonPage:
    return decode_json_page(body.encode() if isinstance(body, str) else body, headers or JSON, "customers")


def test_records_keep_every_byte() -> None:
    """Rule: numbers beyond 64 bits or double precision, escapes, non-ASCII letters and the order of keys are not touched."""
    records = [
        b'{"z":1,"a":12345678901234567890123456789,"m":0.1000000000000000055511151231257827,"e":1E400}',
        rb'{"name":"\u00e4\n\/\"\ud83d\ude00","raw":"' + "ä😀\u2028".encode() + b'","a":null}',
        b'{"external_id": "1",  "nested": {"b": [1, 2.50, {"c": "}"}]}}',
        b"{}",
    ]
    page = decode(b'{"customers":[' + b",".join(records) + b'],"count":4}')
    assert page.records == records
    assert (page.rows, page.fetched) == (4, 4)
    assert page.next_url is None


def test_pretty_printed_records_come_out_on_one_line_each() -> None:
    """Rule: layout between values goes, so that a record fits a line; what is inside of texts and numbers stays."""
    body = json.dumps({"customers": [{"a": "x  y\n", "n": [1, 2]}, {"b": {"c": "{ }"}}], "count": 2}, indent=4)
    page = decode(body.replace("\n", "\r\n").replace('"n"', '"big": 12345678901234567890.10, "n"'))
    assert page.records == [
        rb'{"a":"x  y\n","big":12345678901234567890.10,"n":[1,2]}',
        b'{"b":{"c":"{ }"}}',
    ]


def test_records_with_layout_only_between_them_keep_their_own_bytes() -> None:
    """Rule: line ends between records are no reason to write the records anew."""
    records = [b'{"a":  1}', b'{"b": [ 2 ]}']
    assert decode(b'{"customers": [\n' + b",\r\n".join(records) + b"\n]}\n").records == records


@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=8),
            st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=5)),
        ),
        max_size=8,
    ),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
def test_any_page_comes_back_record_by_record(rows: list[dict[str, Any]], indent: int | None, ascii_only: bool) -> None:
    """Rule: what the API wrote is what is handed on, however it lays its JSON out; no record holds a line end."""
    page = decode(json.dumps({"next_url": None, "customers": rows}, indent=indent, ensure_ascii=ascii_only))
    assert [json.loads(record) for record in page.records] == rows
    assert all(b"\n" not in record and b"\r" not in record for record in page.records)
    assert page.rows == page.fetched == len(rows)


def test_dicts_are_the_decoded_records() -> None:
    """Rule: dicts() gives Python values with whole numbers unharmed."""
    assert list(decode('{"customers":[{"a":12345678901234567890123,"b":"\\u00e4"}]}').dicts()) == [
        {"a": 12345678901234567890123, "b": "ä"}
    ]


def test_a_byte_order_mark_is_dropped() -> None:
    """Rule: a BOM before the JSON is no part of it."""
    assert decode(b"\xef\xbb\xbf" + b'{"customers":[{}]}').rows == 1


PAGE = '{"count": 2, "customers": [{"external_id": "1", "name": "Äiti \\u00e4 😀"}, {"n": -1.5e3}], "next_url": "https://x/?c=1"}'.encode()


@pytest.mark.parametrize("length", range(len(PAGE)))
def test_a_page_cut_anywhere_is_refused(length: int) -> None:
    """Rule: no proper beginning of a page passes for a page."""
    with pytest.raises(MalformedResponseError):
        decode(PAGE[:length])


@given(st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=3), max_size=4), st.data())
def test_any_proper_prefix_of_any_page_is_refused(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    """Rule: as above, for pages of any content."""
    body = json.dumps({"customers": rows, "next_url": "https://x/"}, ensure_ascii=False).encode()
    with pytest.raises(MalformedResponseError):
        decode(body[: data.draw(st.integers(0, len(body) - 1))])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not whole JSON"),
        (b"null", "shape"),
        (b"[]", "shape"),
        (b'"customers"', "shape"),
        (b"[{}]", "shape"),
        (b"{}", 'no "customers"'),
        (b'{"count":0}', "count"),
        (b'{"events":[]}', "events"),
        (b'{"error":{"reason":"x"}}', "error"),
        (b'{"customers":[],"error":{"reason":"x"}}', "error"),
        (b'{"customers":[{}],"next_url":null,"error":"Timed out."}', "error"),
        (b'{"customers":null}', "shape"),
        (b'{"customers":{}}', "shape"),
        (b'{"customers":"x"}', "shape"),
        (b'{"customers":[1]}', "JSON objects"),
        (b'{"customers":[null]}', "JSON objects"),
        (b'{"customers":[[]]}', "JSON objects"),
        (b'{"customers":[{},"x"]}', "JSON objects"),
        (b'{"customers":[],"next_url":7}', "shape"),
        (b'{"customers":[],"next_url":["x"]}', "shape"),
        (b'{"customers":[]} {"customers":[]}', "not whole JSON"),
        (b'{"customers":[{"a":NaN}]}', "not whole JSON"),
        (b'{"customers":[{"a":01}]}', "not whole JSON"),
        (rb'{"customers":[{"a":"\q"}]}', "not whole JSON"),
        (b'{"customers":[{"a":"\x01"}]}', "not whole JSON"),
        (b'{"customers":[{"a":"\xff"}]}', "UTF-8"),
        (b'{"customers":[{"a":"\xc3"}]}', "UTF-8"),
        ('{"customers":[]}'.encode("utf-16"), "UTF-8"),
        (b"external_id,email\r\n1,a@b.fi\r\n", "not whole JSON"),
        (b"<html><body>Log in</body></html>", "HTML"),
        (b"\r\n <!DOCTYPE html>", "HTML"),
        (b'{"customers":' + b"[" * 100_000, "not whole JSON"),
    ],
    ids=lambda part: repr(part)[:50],
)
def test_what_is_no_page_is_refused(body: bytes, said: str) -> None:
    """Rule: anything but a list of objects under the resource's name is refused, naming the resource and the reason."""
    with pytest.raises(MalformedResponseError, match="customers") as caught:
        decode(body)
    assert said in str(caught.value)
    assert caught.value.fate is Fate.TRANSIENT


def test_an_html_answer_is_named_so_by_its_content_type() -> None:
    """Rule: a page announced as HTML is refused, whatever is in it."""
    with pytest.raises(MalformedResponseError, match="HTML"):
        decode('{"customers":[]}', {"content-type": "text/html; charset=utf-8"})


@pytest.mark.parametrize("body", [b'{"data":{"email":"teppo@example.com"}}', b'{"customers":["teppo@example.com"]}'])
def test_a_refusal_holds_no_record_data(body: bytes) -> None:
    """Rule: error texts say what is wrong with a page without repeating its records."""
    with pytest.raises(MalformedResponseError) as caught:
        decode(body)
    assert "teppo" not in str(caught.value)


@pytest.mark.parametrize(
    ("tail", "headers", "next_url"),
    [
        ("", {}, None),
        (',"next_url":null', {}, None),
        (',"next_url":""', {}, None),
        (',"next_url":"https://x/?c=%2B"', {}, "https://x/?c=%2B"),
        (r',"next_url":"https:\/\/x\/?a=1&b=2"', {}, "https://x/?a=1&b=2"),
        ("", {"x-custobar-next-url": "https://h/"}, "https://h/"),
        ("", {"x-custobar-next-url": ""}, None),
        (',"next_url":"https://b/"', {"x-custobar-next-url": "https://h/"}, "https://b/"),
    ],
)
def test_the_next_page_is_named_by_key_or_header(tail: str, headers: dict[str, str], next_url: str | None) -> None:
    """Rule: an absent, null or empty next_url means none; the header X-Custobar-Next-Url names it too."""
    assert decode(f'{{"customers":[]{tail}}}', JSON | headers).next_url == next_url


def test_other_keys_are_left_alone() -> None:
    """Rule: count and keys that nobody documented, of any type, do no harm; nor does the order of keys."""
    page = decode('{"next_url":"https://x/","count":"many","meta":{"a":[1]},"customers":[{"next_url":"no"}]}')
    assert (page.rows, page.next_url) == (1, "https://x/")


def test_errors_are_this_packages_own() -> None:
    """Rule: whatever bytes come, a page decodes or raises this package's error, nothing from a parser below."""
    for body in (b"\x00", b"\xff\xfe", b'{"customers":[{"a":1e999999}]}', b"{" * 50):
        try:
            page = decode(body)
        except CustobarError:
            continue
        assert all(msgspec.json.decode(record, type=msgspec.Raw) for record in page.records)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (rb"x\ud83d", rb"x\ufffd"),
        (rb"\uDE00 y", rb"\ufffd y"),
        (rb"\ud83d\ude00\ud83d", rb"\ud83d\ude00\ufffd"),
        (rb"\\ud83d", rb"\\ud83d"),
        (rb"\\\ud83d", rb"\\\ufffd"),
    ],
)
def test_half_a_character_does_not_block_its_page(sent: bytes, kept: bytes) -> None:
    """Rule: an escaped half of a character, valid JSON that no UTF-8 can hold, is replaced; whole ones and texts stay."""
    page = decode_json_page(b'{"customers":[{"a":"%s"}]}' % sent, {}, "customers")
    assert page.records == [b'{"a":"%s"}' % kept]
