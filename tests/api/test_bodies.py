"""A body is whole only when its own end has been seen: a length, the last chunk, the end mark of its compression."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.api.content_encoding import Body, BodyError
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.api.spiffy.client import SpiffyStoresClient
from airflow_provider_custobar.api.spiffy.service import SPIFFY_STORES

ROWS = b"external_id,email\r\n" + b"".join(b"%d,%d@example.com\r\n" % (number, number * 7919) for number in range(60))
JSON = b'{"customers":[' + b",".join(b'{"external_id":"%d"}' % number for number in range(60)) + b"]}"


def _zlib(data: bytes) -> bytes:
    return zlib.compress(data)


def _raw(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def _members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[start : start + 300], mtime=0) for start in range(0, len(data), 300))


def _named(data: bytes) -> bytes:
    """As `gzip -N` writes it: a header of more than ten bytes."""
    plain = gzip.compress(data, mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + b"customers.csv\0" + plain[10:]


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    (" GZip ", gzip.compress),
    ("gzip", _named),
    ("gzip", lambda data: gzip.compress(data, 0)),
    ("deflate", _zlib),
    ("deflate", _raw),
    ("Deflate", lambda data: zlib.compress(data, 0)),
    ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))),
    ("deflate,gzip", lambda data: gzip.compress(_raw(data))),
    ("gzip, identity, deflate", lambda data: _zlib(gzip.compress(data))),
    ("identity, gzip", gzip.compress),
]


def read(header: str, pieces: Iterable[bytes]) -> bytes:
    body = Body({"content-encoding": header})
    for piece in pieces:
        body.write(piece)
    return body.whole()


def singly(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


@pytest.mark.slow
@pytest.mark.parametrize(("header", "compress"), CODINGS)
def test_a_stream_cut_anywhere_is_whole_or_refused(header: str, compress: Callable[[bytes], bytes]) -> None:
    """Rule: a compressed body that stops at any byte is refused, however its pieces came; a whole one is as it was sent."""
    stream = compress(ROWS)
    assert read(header, [stream]) == read(header, singly(stream)) == ROWS
    for cut in range(len(stream)):
        for pieces in ([stream[:cut]], singly(stream[:cut])):
            with pytest.raises(BodyError):
                read(header, pieces)


def test_members_cut_anywhere_but_between_them_are_refused() -> None:
    """Rule: several gzip members are one body. Between two of them is an end mark, so there only the message's end counts."""
    parts = [gzip.compress(ROWS[start : start + 300], mtime=0) for start in range(0, len(ROWS), 300)]
    stream = b"".join(parts)
    assert read("gzip", [stream]) == read("gzip", singly(stream)) == ROWS
    between = {sum(map(len, parts[:number])) for number in range(1, len(parts))}
    for cut in set(range(len(stream))) - between:
        with pytest.raises(BodyError):
            read("gzip", [stream[:cut]])


def test_an_empty_body_compressed_is_an_empty_body() -> None:
    """Rule: what compresses nothing is whole, and nothing at all is no compressed body."""
    for header, compress in CODINGS:
        assert read(header, [compress(b"")]) == b""
        with pytest.raises(BodyError, match="end mark"):
            read(header, [])


@pytest.mark.parametrize("header", ["", " ", "identity", "IDENTITY", ",", "identity, identity", "UTF-8", "utf8", "iso-8859-1"])
def test_a_plain_body_stays_as_it_is(header: str) -> None:
    """Rule: a body without a coding is not touched, also if it looks like one; the name of a charset is no coding."""
    assert read(header, [b"\x1f\x8b\x08", b"", b"\x00"]) == b"\x1f\x8b\x08\x00"


@pytest.mark.parametrize(
    "header", ["br", "zstd", "compress", "gzip, br", "BR", "gzip;q=1", "gzip,gzip,gzip,gzip,gzip,gzip", "aws-chunked"]
)
def test_a_coding_that_was_not_asked_for_is_refused(header: str) -> None:
    """Rule: what no one can read is never taken for text."""
    with pytest.raises(BodyError):
        read(header, [gzip.compress(ROWS)])


