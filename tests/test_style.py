"""The code is as readable as the house promises; tests/quality/plain_words.py counts."""

import ast
import statistics

import pytest

from tests.quality.plain_words import PACKAGES, ROOT, Counts, count, python_files


@pytest.fixture(scope="module")
def packages() -> Counts:
    return count(python_files(*PACKAGES))


@pytest.fixture(scope="module")
def everything() -> Counts:
    return count(python_files(*PACKAGES, "tests", "benchmarks"))


def test_names_say_what_they_hold(packages: Counts, everything: Counts) -> None:
    assert packages.filler_share < 0.01, packages.fillers
    assert everything.filler_share < 0.01, everything.fillers


def test_lines_fit_a_screen(everything: Counts) -> None:
    assert everything.long_share < 0.01, everything.long_lines


def test_files_are_short(packages: Counts) -> None:
    lengths = packages.file_lengths
    assert {name for name, length in lengths.items() if length > 300} == set()
    assert statistics.median(lengths.values()) <= 120


def test_no_test_file_is_long(everything: Counts) -> None:
    lengths = everything.file_lengths
    assert {name for name, length in lengths.items() if length > 400} == set()


def test_a_filler_name_and_a_long_line_are_counted() -> None:
    counts = Counts(names=200, fillers=["a.py:1: found"], lines=50, long_lines=["a.py:2"])
    assert (counts.filler_share, counts.long_share) == (0.005, 0.02)


def definitions(kind: type[ast.stmt]) -> dict[str, set[str]]:
    """Return the files that define each public class or function, by name."""
    places: dict[str, set[str]] = {}
    for path in python_files(*PACKAGES):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, kind) and not getattr(node, "name", "_").startswith("_"):
                name = path.relative_to(ROOT).as_posix()
                places.setdefault(node.name, set()).add(name)  # type: ignore[attr-defined]
    return places


def test_a_class_name_has_one_meaning() -> None:
    assert {
        name: files for name, files in definitions(ast.ClassDef).items() if len(files) > 1
    } == {}


# subcommands are called as the functions that they run; every program has a main
SUBCOMMANDS = {"run", "plan", "grid", "tune", "register", "main", "run_command"}


def test_a_function_name_has_one_meaning() -> None:
    shared = {name: files for name, files in definitions(ast.FunctionDef).items() if len(files) > 1}
    assert {name: files for name, files in shared.items() if name not in SUBCOMMANDS} == {}


# they collect, or hold what is trained
MUTABLE = {"Cost", "Inputs", "LM", "SweptGrids", "Tally", "WeightMatrix", "_Batch"}
DROPPED_IN = ("editing", "compression", "unlearning", "criteria")  # folders for files of others


def test_what_is_handed_around_cannot_be_changed() -> None:
    """Every data class is frozen, but those that are listed."""
    mutable = set()
    for path in python_files(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text())):
            for decorator in getattr(node, "decorator_list", ()):
                text = ast.unparse(decorator)
                if text.startswith("dataclass") and "frozen=True" not in text:
                    mutable.add((path.parent.name in DROPPED_IN, node.name))  # type: ignore[attr-defined]
    assert {name for is_dropped_in, name in mutable if not is_dropped_in} <= MUTABLE
    assert {name for _, name in mutable} >= MUTABLE
