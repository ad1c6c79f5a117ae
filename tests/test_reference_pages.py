"""Hyperparameters, their bounds and levels, criteria, limits: all are as the reference says."""

import pytest

from tests.quality.limits_page import LIMITS, Constant, constants_of, limit_sections
from tests.quality.reference_pages import (
    CRITERION_FACTS,
    HYPERPARAMETERS,
    criterion_rows,
    hyperparameter_sections,
)

# a file that is dropped in, or a plug-in's class, need not be in the pages


def test_every_intervention_is_what_the_page_of_hyperparameters_says() -> None:
    sections = hyperparameter_sections()
    for printed in HYPERPARAMETERS.read_text().strip().split("\n\n## ")[1:]:
        name = printed.partition("\n")[0]
        assert sections.get(name) == f"## {printed}"


def test_every_criterion_is_what_the_page_of_their_facts_says() -> None:
    table = CRITERION_FACTS.read_text().partition("\n| criterion |")[2].strip()
    printed = table.splitlines()[2:]
    assert printed and set(printed) <= set(criterion_rows().values())


def test_every_limit_is_what_the_page_of_limits_says() -> None:
    sections = limit_sections()
    printed = [f"## {text}" for text in LIMITS.read_text().strip().split("\n\n## ")[1:]]
    assert printed and printed == list(sections.values())


def test_every_limit_says_what_it_is_of() -> None:
    without = [
        row for text in limit_sections().values() for row in text.splitlines() if "| |" in row
    ]
    assert set(without) == {"| constant | value | |"}


@pytest.mark.parametrize(
    ("source", "constants"),
    [
        ("_MOST = -2**6 + 1  # characters", [("_MOST", -63, "characters")]),
        ("# of two\n# lines\nA, B = 1, 2.5", [("A, B", (1, 2.5), "of two lines")]),
        ("# of both\nA = 1\nB = [1]", [("A", 1, "of both"), ("B", (1,), "of both")]),
        ("A = 1  # first\nB = 2", [("A", 1, "first"), ("B", 2, "")]),
        ("# of another\n\nA: int = 3 * 2", [("A", 6, "")]),
        ("A = 1 / 2\nB = f(1)\nC = True\nD = 'a'\nlower = 1\nE = ()\nF: int", []),
    ],
)
def test_a_constant_is_a_number_with_its_comment(
    source: str, constants: list[tuple[str, object, str]]
) -> None:
    expected = [Constant("a.py", name, value, comment) for name, value, comment in constants]
    assert list(constants_of("a.py", source)) == expected
