"""Files of this machine: links, pipes, and what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_custobar.stores.local import LocalStore
from airflow_provider_custobar.stores.protocol import ObjectInfo, StoreError
from airflow_provider_custobar.stores.reading import find


def names(path: object) -> list[str]:
    return [each.name for each in find(LocalStore(), "path", str(path))]


def test_links_are_followed_and_lead_in_no_circle(tmp_path: Path) -> None:
    """Rule: what a link leads to is there under the link's name, even where its own is hidden; a circle ends."""
    (tmp_path / "in/.versions/7").mkdir(parents=True)
    (tmp_path / "in/.versions/7/a.csv").write_text("a")
    (tmp_path / "in/current").symlink_to(".versions/7")
    (tmp_path / "in/b.csv").symlink_to("current/a.csv")
    (tmp_path / "in/.versions/7/back").symlink_to(tmp_path / "in")
    os.mkfifo(tmp_path / "in/pipe.csv")
    assert names(f"{tmp_path}/in/") == [f"{tmp_path}/in/b.csv", f"{tmp_path}/in/current/a.csv"]
    assert names(f"{tmp_path}/in/*.csv") == [f"{tmp_path}/in/b.csv"]
    assert names(f"{tmp_path}/in/**/*.csv") == [f"{tmp_path}/in/b.csv", f"{tmp_path}/in/current/a.csv"]


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    """Rule: a file of those that were named is never left out because it cannot be opened."""
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "b.csv").symlink_to("none.csv")
    found = find(LocalStore(), "path", f"{tmp_path}/*.csv")
    with pytest.raises(StoreError, match=rf"file://{tmp_path}/b\.csv cannot be read: FileNotFoundError"):
        found[1].open()


@pytest.mark.parametrize("path", ["x" * 300, "a.csv/b.csv", "a.csv/*", "a.csv/"])
def test_what_cannot_be_looked_at_is_told(tmp_path: Path, path: str) -> None:
    """Rule: what the operating system refuses is an error that names the argument and the file."""
    (tmp_path / "a.csv").write_text("a")
    with pytest.raises(StoreError, match=f"^path: .*file://{tmp_path}/"):
        names(f"{tmp_path}/{path}")


def test_only_the_folders_that_a_pattern_means_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a pattern in a large tree costs what its own folders cost."""
    for name in ("a.csv", "x/b.csv", "x/y/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    looked: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(str(path)) or scandir(path))
    assert names(f"{tmp_path}/*/*.csv") == [f"{tmp_path}/x/b.csv"]
    assert looked == [f"{tmp_path}/", f"{tmp_path}/x/"]


def test_an_unfinished_file_is_found_however_its_folder_is_spelled(tmp_path: Path) -> None:
    """Rule: a path with doubled slashes or dots in it leaves nothing unfinished behind, either."""
    target = LocalStore().target(f"{tmp_path}//out/./a.csv")
    killed = target.open(info := ObjectInfo(content_type="text/csv", object_id="0123456789ab"))
    assert target.sweep(info)
    assert list((tmp_path / "out").iterdir()) == []
    killed.abort()