@given(st.data())
def test_a_damaged_stream_is_whole_or_refused(data: st.DataObject) -> None:
    """Rule: with any byte changed, or anything behind its end, a gzip or zlib body is the body that was sent or an error."""
    header, compress = data.draw(st.sampled_from([(header, each) for header, each in CODINGS if each is not _raw]))
    stream = bytearray(compress(ROWS))
    if data.draw(st.booleans()):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        stream += data.draw(st.binary(min_size=1, max_size=30))
    with suppress(BodyError):
        assert read(header, [bytes(stream)]) == ROWS


@pytest.mark.parametrize("padding", [b"\0" * 10, b"\r\n", b"\n \n\n\0"])
def test_padding_behind_the_end_is_none_of_the_body(padding: bytes) -> None:
    """Rule: zeros and blanks behind the end mark, which some servers send, are left out; between members too."""
    for header, compress in CODINGS:
        assert read(header, [compress(ROWS) + padding]) == read(header, singly(compress(ROWS) + padding)) == ROWS
    assert read("gzip", [gzip.compress(ROWS) + padding + gzip.compress(ROWS)]) == ROWS + ROWS


def test_a_wrong_check_sum_is_refused() -> None:
    """Rule: the CRC and the length in gzip's trailer, and zlib's check sum, are compared."""
    for header, compress, trailer in (("gzip", gzip.compress, 8), ("deflate", _zlib, 4)):
        for place in range(1, trailer + 1):
            stream = bytearray(compress(ROWS))
            stream[-place] ^= 1
            with pytest.raises(BodyError, match="damaged"):
                read(header, [bytes(stream)])


def test_a_body_is_in_memory_once() -> None:
    """Rule: a large page costs its own size and a few pieces, compressed a thousandfold or not at all."""
    size = 64 << 20
    for header, pieces in (("gzip", [gzip.compress(bytes(size))]), ("identity", [bytes(1 << 20)] * 64)):
        tracemalloc.start()
        try:
            assert len(read(header, pieces)) == size
            # A growing buffer is a ninth larger than what is in it, and for a moment there are two of them.
            assert tracemalloc.get_traced_memory()[1] < 2.3 * size
        finally:
            tracemalloc.stop()


def head(*lines: str, status: str = "200 OK", kind: str = "text/csv") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", f"Content-Type: {kind}", *lines, "", ""]).encode()


def sized(body: bytes, *lines: str, length: int | None = None, **of: str) -> bytes:
    return head(*lines, f"Content-Length: {len(body) if length is None else length}", **of) + body


def chunked(body: bytes, *lines: str, zeros: int = 0) -> bytes:
    pieces = [body[start : start + 256] for start in range(0, len(body), 256)] + [b""]
    return head(*lines, "Transfer-Encoding: chunked") + b"".join(
        f"{'0' * zeros}{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces
    )


def rows_of(client: Any, api_format: str = "csv") -> list[str]:
    return [
        row["external_id"] for page in client.pages(build_query("customers", api_format=api_format)) for row in page.dicts()
    ]


EVERY_ROW = [str(number) for number in range(60)]
GZIP = "Content-Encoding: gzip"
ZIPPED = gzip.compress(ROWS)

CUT = {
    "gzip cut": sized(ZIPPED[:-200], GZIP),
    "gzip without its trailer": sized(ZIPPED[:-8], GZIP),
    "gzip without its last byte": sized(ZIPPED[:-1], GZIP),
    "gzip of nothing": sized(b"", GZIP),
    "gzip cut, chunked": chunked(ZIPPED[:-200], GZIP),
    "gzip cut, unframed": head(GZIP) + ZIPPED[:-200],
    "gzip with a wrong sum": sized(ZIPPED[:-5] + b"\0" + ZIPPED[-4:], GZIP),
    "gzip and more": sized(ZIPPED + b"more", GZIP),
    "zlib cut": sized(zlib.compress(ROWS)[:-6], "Content-Encoding: deflate"),
    "deflate cut": sized(_raw(ROWS)[:-6], "Content-Encoding: deflate"),
    "a coding not asked for": sized(ROWS, "Content-Encoding: br"),
    "no length": head() + ROWS,
    "no length, cut": head() + ROWS[:400],
    "an unreadable length": head("Content-Length: many") + ROWS,
    "longer length": sized(ROWS[:400], length=len(ROWS)),
    "shorter length": sized(ROWS, length=len(ROWS) - 22),
    "chunks cut in one": chunked(ROWS)[:-400],
    "chunks cut between": chunked(ROWS)[: -len(b"0\r\n\r\n")],
    "chunks cut in the size": chunked(ROWS, zeros=6)[: -len(b"0\r\n\r\n") - 3],
    "chunks without their last line end": chunked(ROWS)[:-2],
    "a head in place of a chunk": head("Transfer-Encoding: chunked") + sized(ROWS),
    "a chunk in place of its size": head("Transfer-Encoding: chunked") + ROWS,
    "lengths that differ": head(f"Content-Length: {len(ROWS)}", "Content-Length: 40") + ROWS,
    "a coding of the transfer": head("Transfer-Encoding: gzip") + ZIPPED,
    "codings of the transfer": head("Transfer-Encoding: gzip, chunked") + chunked(ZIPPED).partition(b"\r\n\r\n")[2],
    "no version": ROWS,
    "a header cut": head("X-Custobar-Next-Url: /api/data/customers/?c=2", "Content-Length: 0")[:-40],
}


