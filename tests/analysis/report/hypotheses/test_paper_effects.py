"""What each part of the paper's findings measures, against sums written out here."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from analysis.report.hypotheses.cells import QUESTIONS, Levels, needed_cells
from analysis.report.hypotheses.contrasts import CellValues, squared_differences
from analysis.report.hypotheses.paper import parts
from analysis.report.hypotheses.parts import ANY, Part

EDITORS, UNLEARNERS = ("ft", "memit", "lora"), ("ga", "gd", "rmu")
COMPRESSIONS = ("wanda", "sparsegpt", "awq", "gptq")
LEVELS = Levels()
COLUMNS = [
    (cell.text, criterion)
    for cell in needed_cells(LEVELS)
    for criterion in ("edit_success", "wmdp", "mmlu")
]
TABLE = pd.DataFrame(
    np.random.default_rng(0).uniform(0.1, 0.6, (4, len(COLUMNS))),
    columns=pd.MultiIndex.from_tuples(COLUMNS),
)
# both questions and runs: below chance are some values, and some means
CLIPPED_RUNS = TABLE.clip(lower=0.25)
CLIPPED_ITEMS = TABLE.apply(lambda column: column if column.mean() >= 0.25 else column * 0 + 0.25)


def mean(
    criterion: str, firsts: Sequence[str], seconds: Sequence[str] = (), table: pd.DataFrame = TABLE
) -> np.ndarray:
    """Average the cells of one of the first methods, then one of the second; or of it alone."""
    cells = []
    for cell in dict.fromkeys(table.columns.get_level_values(0)):
        names = [step.partition("(")[0] for step in cell.split(" | ")]
        if names[0] in firsts and (names[1] in seconds if len(names) == 2 else not seconds):
            cells.append((cell, criterion))
    return table[cells].mean(axis=1).to_numpy()


def pairs(firsts: Sequence[str], methods: Sequence[str]) -> list[tuple[str, str]]:
    return [
        (f"{first} | {spec}", f"{spec} | {first}")
        for first in firsts
        for method in methods
        for spec in (LEVELS.compressions(method) if method in COMPRESSIONS else [method])
    ]


def error(firsts: Sequence[str], methods: Sequence[str]) -> np.ndarray:
    """Average 1 - the edit success of each pair's order that is better on average."""
    better = [
        max((TABLE[cell, "edit_success"] for cell in pair), key=lambda column: column.mean())
        for pair in pairs(firsts, methods)
    ]
    return np.asarray(1 - np.mean(better, axis=0))


def squares(criterion: str, firsts: Sequence[str], methods: Sequence[str]) -> np.ndarray:
    return squared_differences(CellValues(TABLE), pairs(firsts, methods), criterion)


def unlearned(name: str) -> list[list[np.ndarray]]:
    """What compression leaves more than the unlearner alone, and if it comes first than last."""
    table = CLIPPED_RUNS if name == "rmu" else CLIPPED_ITEMS
    first, last = (
        mean("wmdp", steps[0], steps[1], table)
        for steps in (([name], COMPRESSIONS), (COMPRESSIONS, [name]))
    )
    return [[(first + last) / 2 - mean("wmdp", [name], (), table)], [last - first]]


def expected() -> list[list[np.ndarray]]:
    """Return the differences of every part, in the order of the findings."""
    edits = "edit_success"
    composed = {
        name: (mean(edits, EDITORS, [name]), mean(edits, [name], EDITORS)) for name in COMPRESSIONS
    }
    alone = mean(edits, EDITORS)
    editors = {name: error([name], COMPRESSIONS) for name in EDITORS}
    methods = {name: error(EDITORS, [name]) for name in COMPRESSIONS}
    general = {
        name: (mean("mmlu", EDITORS, [name]) + mean("mmlu", [name], EDITORS)) / 2
        for name in UNLEARNERS
    }
    by_order = {name: squares(edits, EDITORS, [name]) for name in UNLEARNERS}
    all_edits = squares(edits, EDITORS, COMPRESSIONS)
    hinders, unlearn_first = zip(*map(unlearned, UNLEARNERS), strict=True)
    return [
        *([alone - np.mean(both, axis=0)] for both in composed.values()),
        *([composed[name][1] - composed[name][0]] for name in ("wanda", "sparsegpt")),
        [composed["gptq"][0] - composed["gptq"][1]],
        [composed["awq"][1] - composed["awq"][0]],
        [
            editors["ft"] - editors["memit"],
            editors["ft"] - editors["lora"],
            editors["memit"] - editors["lora"],
            methods["wanda"] - methods["sparsegpt"],
            methods["awq"] - methods["gptq"],
        ],
        [editors["ft"] - editors["memit"], editors["lora"] - editors["memit"]],
        [methods["gptq"] - methods["awq"]],
        [all_edits / 4 - squares("mmlu", EDITORS, COMPRESSIONS), all_edits],
        *hinders,
        *unlearn_first,
        [by_order["ga"] - by_order["rmu"], by_order["gd"] - by_order["rmu"]],
        [
            general["gd"] - general["ga"],
            general["rmu"] - general["ga"],
            mean("mmlu", EDITORS) / 2 + 0.25 / 2 - general["ga"],
        ],
    ]


def test_each_part_measures_what_it_says() -> None:
    tested = parts(LEVELS)
    assert [part.finding for part in tested] == [1] * 4 + [2] * 4 + [3] * 3 + [4] + [5] * 6 + [
        6
    ] * 2
    values = CellValues(TABLE)
    for part, differences in zip(tested, expected(), strict=True):
        measured = part.measure(values.common(part.cells))
        np.testing.assert_allclose(measured, differences, atol=1e-12, err_msg=part.claim)


def test_only_differences_of_any_and_thresholds_are_told_apart() -> None:
    def numbers(part: Part) -> tuple[int, str, int]:
        return part.finding, part.needs, part.thresholds

    special = [part for part in parts(LEVELS) if part.needs == ANY or part.thresholds]
    assert list(map(numbers, special)) == [(3, ANY, 0), (6, "all", 1)]


@pytest.mark.parametrize("name", UNLEARNERS)
def test_unlearners_that_draw_nothing_are_judged_by_questions(name: str) -> None:
    title = name.upper()
    over = {part.over == QUESTIONS for part in parts(LEVELS) if f"to {title}" in part.claim}
    assert over == {name != "rmu"}
