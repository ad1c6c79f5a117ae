"""How many pairs of a grid are printed, and what is said where they cannot be ranked."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from composability import grid_text
from composability.grid_text import print_ranking, ranking_text


@pytest.fixture(autouse=True)
def _criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.ranking.ranking_criteria", lambda ranked: ["mmlu", "wmdp"])


def pairs(count: int) -> Any:
    return [
        SimpleNamespace(
            pair=f"pair {number}",
            level="0.5",
            best="ft → rtn",
            error=number / 8,
            sensitivity=number / 16,
            replicates=number,
        )
        for number in range(count)
    ]


def test_a_pair_is_a_line_and_the_note_is_wrapped() -> None:
    lines = ranking_text(pairs(2), 90).splitlines()
    assert lines[:3] == [
        "pair    level  better order  order-free error  order sensitivity  runs",
        "pair 0    0.5      ft → rtn             0.000              0.000     0",
        "pair 1    0.5      ft → rtn             0.125              0.062     1",
    ]
    assert lines[3].startswith("Ranked by order-free error, the mean over mmlu, wmdp where they")
    assert all(len(line) <= 90 for line in lines) and lines[4].startswith("  ")


@pytest.mark.parametrize(("count", "lines"), [(15, 0), (16, 1), (20, 1)])
def test_of_more_than_fifteen_pairs_the_rest_is_counted(count: int, lines: int) -> None:
    text = ranking_text(pairs(count), 200).splitlines()
    assert sum(line.startswith("pair ") for line in text) == 15 + 1
    more = [line for line in text if line.startswith("…")]
    assert more == [f"… and {count - 15} more, to {(count - 1) / 8:.3f}"] * lines


@pytest.mark.parametrize(("columns", "width"), [(120, 120), (20, 60), (0, 100)])
def test_lines_are_as_wide_as_the_terminal_but_not_narrower_than_sixty(
    columns: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    def no_terminal(descriptor: int) -> os.terminal_size:
        raise OSError

    monkeypatch.setattr(os, "get_terminal_size", no_terminal)
    note = ranking_text(pairs(1)).splitlines()[2:]
    assert note == ranking_text(pairs(1), width).splitlines()[2:]
    assert note != ranking_text(pairs(1), width + 12).splitlines()[2:]


def test_a_ranking_that_fails_is_a_warning_of_two_hundred_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(experiment: str, sweep: str) -> None:
        raise RuntimeError("x" * 900)

    monkeypatch.setattr("analysis.ranking.rank_sweep", broken)
    print_ranking("e", "mine")
    printed = capsys.readouterr()
    reason = f"{'x' * 199}…"
    assert printed.err == f"warning: the pairs of mine cannot be ranked: {reason}\n"
    assert printed.out == ""


@pytest.mark.parametrize(("first", "printed"), [("", "table\n"), ("before", "before\ntable\n")])
def test_a_ranking_is_printed_and_logged_where_there_is_one(
    first: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[int] = []
    monkeypatch.setattr(grid_text, "ranking_text", lambda ranked: "table")
    monkeypatch.setattr("analysis.ranking.log_ranking", lambda *words: logged.append(len(words[2])))
    for count in (3, 0):
        monkeypatch.setattr("analysis.ranking.rank_sweep", lambda *names, _n=count: pairs(_n))
        print_ranking("e", "mine", first)
    assert capsys.readouterr().out == printed and logged == [3]