@pytest.mark.parametrize("kind", CUT)
def test_a_page_that_is_not_whole_is_asked_for_again(make_any_client: Callable[..., Any], raw_server: Any, kind: str) -> None:
    """Rule: however a CSV page was cut, both clients ask again, and fail in the end if it stays so; never a part is taken."""
    raw_server.answers = [CUT[kind], sized(ROWS)]
    client = make_any_client(raw_server.url)
    assert rows_of(client) == EVERY_ROW
    assert len(client.long_waits) == 1
    raw_server.answers = [CUT[kind]]
    # Where the body's own form is what tells.
    error = (
        errors.MalformedResponseError
        if kind == "shorter length" and "Sync" not in type(client).__name__
        else errors.TransportError
    )
    with pytest.raises(error) as caught:
        rows_of(make_any_client(raw_server.url, max_attempts=2))
    if kind.startswith("no length"):
        assert "Content-Length" in str(caught.value)


WHOLE = {
    "gzip": sized(ZIPPED, GZIP),
    "members, chunked": chunked(_members(ROWS), GZIP),
    "gzip, unframed": head(GZIP) + ZIPPED,
    "zlib": sized(zlib.compress(ROWS), "Content-Encoding: DEFLATE"),
    "deflate": sized(_raw(ROWS), "Content-Encoding: deflate"),
    "twice": sized(gzip.compress(ZIPPED), "Content-Encoding: gzip, gzip"),
    "two headers": sized(_zlib(ZIPPED), GZIP, "Content-Encoding: deflate"),
    "chunks": chunked(ROWS, zeros=4),
    "the length twice": sized(ROWS, f"Content-Length: {len(ROWS)}"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_page_is_taken_as_it_comes(make_any_client: Callable[..., Any], raw_server: Any, kind: str) -> None:
    """Rule: both clients ask for what they read, and for nothing else, and read it."""
    raw_server.answers = [WHOLE[kind]]
    client = make_any_client(raw_server.url, max_attempts=1, timeout=2)
    assert rows_of(client) == EVERY_ROW
    assert [line for line in raw_server.heads[0].lower().splitlines() if line.startswith("accept-encoding")] == [
        "accept-encoding: gzip, deflate"
    ]


def test_json_shows_its_own_end(make_any_client: Callable[..., Any], raw_server: Any) -> None:
    """Rule: a JSON page whose end nothing but the closed connection tells is taken whole, and asked for again if cut."""
    whole = head(kind="application/json") + JSON
    for cut in (1, 2, 30, len(JSON)):
        raw_server.answers = [whole[:-cut], whole]
        client = make_any_client(raw_server.url)
        assert rows_of(client, "json") == EVERY_ROW
        assert len(client.long_waits) == 1


@pytest.mark.parametrize("cut", [1, 2, 3, 23, 300])
def test_a_length_that_is_too_short_is_found_out(raw_server: Any, cut: int) -> None:
    """Rule: what comes behind a page's Content-Length shows that it was not counted in bytes: no row is lost for it."""
    raw_server.answers = [sized(ROWS, length=len(ROWS) - cut), sized(ROWS)]
    config = config_from_connection(host=raw_server.url, password="APITOKEN")
    with CustobarClient(config, sleep=lambda _: None) as client:
        pages = list(client.pages(build_query("customers", api_format="csv")))
    assert [row["external_id"] for page in pages for row in page.dicts()] == EVERY_ROW
    # A line end is no loss.
    assert len(raw_server.heads) == (1 if cut <= 2 else 2)


@pytest.mark.slow
def test_an_answer_cut_anywhere_is_whole_or_asked_for_again(make_any_client: Callable[..., Any], raw_server: Any) -> None:
    """Rule: whichever byte of an answer is the last that arrives, head, chunk sizes and end included, no row is lost."""
    body = gzip.compress(ROWS[:200])
    rows = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    for whole in (chunked(body, GZIP, zeros=3), sized(body, GZIP), sized(ROWS[:200])):
        for cut in range(0, len(whole), 3):
            raw_server.answers = [whole[:cut], sized(ROWS[:200])]
            found = rows_of(make_any_client(raw_server.url))
            assert found == EVERY_ROW[: len(found)]
            assert len(found) >= len(rows) - 3


BROKEN = {
    "cut": {"length": 500},
    "no gzip": {"coding": "gzip"},
    "brotli": {"coding": "br"},
    "an empty gzip": {"coding": "gzip", "body": b""},
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("404 Not Found", errors.NotFoundError),
        ("401 Unauthorized", errors.AuthenticationError),
        ("429 Too Many Requests", errors.RateLimitedError),
        ("503 Service Unavailable", errors.ServerError),
    ],
)
def test_an_unreadable_body_does_not_hide_the_status(
    make_any_client: Callable[..., Any], raw_server: Any, status: str, error: type[errors.ResponseError], broken: str
) -> None:
    """Rule: an error's status says more than its body: a 404 stays a 404, a 429 waits as long as it says."""
    how: dict[str, Any] = {"coding": "identity", "body": b"Because.", "length": None, **BROKEN[broken]}
    answer = sized(how["body"], f"Content-Encoding: {how['coding']}", "Retry-After: 7", length=how["length"], status=status)
    raw_server.answers = [answer]
    with pytest.raises(error) as caught:
        rows_of(make_any_client(raw_server.url, max_attempts=1))
    assert caught.value.reason == ""
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("api_format", ["csv", "json"])
@pytest.mark.parametrize(
    "status", ["201 Created", "202 Accepted", "203 Other", "204 None", "205 Reset", "206 Part", "226 IM", "299 Odd"]
)
def test_only_a_200_is_a_page(make_any_client: Callable[..., Any], raw_server: Any, status: str, api_format: str) -> None:
    """Rule: whatever comes with another success status is no page: asked for again, and an error if it stays so."""
    body = ROWS if api_format == "csv" else JSON
    kind = "text/csv" if api_format == "csv" else "application/json"
    other = head(status=status) if status.startswith("204") else sized(body, status=status, kind=kind)
    raw_server.answers = [other, sized(body, kind=kind)]
    client = make_any_client(raw_server.url)
    assert rows_of(client, api_format) == EVERY_ROW
    assert len(client.long_waits) == 1
    raw_server.answers = [other]
    with pytest.raises(errors.MalformedResponseError, match=status[:3]):
        rows_of(make_any_client(raw_server.url, max_attempts=2), api_format)


@pytest.mark.parametrize(
    "answer",
    [
        sized(b"", status="200 OK"),
        sized(b"{}", status="201 Created"),
        head(status="202 Accepted"),
        head(status="204 None"),
        head(GZIP, status="204 None"),
        sized(b"", GZIP, status="205 Reset"),
    ],
)
def test_every_success_status_is_one_for_an_upload(raw_server: Any, answer: bytes) -> None:
    """Rule: an upload is taken with any 2xx (which one is not documented); testing the connection wants a 200."""
    raw_server.answers = [answer]
    config = config_from_connection(host=raw_server.url, password="APITOKEN", extra={"max_attempts": 1})
    with CustobarClient(config, sleep=lambda _: None) as client:
        assert client.upload(RESOURCES["customers"], [b'{"external_id":"1"}']) is None
        with pytest.raises(errors.CustobarError):
            client.test()


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize(
    "interim", [INTERIM, b"HTTP/1.1 100 Continue\r\n\r\n" + INTERIM * 3, b"HTTP/1.1 102 Processing\r\n\r\n"]
)
def test_an_interim_answer_is_not_the_answer(make_any_client: Callable[..., Any], raw_server: Any, interim: bytes) -> None:
    """Rule: 1xx is passed over, so that no answer is ever taken for that of another request."""
    raw_server.keeps_open = True
    pages = [b"external_id\r\n%d\r\n" % number for number in range(3)]
    raw_server.answers = [
        interim + sized(page, f"X-Custobar-Next-Url: /api/data/customers/?cursor={number}" if number < 2 else "X-Other: 1")
        for number, page in enumerate(pages)
    ]
    client = make_any_client(raw_server.url)
    assert rows_of(client) == ["0", "1", "2"]
    assert client.long_waits == []
    assert len(raw_server.heads) == 3


UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"


@pytest.mark.parametrize("alone", [INTERIM, INTERIM * 200, UPGRADE, INTERIM + ROWS])
def test_an_interim_answer_alone_is_none(make_any_client: Callable[..., Any], raw_server: Any, alone: bytes) -> None:
    """Rule: where nothing follows a 1xx, or it changes the protocol, the page is asked for again."""
    raw_server.answers = [alone, sized(ROWS)]
    client = make_any_client(raw_server.url)
    assert rows_of(client) == EVERY_ROW
    assert len(client.long_waits) == 1


def test_what_is_left_of_an_answer_is_not_the_next_one(make_any_client: Callable[..., Any], raw_server: Any) -> None:
    """Rule: bytes behind an answer's end, another answer among them, are not taken for the answer to a later request."""
    raw_server.keeps_open = True
    stray = sized(b"external_id\r\nstray\r\n")
    for more in (stray, b"stray", b"\r\n"):
        chunks = head("Transfer-Encoding: chunked", status="204 None") + b"0\r\n\r\n"
        for first in (chunks, sized(b"{}", status="503 Busy"), sized(ROWS, length=len(ROWS) - 22), head(status="204 None")):
            raw_server.answers = [first + more, sized(ROWS)]
            assert rows_of(make_any_client(raw_server.url)) == EVERY_ROW


def test_a_goodbye_to_an_idle_connection_is_no_answer(raw_server: Any) -> None:
    """Rule: a 408 that a server sends before it closes an idle connection is not taken for the answer to the next request."""
    raw_server.goodbye = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    first = sized(b"external_id\r\n0\r\n", "X-Custobar-Next-Url: /api/data/customers/?cursor=1")
    raw_server.answers = [first.replace(b"Connection: close\r\n", b""), sized(b"external_id\r\n1\r\n")]
    config = config_from_connection(host=raw_server.url, password="APITOKEN")
    with CustobarClient(config, sleep=lambda _: raw_server.said_goodbye.wait(10)) as client:
        assert rows_of(client) == ["0", "1"]


def test_a_store_is_read_as_strictly(raw_server: Any) -> None:
    """Rule: the same holds for a store's customers: no part, no other status, no interim answer is a page of them."""

    def answer(text: bytes, *lines: str, status: str = "200 OK", cut: int = 0) -> bytes:
        return sized(gzip.compress(text)[: -cut or None], GZIP, *lines, status=status, kind="application/json")

    page = b'{"customers":[{"id":1},{"id":2}]}'
    raw_server.answers = [
        answer(page, cut=9),
        answer(b'{"customers":[]}', status="202 Accepted"),
        answer(b'{"customers":[{"id":1}]}', status="206 Partial Content"),
        INTERIM + answer(page),
        answer(b'{"customers":[]}'),
        answer(b'{"count":2}'),
    ]
    config = config_from_connection(host=raw_server.url, login="KEY", password="PASSWORD", service=SPIFFY_STORES)
    with SpiffyStoresClient(config, sleep=lambda _: None) as client:
        assert [customer["id"] for page in client.pages({}) for customer in page] == [1, 2]
        raw_server.answers = [answer(b'{"customer":{"id":3}}', status="201 Created")]
        assert client.create({"first_name": "Teppo"}) == {"id": 3}
