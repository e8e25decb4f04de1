"""One contract for all kinds of stores: an object appears whole, or not at all, and leaves nothing behind."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace as changed
from typing import Any

import pytest
from google.cloud.storage.retry import DEFAULT_RETRY

from airflow_provider_custobar.stores import gcs_upload
from airflow_provider_custobar.stores.protocol import SIGNATURE_KEY, LostError, ObjectInfo, Sink, State, Target, TargetError
from tests.export.support import MARKED, MIB, PART, PLAIN, DictStore, FileSystemStore, GcsStore, S3Store, Store, visible
from tests.soak import SOAK, times

CONTENT = random.Random(7).randbytes(25_000_000)
LATE = {"custobar-rows": "123"}

# Dead attempts leave files open, of which Python tells.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


MANY = changed(MARKED, one_of_many=True)
#: Every way of writing. The first two differ in all that there is to differ in; the others have tests of their own below, too.
INFOS = {
    "plain": PLAIN,
    "one of many, continued": MANY,
    "continued": MARKED,
    "one of many": changed(MANY, can_continue=False),
}


@pytest.fixture(params=list(INFOS) if SOAK else list(INFOS)[:2])
def info(request: pytest.FixtureRequest) -> ObjectInfo:
    """Every way of writing in turn."""
    return INFOS[request.param]


def put(store: Store, name: str, *pieces: bytes, info: ObjectInfo = PLAIN, replace: bool = True) -> None:
    sink = store.target(name, replace=replace).open(info)
    for piece in pieces:
        sink.write(piece)
    sink.end(LATE)
    sink.finish()
    sink.publish()


def finish(sink: Sink, metadata: Mapping[str, str] = LATE) -> State | None:
    """Its state, as it comes back from where it was stored."""
    sink.end(metadata)
    return recorded(sink.finish())


def durable(sink: Sink) -> State | None:
    """The state that leads behind all that is written; None where not all of it is durable, or the store cannot."""
    found = sink.durable()
    return recorded(found[1]) if found and found[0] else None


def pieces_of(content: bytes) -> list[bytes]:
    """Cut where no part ends: pages have any size."""
    sizes = random.Random(3)
    pieces, start = [], 0
    while start < len(content):
        end = start + sizes.randint(1, 3 * MIB)
        pieces.append(content[start:end])
        start = end
    return pieces


def pages_of(seed: int, count: int) -> list[list[bytes]]:
    """Pages of one or two writes, as an export has them: most far below what S3 takes for a part, some far above."""
    chance = random.Random(seed)
    sizes = [chance.choice([0, 7, 3000, MIB, 3 * MIB, 6 * MIB, 9 * MIB]) + chance.randint(0, 5000) for _ in range(count)]
    contents = [chance.randbytes(size) for size in sizes]
    return [[content] if chance.random() < 0.5 else [content[:5], content[5:]] for content in contents]


def recorded(state: State | None) -> State | None:
    """A state as it comes back from where it was stored."""
    if state is None:
        return None
    text = json.dumps(state)
    assert len(text) < 1000
    back: State = json.loads(text)
    return back


def sink_for(target: Target, info: ObjectInfo, state: State | None) -> Sink:
    """As an attempt begins that is not the first."""
    if state is not None:
        return target.reopen(info, state)
    target.sweep(info)
    return target.open(info)


def attempt(
    target: Target, pages: Sequence[list[bytes]], state: State | None, begin: int, end: int
) -> tuple[State | None, int]:
    """Write pages from ``begin`` to ``end`` and half of the next one, then die; return what was saved, and up to where."""
    sink = sink_for(target, MARKED, state)
    # Behind which page so many bytes of this attempt's and those before it end.
    offset = sum(map(len, pages_before(pages, begin)))
    ends = {offset: begin}
    for number in range(begin, end):
        for piece in pages[number]:
            sink.write(piece)
            offset += len(piece)
        ends[offset] = number + 1
        newer = sink.durable()
        if newer is not None and newer[0] in ends:
            state, begin = recorded(newer[1]), ends[newer[0]]
    for piece in pages[end][:1] if end < len(pages) else []:
        sink.write(piece)
    return state, begin


def pages_before(pages: Sequence[list[bytes]], number: int) -> list[bytes]:
    return [piece for page in pages[:number] for piece in page]


def complete(target: Target, pages: Sequence[list[bytes]], state: State | None, begin: int, *, dies: bool) -> None:
    """Go on from there to the end; ``dies`` once more between finishing and publishing."""
    sink = sink_for(target, MARKED, state)
    for page in pages[begin:]:
        for piece in page:
            sink.write(piece)
    state = finish(sink)
    if dies and state is not None:
        with suppress(LostError):
            # A small object is nowhere before it is published: an export that dies here begins again.
            sink = target.reopen(MARKED, state)
    sink.publish()


def joined(pages: Sequence[list[bytes]]) -> bytes:
    return b"".join(piece for page in pages for piece in page)


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
def test_content_comes_back(store: Store, info: ObjectInfo, size: int) -> None:
    """An object holds exactly what was written, whether or not it ends with a part."""
    put(store, "a.csv", CONTENT[:size], info=info)
    assert store.read("a.csv") == CONTENT[:size]
    assert store.names() == ["a.csv"]
    assert store.debris() == []


def test_content_of_many_writes_comes_back(store: Store, info: ObjectInfo) -> None:
    """Pieces of any size become one object in their order, empty ones among them."""
    pieces = pieces_of(CONTENT)
    assert len(pieces) > 10
    put(store, "a.csv", b"", *pieces[:5], b"", *pieces[5:], info=info)
    assert store.read("a.csv") == CONTENT
    assert (store.names(), store.debris()) == (["a.csv"], [])


def test_one_write_of_many_parts_comes_back(store: Store, info: ObjectInfo) -> None:
    """A page may be larger than several parts."""
    put(store, "a.csv", CONTENT, info=info)
    assert store.read("a.csv") == CONTENT


def test_an_object_without_writes_is_empty(store: Store, info: ObjectInfo) -> None:
    """Publishing without a write makes an empty object, not none."""
    put(store, "a.csv", info=info)
    assert store.read("a.csv") == b""
    assert (store.names(), store.debris()) == (["a.csv"], [])


def test_publishing_finishes_what_is_not_finished(store: Store, info: ObjectInfo) -> None:
    """``publish`` without ``finish`` makes the same object, but for what ``finish`` would have been told."""
    sink = store.target("a.csv").open(info)
    sink.write(CONTENT[:1000])
    sink.publish()
    assert store.read("a.csv") == CONTENT[:1000]
    assert (store.names(), store.debris()) == (["a.csv"], [])


@pytest.mark.parametrize("size", [1, PART, 2 * PART + 5])
def test_nothing_is_visible_before_publishing(store: Store, info: ObjectInfo, size: int) -> None:
    """Before ``publish`` neither listing nor reading finds anything, ``durable`` and ``finish`` or not; after it both do."""
    sink = store.target("a.csv").open(info)
    sink.write(CONTENT[:size])
    if info.can_continue:
        sink.durable()
    assert (visible(store), store.read("a.csv")) == ([], None)
    finish(sink)
    assert (visible(store), store.read("a.csv")) == ([], None)
    sink.publish()
    assert (visible(store), store.read("a.csv")) == (["a.csv"], CONTENT[:size])


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("size", [0, 1, PART, 2 * PART + 5])
def test_abort_leaves_nothing(store: Store, info: ObjectInfo, size: int, saves: bool) -> None:
    """After ``abort`` there is no object, no hidden file and no unfinished upload; a second ``abort`` is harmless."""
    sink = store.target("a.csv").open(info)
    sink.write(CONTENT[:size])
    if saves:
        sink.durable()
        sink.write(b"more")
    sink.abort()
    assert (store.names(), store.debris()) == ([], [])
    sink.abort()
    assert (store.names(), store.debris(), store.read("a.csv")) == ([], [], None)


def test_abort_without_a_write_leaves_nothing(store: Store, info: ObjectInfo) -> None:
    """``abort`` may come right after ``open``."""
    store.target("a.csv").open(info).abort()
    assert (store.names(), store.debris()) == ([], [])


@pytest.mark.parametrize("size", [5, PART + 5])
def test_abort_undoes_what_is_finished(store: Store, info: ObjectInfo, size: int) -> None:
    """What is finished but not published is nothing yet: ``abort`` removes it, here and after another process took it up."""
    for reopens in (False, True):
        target = store.target("a.csv")
        sink = target.open(info)
        sink.write(CONTENT[:size])
        state = finish(sink)
        with suppress(LostError):
            if reopens and state is not None:
                sink = target.reopen(info, state)
        sink.abort()
        assert (store.names(), store.debris()) == ([], [])


def test_abort_keeps_what_another_attempt_goes_on_with(store: Store) -> None:
    """What a state names stays, and what another sink has stored; what this one stored beyond it goes."""
    target = store.target("a.csv")
    first, other = target.open(MARKED), target.open(MARKED)
    if not first.can_go_on:
        return
    for sink in (other, first):
        sink.write(CONTENT[: 2 * PART])
    state = durable(first)
    assert state is not None
    kept = store.debris()
    for sink in (target.reopen(MARKED, state), first):
        sink.write(CONTENT[2 * PART : 3 * PART])
        sink.abort(state)
        assert store.debris() == kept
    again = target.reopen(MARKED, state)
    again.write(CONTENT[2 * PART : 3 * PART])
    again.publish()
    assert store.read("a.csv") == CONTENT[: 3 * PART]


def test_abort_after_publishing_changes_nothing(store: Store, info: ObjectInfo) -> None:
    """Something may fail after the object is there: ``abort`` leaves it alone."""
    sink = store.target("a.csv").open(info)
    sink.write(CONTENT[: PART + 5])
    sink.publish()
    sink.abort()
    assert (store.read("a.csv"), store.names()) == (CONTENT[: PART + 5], ["a.csv"])


def test_abort_keeps_the_older_object(store: Store, info: ObjectInfo) -> None:
    """A failed export leaves the object of the day before as it was."""
    put(store, "a.csv", b"older")
    sink = store.target("a.csv").open(info)
    sink.write(CONTENT[: PART + 5])
    assert store.read("a.csv") == b"older"
    sink.abort()
    assert store.read("a.csv") == b"older"
    assert store.names() == ["a.csv"]


def test_abort_after_a_failed_write_leaves_nothing(store: Store, info: ObjectInfo) -> None:
    """A write that raises can be aborted, twice."""
    not_bytes: Any = 5
    sink = store.target("a.csv").open(info)
    sink.write(CONTENT[: PART + 5])
    with pytest.raises(TypeError):
        sink.write(not_bytes)
    sink.abort()
    sink.abort()
    assert (store.names(), store.debris()) == ([], [])


@pytest.mark.parametrize("size", [1, PART - 1, PART + 5])
def test_a_forgotten_sink_publishes_nothing(store: Store, info: ObjectInfo, size: int) -> None:
    """Only ``publish`` publishes: neither the garbage collector nor the end of a function does."""
    sink = store.target("a.csv").open(info)
    sink.write(CONTENT[:size])
    del sink
    gc.collect()
    assert (visible(store), store.read("a.csv")) == ([], None)


def test_an_aborted_sink_takes_no_more(store: Store, info: ObjectInfo) -> None:
    """What is written or published after ``abort`` by mistake does not become an object."""
    if isinstance(store, DictStore):
        pytest.skip("the double is not that strict")
    sink = store.target("a.csv").open(info)
    sink.write(CONTENT[: PART + 5])
    sink.abort()
    with suppress(Exception):
        sink.write(b"late")
    with suppress(Exception):
        sink.publish()
    assert store.read("a.csv") is None


def test_an_object_is_replaced_whole(store: Store, info: ObjectInfo) -> None:
    """``replace=True``: the newer object takes the older one's place, shorter or not."""
    put(store, "a.csv", CONTENT[: PART + 5], info=info)
    store.target("a.csv").check()
    put(store, "a.csv", b"newer", info=info)
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
def test_an_object_that_appeared_meanwhile_is_not_replaced(store: Store, info: ObjectInfo, size: int) -> None:
    """``replace=False``: ``publish`` refuses an object that came to be since ``check``, and ``abort`` then cleans up."""
    if isinstance(store, GcsStore):
        pytest.skip("the server ignores preconditions but of uploads in one request: test_gcs looks at the requests")
    target = store.target("a.csv", replace=False)
    target.check()
    sink = target.open(info)
    sink.write(CONTENT[:size])
    if info.can_continue:
        sink.durable()
    put(store, "a.csv", b"somebody else's")
    finish(sink)
    with pytest.raises(TargetError, match="exists already"):
        sink.publish()
    sink.abort()
    assert store.read("a.csv") == b"somebody else's"
    assert (store.names(), store.debris()) == (["a.csv"], [])


