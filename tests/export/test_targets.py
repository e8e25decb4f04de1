"""One contract for all kinds of stores: an object appears whole, or not at all, and leaves nothing behind."""

from __future__ import annotations

import gc
import random
from contextlib import suppress
from typing import Any

import pytest

from airflow_provider_custobar.export.targets import TargetError
from tests.export.support import MIB, PART, TEXT, DictStore, GcsStore, S3Store, Store

CONTENT = random.Random(7).randbytes(25_000_000)


def put(store: Store, name: str, *pieces: bytes, replace: bool = True) -> None:
    sink = store.target(name, replace=replace).open(TEXT)
    for piece in pieces:
        sink.write(piece)
    sink.commit()


def visible(store: Store) -> list[str]:
    """Names as a reader of the folder meets them; by agreement a leading dot hides one."""
    return [name for name in store.names() if not name.rpartition("/")[2].startswith(".")]


def pieces_of(content: bytes) -> list[bytes]:
    """Cut where no part ends: pages have any size."""
    sizes = random.Random(3)
    pieces, start = [], 0
    while start < len(content):
        end = start + sizes.randint(1, 3 * MIB)
        pieces.append(content[start:end])
        start = end
    return pieces


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
def test_content_comes_back(store: Store, size: int) -> None:
    """An object holds exactly what was written, whether or not it ends with a part."""
    put(store, "a.csv", CONTENT[:size])
    assert store.read("a.csv") == CONTENT[:size]
    assert store.names() == ["a.csv"]
    assert store.debris() == []


def test_content_of_many_writes_comes_back(store: Store) -> None:
    """Pieces of any size become one object in their order, empty ones among them."""
    pieces = pieces_of(CONTENT)
    assert len(pieces) > 10
    put(store, "a.csv", b"", *pieces[:5], b"", *pieces[5:])
    assert store.read("a.csv") == CONTENT


def test_one_write_of_many_parts_comes_back(store: Store) -> None:
    """A page may be larger than several parts."""
    put(store, "a.csv", CONTENT)
    assert store.read("a.csv") == CONTENT


def test_an_object_without_writes_is_empty(store: Store) -> None:
    """Committing without a write makes an empty object, not none."""
    put(store, "a.csv")
    assert store.read("a.csv") == b""


@pytest.mark.parametrize("size", [1, PART, 2 * PART + 5])
def test_nothing_is_visible_before_commit(store: Store, size: int) -> None:
    """Before ``commit`` neither listing nor reading finds anything; after it both do."""
    sink = store.target("a.csv").open(TEXT)
    sink.write(CONTENT[:size])
    assert (visible(store), store.read("a.csv")) == ([], None)
    sink.commit()
    assert (visible(store), store.read("a.csv")) == (["a.csv"], CONTENT[:size])


@pytest.mark.parametrize("size", [0, 1, PART, 2 * PART + 5])
def test_abort_leaves_nothing(store: Store, size: int) -> None:
    """After ``abort`` there is no object, no hidden file and no unfinished upload; a second ``abort`` is harmless."""
    sink = store.target("a.csv").open(TEXT)
    sink.write(CONTENT[:size])
    sink.abort()
    assert (store.names(), store.debris()) == ([], [])
    sink.abort()
    assert (store.names(), store.debris(), store.read("a.csv")) == ([], [], None)


def test_abort_without_a_write_leaves_nothing(store: Store) -> None:
    """``abort`` may come right after ``open``."""
    store.target("a.csv").open(TEXT).abort()
    assert (store.names(), store.debris()) == ([], [])


def test_abort_keeps_the_older_object(store: Store) -> None:
    """A failed export leaves the object of the day before as it was."""
    put(store, "a.csv", b"older")
    sink = store.target("a.csv").open(TEXT)
    sink.write(CONTENT[: PART + 5])
    assert store.read("a.csv") == b"older"
    sink.abort()
    assert store.read("a.csv") == b"older"
    assert store.names() == ["a.csv"]


