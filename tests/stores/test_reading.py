"""Which objects a name means, on a store that is a dictionary: the rules are the same on all of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.stores.protocol import RefusedError, StoreError
from airflow_provider_custobar.stores.reading import find, read_in_ranges


class Named:
    content_encoding = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.uri = f"dict://{name}"

    def open(self) -> BinaryIO:
        return io.BytesIO()


class Names:
    """A store of empty objects, listed in the order given."""

    def __init__(self, *names: str, may_look: bool = True) -> None:
        self.names = names
        self.may_look = may_look

    def uri(self, name: str) -> str:
        return f"dict://{name}"

    def look(self, name: str) -> Named | None:
        if not self.may_look:
            raise RefusedError("403")
        return Named(name) if name in self.names else None

    def list(self, prefix: str, depth: int | None) -> Iterator[Named]:
        folder = prefix[: prefix.rfind("/") + 1]
        for name in self.names:
            if name.startswith(prefix) and (depth is None or name[len(folder) :].count("/") < depth):
                yield Named(name)


TREE = (
    "in/b.csv", "in/a.csv", "in/A.CSV", "in/archive/old.csv", "in/archive/2025/older.csv", "in/", "in/archive/", "in/_SUCCESS",
    "in/.a.csv.crc", "in/.hidden.csv", "in/_temporary/0/part-0.csv", "in/ds=1/part-0.csv", "in/ds=2/part-0.csv",
    "in/ds=2/_SUCCESS", "in/.git/c.csv", "inner/c.csv", "in", "parts/_day=1/a.csv",
    "parts/_tmp/a.csv", "*/x.csv", "y/x.csv",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("in/*.csv", ["in/a.csv", "in/b.csv"]),
        ("in/?.csv", ["in/a.csv", "in/b.csv"]),
        ("in/[!b].csv", ["in/a.csv"]),
        ("in/[a-b].csv", ["in/a.csv", "in/b.csv"]),
        ("in/*.CSV", ["in/A.CSV"]),
        ("in/*/*.csv", ["in/archive/old.csv", "in/ds=1/part-0.csv", "in/ds=2/part-0.csv"]),
        ("in/ds=*/part-*", ["in/ds=1/part-0.csv", "in/ds=2/part-0.csv"]),
        ("in/ds=*/", ["in/ds=1/part-0.csv", "in/ds=2/part-0.csv"]),
        ("i*/c.csv", ["inner/c.csv"]),
        ("**/older.csv", ["in/archive/2025/older.csv"]),
        ("in/archive/**", ["in/archive/2025/older.csv", "in/archive/old.csv"]),
        ("in/archive/**/*.csv", ["in/archive/2025/older.csv", "in/archive/old.csv"]),
        ("in/archive/", ["in/archive/2025/older.csv", "in/archive/old.csv"]),
        ("in/.*.csv", ["in/.hidden.csv"]),
        ("in/_*", ["in/_SUCCESS"]),
        ("in/_SUCCESS", ["in/_SUCCESS"]),
        ("in/.hidden.csv", ["in/.hidden.csv"]),
        ("parts/", ["parts/_day=1/a.csv"]),
        ("parts/*/*.csv", ["parts/_day=1/a.csv"]),
        ("*/x.csv", ["*/x.csv"]),
        ("*/", ["*/x.csv"]),
        ("in/_temporary/0/", ["in/_temporary/0/part-0.csv"]),
        ("in/_temporary/*/*.csv", ["in/_temporary/0/part-0.csv"]),
        ("in", ["in"]),
    ],
)  # fmt: skip
def test_wildcards_stay_within_a_folder_and_leave_hidden_names_out(name: str, meant: list[str]) -> None:
    """Rule: ``*`` does not cross a slash, ``**`` does; prefixes and wildcards stand for no name that begins with . or _."""
    assert [each.name for each in find(Names(*TREE), "s3_key", name)] == meant


def test_a_prefix_is_everything_that_is_to_be_seen_below_it() -> None:
    """Rule: a prefix leaves out what is hidden anywhere below it, and the empty objects that stand for folders."""
    found = [each.name for each in find(Names(*TREE), "s3_key", "in/")]
    assert found == sorted(
        name for name in TREE if name.startswith("in/") and not name.endswith("/") and "/_" not in name and "/." not in name
    )


@pytest.mark.parametrize("name", ["a[1].csv", "a*.csv", "a?.csv", "[final].csv", "a**b.csv", "a[.csv", "a\\*.csv"])
def test_a_name_that_is_there_is_no_pattern(name: str) -> None:
    """Rule: of an object that bears exactly the name given, the characters mean nothing; nor does what would fit it."""
    assert [each.name for each in find(Names(name, "a1.csv", "ab.csv", "f.csv"), "path", name)] == [name]


@pytest.mark.parametrize("name", ["in [1]/*.csv", "in [1]/?.csv", "in [1]/**", "**/[ab].csv", "in [1]/[ab].*"])
def test_brackets_that_are_there_are_no_pattern(name: str) -> None:
    """Rule: beside wildcards, brackets are taken for part of a name first."""
    names = ("in [1]/a.csv", "in [1]/[ab].csv", "in 1/a.csv", "in 1/b.csv")
    expected = ["in [1]/[ab].csv"] if "ab" in name else ["in [1]/[ab].csv", "in [1]/a.csv"]
    if name == "in [1]/?.csv":
        expected = ["in [1]/a.csv"]
    assert [each.name for each in find(Names(*names), "path", name)] == expected


def test_a_prefix_that_is_there_is_no_pattern() -> None:
    """Rule: as for a name."""
    assert [each.name for each in find(Names("in[1]/a.csv", "in1/b.csv", "in*/c.csv"), "path", "in[1]/")] == ["in[1]/a.csv"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.csv", r"^s3_key: there is no file at dict://none.csv\. Nothing was sent"),
        ("none[1].csv", r"^s3_key: there is no file at dict://none\[1\].csv, nor any that fits it as a pattern \(.*left out\)"),
        ("in/_temp*/", r"nor any that fits it as a pattern"),
        ("inn/", r"there is no file at dict://inn/ \(names that begin with \. or _ are left out\)"),
    ],
)
def test_a_miss_tells_how_the_name_was_read(name: str, said: str) -> None:
    """Rule: an error says where it looked, and that what is not there was tried as a pattern."""
    with pytest.raises(StoreError, match=said):
        find(Names("in/_SUCCESS", "x"), "s3_key", name)


def test_stars_within_a_name_are_refused() -> None:
    """Rule: ``**`` with something beside it would mean two things in two tools."""
    with pytest.raises(InvalidArgumentError, match=r"s3_key='in/\*\*.csv'.*alone between slashes"):
        find(Names("in/a.csv"), "s3_key", "in/**.csv")


def test_who_may_only_list_can_use_patterns() -> None:
    """Rule: that a name may not be looked at is told of a name, and no hindrance to a pattern."""
    store = Names("in/a.csv", may_look=False)
    assert [each.name for each in find(store, "s3_key", "in/*.csv")] == ["in/a.csv"]
    with pytest.raises(RefusedError, match="s3_key: 403"):
        find(store, "s3_key", "in/a.csv")


@pytest.mark.parametrize("given", [0, 1, 9, 11])
def test_a_range_is_whole_or_an_error(given: int) -> None:
    """Rule: bytes that a store leaves out, or adds, are never taken for the object's."""
    with pytest.raises(StoreError, match=f"dict://a: of its 10 bytes the store gave {given} where 10"):
        read_in_ranges("dict://a", 10, lambda _start, _end: b"x" * given).read()