def test_an_object_is_made_where_there_is_none(store: Store, info: ObjectInfo) -> None:
    """``replace=False`` writes where nothing is in the way, in one part and in several."""
    put(store, "a.csv", b"small", info=info, replace=False)
    put(store, "b.csv", CONTENT[: PART + 5], info=info, replace=False)
    assert (store.read("a.csv"), store.read("b.csv")) == (b"small", CONTENT[: PART + 5])
    assert sorted(store.names()) == ["a.csv", "b.csv"]


def test_two_writers_do_not_mix(store: Store) -> None:
    """Two exports to one name at the same time: the last to finish wins, whole."""
    marks = (
        (PLAIN, PLAIN) if isinstance(store, DictStore) else (changed(MARKED, object_id="a1"), changed(MARKED, object_id="b2"))
    )
    first, second = (store.target("a.csv").open(info) for info in marks)
    for start in range(0, 2 * PART, MIB):
        first.write(b"1" * MIB)
        first.durable()
        second.write(b"2" * (MIB + start % 7))
        second.durable()
    first.publish()
    assert store.read("a.csv") == b"1" * 2 * PART
    second.publish()
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
        "x" * 240 + ".csv",
    ],
)
def test_a_name_is_taken_as_it_stands(store: Store, name: str) -> None:
    """No character of a name has a meaning of its own, and folders come to be as needed."""
    pages = [[b"con"], [b"tent"]]
    target = store.target(name)
    state, begin = attempt(target, pages, None, 0, 1)
    complete(target, pages, state, begin, dies=True)
    assert (store.names(), store.debris()) == ([name], [])
    assert store.read(name) == b"content"
    with pytest.raises(TargetError):
        store.target(name, replace=False).check()


