"""The mutants that are drawn, and those that are not."""

import importlib.util
from functools import cache
from pathlib import Path

from tests.quality.covering import Covering, digest
from tests.quality.mutants import Mutant, draw, equivalents, mutants_of
from tests.quality.plain_words import ROOT
from tests.quality.session import swap


def test_what_is_listed_as_equivalent_is_a_change_that_would_be_drawn_and_says_why() -> None:
    for row in equivalents():
        source = (ROOT / row["path"]).read_text()
        changes = [mutant.change(source) for mutant in mutants_of(row["path"], source)]
        assert (row["before"], row["after"]) in changes, row
        assert row["why"]


def test_what_is_equivalent_is_not_drawn() -> None:
    listed = {(row["path"], row["before"], row["after"]) for row in equivalents()}
    sources: dict[str, str] = {}
    for mutant in draw(1, 100_000, sorted({path for path, _, _ in listed})):
        source = sources.setdefault(mutant.path, (ROOT / mutant.path).read_text())
        assert (mutant.path, *mutant.change(source)) not in listed


def test_a_change_is_the_line_before_and_after() -> None:
    mutant = Mutant("a.py", 2, 8, 9, "-")
    assert mutant.change("x = 1\ny = x  + 2\n") == ("y = x  + 2", "y = x  +-2")
    assert mutant.applied("x = 1\ny = x  + 2\n") == "x = 1\ny = x  +-2\n"


def test_a_negation_is_taken_from_what_brackets_hold() -> None:
    source = "def f(a, b):\n    return not (a and b)\n"
    changed = [mutant.applied(source).splitlines()[1] for mutant in mutants_of("a.py", source)]
    assert "    return (a and b)" in changed


def test_lines_can_be_drawn_of_some_files_and_folders_alone() -> None:
    files = ["interventions/merging", "interventions/unlearning/npo.py"]
    drawn = {mutant.path for mutant in draw(1, 100_000, files)}
    assert "interventions/unlearning/npo.py" in drawn and len(drawn) > 2
    assert {path.rpartition("/")[0] for path in drawn} == {
        "interventions/merging",
        "interventions/unlearning",
    }
    assert not any("rmu" in path for path in drawn)


def test_a_session_gives_functions_their_changed_code_but_not_what_importing_made(
    tmp_path: Path,
) -> None:
    before = "LIMIT = 3\ndef add(a, b=1):\n    return a + b\n"
    file = tmp_path / "sums.py"
    file.write_text(before)
    spec = importlib.util.spec_from_file_location("sums", file)
    assert spec and spec.loader
    sums = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sums)
    cached = cache(sums.add)
    assert cached(2, 3) == 5
    functions = {str(file): [sums.add, cached]}
    assert not swap(str(file), before, before.replace("LIMIT = 3", "LIMIT = 4"), functions)
    assert not swap(str(file), before, before.replace("b=1", "b=2"), functions)
    assert swap(str(file), before, before.replace("a + b", "a - b"), functions)
    assert sums.add(2, 3) == cached(2, 3) == -1


def test_quick_tests_are_the_nearest_that_take_some_seconds_together() -> None:
    seconds = {"tests/test_b.py::b": 2.0, "tests/test_c.py::c": 2.6, "tests/test_a.py::a": 2.5}
    seconds |= {"tests/test_d.py::d": 1.5, "tests/test_e.py::e": 0.1}
    lines = {"a.py": {"1": range(5)}}
    covering = Covering({"a.py": digest("text")}, list(seconds), list(seconds.values()), lines)
    assert covering.quick_tests_of("a.py", 1, "text") == [
        "tests/test_a.py::a", "tests/test_e.py::e", "tests/test_d.py::d"
    ]  # fmt: skip
    assert covering.quick_tests_of("a.py", 1, "changed text") == []
    assert covering.quickest_tests[:2] == ["tests/test_e.py::e", "tests/test_d.py::d"]
