"""How long lines in a task's log are."""

from __future__ import annotations

from airflow_provider_custobar.api.log_lines import LONGEST_LINE, in_lines

WINDOW = "[2026-02-10T00:00:00+02:00, 2026-02-11T00:00:00+02:00)"


def test_long_texts_are_broken_where_a_part_of_them_ends() -> None:
    """Rule: sentences begin lines where there is room, words and windows stay whole, and no word is lost."""
    first = "Custobar answered 403 for events: the token may not do this; a scope must name this very path."
    second = f"One more sentence, with a window at its end that has no room in the line that it began: {WINDOW}."
    assert in_lines(f"{first} {second}") == f"{first}\n{second}"
    assert in_lines(f"{'word ' * 25}{WINDOW}").splitlines() == [" ".join(["word"] * 25), WINDOW]
    url = f"s3://bucket/{'x' * 200}"
    assert in_lines(f"Exported to {url} {'now ' * 50}").splitlines()[:2] == ["Exported to", url]
    text = " ".join(f"{'w' * (number % 23)}{number}" for number in range(500))
    lines = in_lines(text).splitlines()
    assert max(map(len, lines)) <= LONGEST_LINE
    assert " ".join(lines) == text