def test_addresses_name_the_store(store: Store) -> None:
    """``uri`` is the full address of the object, as a user would type it."""
    scheme, _, rest = store.target("a b.csv").uri.partition("://")
    assert scheme in {"s3", "gs", "file", "memory", "dict"}
    assert rest.endswith("a b.csv")


@pytest.mark.parametrize("size", [5, PART + 5])
def test_the_content_type_is_stored(store: Store, info: ObjectInfo, size: int) -> None:
    """S3 and GCS tell readers the media type that was given, for an object of one part and of several."""
    if not isinstance(store, (S3Store, GcsStore)):
        pytest.skip("files have no media type")
    put(store, "a.csv", CONTENT[:size], info=info)
    if isinstance(store, S3Store):
        kind = store.client.head_object(Bucket="exports", Key=store.prefix + "a.csv")["ContentType"]
    else:
        kind = store.blob("a.csv").content_type
    assert kind == info.content_type


@pytest.mark.parametrize("size", [0, 5, PART + 5])
def test_metadata_are_stored(store: Store, info: ObjectInfo, size: int) -> None:
    """Readers find the metadata given at the beginning, the mark, and where the store can, what became known at the end."""
    if isinstance(store, FileSystemStore):
        pytest.skip("files have no metadata")
    put(store, "a.csv", CONTENT[:size], info=info)
    found = store.metadata("a.csv")
    assert found is not None
    expected = dict(info.metadata) | ({SIGNATURE_KEY: info.signature} if info.signature else {})
    was_too_late = {S3Store: size > PART, GcsStore: size > PART and info is PLAIN}.get(type(store), False)
    if was_too_late and "custobar-rows" not in found:
        assert found == expected
    else:
        assert found == expected | LATE