def test_abort_after_a_failed_write_leaves_nothing(store: Store) -> None:
    """A write that raises can be aborted, twice."""
    not_bytes: Any = 5
    sink = store.target("a.csv").open(TEXT)
    sink.write(CONTENT[: PART + 5])
    with pytest.raises(TypeError):
        sink.write(not_bytes)
    sink.abort()
    sink.abort()
    assert (store.names(), store.debris()) == ([], [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python tells of the file left open
@pytest.mark.parametrize("size", [1, PART - 1, PART + 5])
def test_a_forgotten_sink_publishes_nothing(store: Store, size: int) -> None:
    """Only ``commit`` publishes: neither the garbage collector nor the end of a function does."""
    sink = store.target("a.csv").open(TEXT)
    sink.write(CONTENT[:size])
    del sink
    gc.collect()
    assert (visible(store), store.read("a.csv")) == ([], None)


def test_an_aborted_sink_takes_no_more(store: Store) -> None:
    """What is written or committed after ``abort`` by mistake does not become an object."""
    if isinstance(store, DictStore):
        pytest.skip("the double is not that strict")
    sink = store.target("a.csv").open(TEXT)
    sink.write(CONTENT[: PART + 5])
    sink.abort()
    with suppress(Exception):
        sink.write(b"late")
        sink.commit()
    assert store.read("a.csv") is None


def test_an_object_is_replaced_whole(store: Store) -> None:
    """``replace=True``: the newer object takes the older one's place, shorter or not."""
    put(store, "a.csv", CONTENT[: PART + 5])
    target = store.target("a.csv")
    target.check()
    put(store, "a.csv", b"newer")
    assert store.read("a.csv") == b"newer"
    assert store.names() == ["a.csv"]


def test_an_object_is_not_replaced_unasked(store: Store) -> None:
    """``replace=False``: ``check`` refuses an object that is there, and says which and what to do."""
    target = store.target("a.csv", replace=False)
    target.check()
    put(store, "a.csv", b"older")
    with pytest.raises(TargetError, match=r"a\.csv exists already.*replace=True"):
        target.check()


@pytest.mark.parametrize("size", [1, PART + 5])
def test_an_object_that_appeared_meanwhile_is_not_replaced(store: Store, size: int) -> None:
    """``replace=False``: ``commit`` refuses an object that came to be since ``check``, and ``abort`` then cleans up."""
    if isinstance(store, GcsStore):
        pytest.skip("the server ignores preconditions on resumable uploads: test_gcs looks at the request")
    target = store.target("a.csv", replace=False)
    target.check()
    sink = target.open(TEXT)
    sink.write(CONTENT[:size])
    put(store, "a.csv", b"somebody else's")
    with pytest.raises(TargetError, match="exists already"):
        sink.commit()
    sink.abort()
    assert store.read("a.csv") == b"somebody else's"
    assert (store.names(), store.debris()) == (["a.csv"], [])


def test_an_object_is_made_where_there_is_none(store: Store) -> None:
    """``replace=False`` writes where nothing is in the way, in one part and in several."""
    put(store, "a.csv", b"small", replace=False)
    put(store, "b.csv", CONTENT[: PART + 5], replace=False)
    assert (store.read("a.csv"), store.read("b.csv")) == (b"small", CONTENT[: PART + 5])
    assert sorted(store.names()) == ["a.csv", "b.csv"]


def test_two_writers_do_not_mix(store: Store) -> None:
    """Two exports to one name at the same time: the last to finish wins, whole."""
    first, second = store.target("a.csv").open(TEXT), store.target("a.csv").open(TEXT)
    for start in range(0, 2 * PART, MIB):
        first.write(b"1" * MIB)
        second.write(b"2" * (MIB + start % 7))
    first.commit()
    assert store.read("a.csv") == b"1" * 2 * PART
    second.commit()
    assert set(store.read("a.csv") or b"") == {ord("2")}
    assert (store.names(), store.debris()) == (["a.csv"], [])


@pytest.mark.parametrize(
    "name",
    [
        "with space.csv",
        "ä/日本/ö 🎉.csv",
        "ds=2026-02-01/part+1&2%20.csv",
        "sales[2026].csv",
        "a*b.csv",
        "what?.csv",
        "semi;colon'quote.csv",
        "deep/er/and/deeper.csv",
    ],
)
def test_a_name_is_taken_as_it_stands(store: Store, name: str) -> None:
    """No character of a name has a meaning of its own, and folders come to be as needed."""
    put(store, name, b"content")
    assert store.names() == [name]
    assert store.read(name) == b"content"
    with pytest.raises(TargetError):
        store.target(name, replace=False).check()


def test_addresses_name_the_store(store: Store) -> None:
    """``uri`` is the full address of the object, as a user would type it."""
    scheme, _, rest = store.target("a b.csv").uri.partition("://")
    assert scheme in {"s3", "gs", "file", "memory", "dict"}
    assert rest.endswith("a b.csv")


def test_the_content_type_is_stored(store: Store) -> None:
    """S3 and GCS tell readers the media type that was given, for an object of one part and of several."""
    if not isinstance(store, (S3Store, GcsStore)):
        pytest.skip("files have no media type")
    for name, size in (("a.csv", 5), ("b.csv", PART + 5)):
        put(store, name, CONTENT[:size])
        if isinstance(store, S3Store):
            kind = store.client.head_object(Bucket="exports", Key=store.prefix + name)["ContentType"]
        else:
            kind = store.client.bucket("exports").get_blob(store.prefix + name).content_type
        assert kind == TEXT