# What an attempt leaves to the next one.


@pytest.mark.parametrize(("seed", "dies_finished"), [(1, False), (2, True)])
def test_an_export_goes_on_after_every_death(store: Store, seed: int, dies_finished: bool) -> None:
    """Killed after each of its pages in turn, with half of the next page written, it ends with the very same object."""
    pages = pages_of(seed, times(8, 12))
    target = store.target("a.csv", replace=False)
    state: State | None = None
    begin = 0
    for end in range(len(pages)):
        state, begin = attempt(target, pages, state, begin, end)
        gc.collect()
        assert (visible(store), store.read("a.csv")) == ([], None)
    complete(target, pages, state, begin, dies=dies_finished)
    assert store.read("a.csv") == joined(pages)
    assert (store.names(), store.debris()) == (["a.csv"], [])


@pytest.mark.parametrize("dies_after", range(7) if SOAK else [0, 3, 5])
def test_an_export_goes_on_after_a_death(store: Store, dies_after: int) -> None:
    """Killed once, after any of its pages, it ends with the very same object."""
    pages = pages_of(5, 7)
    target = store.target("a.csv")
    state, begin = attempt(target, pages, None, 0, dies_after)
    complete(target, pages, state, begin, dies=False)
    assert store.read("a.csv") == joined(pages)
    assert (store.names(), store.debris()) == (["a.csv"], [])


@pytest.mark.parametrize("lost", [1, 3])
def test_a_state_that_was_not_recorded_does_not_matter(store: Store, lost: int) -> None:
    """Killed between ``save`` and recording: the state before it still leads to the same object, with other pages to come."""
    pages = pages_of(11, 8)
    for number in range(1, 7, 2):
        target = store.target(f"{number}.csv")
        state, begin = attempt(target, pages, None, 0, number)
        if state is None:
            pytest.skip("cannot save")
        dead = target.reopen(MARKED, state)
        for page in pages[begin : begin + lost]:
            for piece in page:
                dead.write(piece)
            dead.durable()
        complete(target, pages, state, begin, dies=True)
        assert store.read(f"{number}.csv") == joined(pages)
        assert store.debris() == []


@pytest.mark.parametrize("is_continued", [True, False])
@pytest.mark.parametrize("last", ["older", "newer"])
@pytest.mark.parametrize("piece_bytes", [1000, 6 * MIB])
def test_two_living_attempts_do_not_mix(
    store: Store, piece_bytes: int, last: str, is_continued: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was taken for dead comes back: whoever is last to publish wins whole, or fails; no bytes are mixed."""
    if isinstance(store, S3Store) and is_continued and piece_bytes > MIB:
        pytest.skip("unlike S3, the server takes other parts than those whose digests it is given")
    # The server answers with 500 where GCS has a 404.
    monkeypatch.setattr(gcs_upload, "DEFAULT_RETRY", DEFAULT_RETRY.with_timeout(0.1))
    target = store.target("a.csv")
    first = b"0" * piece_bytes
    older = target.open(MARKED)
    older.write(first)
    state = durable(older)
    newer = sink_for(target, MARKED, state if is_continued else None)
    if state is None or not is_continued:
        newer.write(first)
    contents = {"older": first, "newer": first}
    sinks = {"older": older, "newer": newer}
    broken = set()
    for number in (1, 2, 3):
        for name, sink in sinks.items():
            # They need not cut alike: the API's pages may have changed.
            piece = b"%d" % (number + 3 * (name == "newer")) * (piece_bytes + number * (name == "newer"))
            contents[name] += piece
            with suppress(Exception):
                sink.write(piece)
                sink.durable()
                continue
            broken.add(name)
    for name in sorted(sinks, key=lambda name: name == last):
        before = store.read("a.csv")
        try:
            sinks[name].publish()
        except Exception:  # noqa: BLE001 - every store has errors of its own
            sinks[name].abort()
            assert store.read("a.csv") == before
        else:
            assert name not in broken
            assert store.read("a.csv") == contents[name]
    assert visible(store) == ["a.csv"]


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("size", [0, 5, PART + 5])
def test_one_of_many_waits_in_the_store(store: Store, size: int, saves: bool) -> None:
    """Finished files of an export wait for each other outside memory, and any later attempt publishes them."""
    info = changed(MARKED, one_of_many=True, can_continue=saves)
    names = [f"{number}.csv" for number in range(3)]
    states: list[State | None] = []
    for number, name in enumerate(names):
        sink = store.target(name).open(info)
        for start in range(0, size, MIB):
            sink.write(CONTENT[number + start : number + min(start + MIB, size)])
            if saves:
                sink.durable()
        states.append(finish(sink, {"custobar-rows": str(number)}))
        del sink
    gc.collect()
    assert visible(store) == []
    for number, (name, state) in enumerate(zip(names, states, strict=True)):
        assert state is not None
        store.target(name).reopen(info, state).publish()
        assert store.read(name) == CONTENT[number : number + size]
        metadata = store.metadata(name)
        if metadata is not None and (size < PART or not isinstance(store, S3Store)):
            assert metadata["custobar-rows"] == str(number)
    assert (sorted(store.names()), store.debris()) == (names, [])


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("size", [0, 5, PART + 5])
def test_publishing_twice_is_publishing_once(store: Store, info: ObjectInfo, size: int, replace: bool) -> None:
    """Whoever died right after ``publish`` has published: the next attempt finds that, whatever ``replace`` says."""
    target = store.target("a.csv", replace=replace)
    sink = target.open(info)
    sink.write(CONTENT[:size])
    if info.can_continue:
        sink.durable()
        sink.write(b"more")
    state = finish(sink)
    sink.publish()
    sink.publish()
    if info.object_id is not None:
        assert state is not None
        again = target.reopen(info, state)
        again.publish()
        again.abort()
    assert store.read("a.csv") == CONTENT[:size] + (b"more" if info.can_continue else b"")
    assert (store.names(), store.debris()) == (["a.csv"], [])


@pytest.mark.parametrize("size", [5, PART + 5])
def test_what_vanished_is_lost(store: Store, info: ObjectInfo, size: int) -> None:
    """Where a life cycle rule has removed what was saved or finished, ``reopen`` says so, and nothing is published."""
    if info.object_id is None:
        pytest.skip("without a mark nothing is found again")
    put(store, "a.csv", b"older")
    target = store.target("a.csv")
    sink = target.open(info)
    sink.write(CONTENT[:size])
    states = [durable(sink) if info.can_continue else None, finish(sink)]
    del sink
    store.vanish()
    for state in states:
        if state is not None:
            with pytest.raises(LostError):
                target.reopen(info, state)
    target.sweep(info)
    assert (store.read("a.csv"), store.names(), store.debris()) == (b"older", ["a.csv"], [])


@pytest.mark.parametrize("size", [5, PART + 5])
def test_an_object_of_another_export_is_not_taken_for_ours(store: Store, size: int) -> None:
    """A finished state whose object is gone, with somebody else's object of that size in place: lost, not published."""
    target = store.target("a.csv")
    put(store, "a.csv", CONTENT[:size], info=changed(MARKED, object_id="ffff"))
    sink = target.open(MARKED)
    sink.write(CONTENT[:size])
    state = finish(sink)
    sink.abort()
    assert state is not None
    with pytest.raises(LostError):
        target.reopen(MARKED, state)


@pytest.mark.parametrize("pages", [1, 2, 6])
def test_sweeping_removes_what_is_unfinished(store: Store, info: ObjectInfo, pages: int) -> None:
    """An attempt that starts over removes what the dead ones left of this export, and nothing else, however often."""
    if info.object_id is None:
        pytest.skip("without a mark nothing is found again")
    others = ["a.csv", "a.csv2", "b.csv"]
    for name in others:
        put(store, name, b"older")
    target = store.target("a.csv")
    sink = target.open(info)
    for page in pages_of(2, pages):
        for piece in page:
            sink.write(piece)
        sink.durable()
    state = None
    if isinstance(store, FileSystemStore | S3Store):
        # fsspec's files come to be when they are closed; of S3's uploads nothing but their state tells whose they are.
        state = finish(sink)
    del sink
    gc.collect()
    target.sweep(info, state)
    target.sweep(info, state)
    assert (sorted(store.names()), store.debris()) == (others, [])
    assert store.read("a.csv") == b"older"


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_state_leads_to_where_it_was_written(store: Store, is_whole: bool) -> None:
    """Where an export has another name by now, what its state names is removed all the same."""
    sink = store.target("a.csv").open(MARKED)
    sink.write(CONTENT[:PART])
    state = finish(sink) if is_whole else durable(sink)
    if state is None:
        pytest.skip("nothing of it outlives its process before it is whole")
    del sink
    gc.collect()
    store.target("b.csv").sweep(changed(MARKED, object_id="ffff"), state)
    assert (store.names(), store.debris()) == ([], [])


def test_sweeping_leaves_others_alone(store: Store) -> None:
    """Another export to the same name, or the same export's to another name, is not touched."""
    ours, theirs = store.target("a.csv"), store.target("b.csv")
    sinks = [(theirs, MANY), (ours, changed(MANY, object_id="ffff"))]
    states = []
    for target, info in sinks:
        sink = target.open(info)
        sink.write(b"theirs")
        states.append(finish(sink))
    own = ours.open(MANY)
    own.write(b"ours")
    ours.sweep(MARKED, finish(own))
    for (target, info), state in zip(sinks, states, strict=True):
        assert state is not None
        target.reopen(info, state).abort()
