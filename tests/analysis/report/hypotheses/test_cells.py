import pytest

from analysis.report.hypotheses.cells import (
    ALWAYS,
    BATCHES,
    QUESTIONS,
    SEEDS,
    TEXTS,
    Cell,
    Levels,
    check_replicates,
    needed_cells,
)
from interventions.composition import Composition
from interventions.errors import InvalidInput


def test_every_cell_is_a_composition_and_stands_once() -> None:
    cells = needed_cells(Levels((0.5, 0.75), (2, 3)))
    texts = [cell.text for cell in cells]
    assert len(set(texts)) == len(texts)
    assert [Composition.parse(text).spec() for text in texts] == texts


def test_edits_are_replicated_by_batches_and_all_else_by_seeds_that_matter() -> None:
    by_text = {cell.text: cell for cell in needed_cells(Levels())}
    assert by_text["ga | ft"] == Cell("ga | ft", BATCHES)
    assert by_text["rmu | awq(bits=3)"] == Cell("rmu | awq(bits=3)", SEEDS)
    assert len(by_text["rmu"].replicates(10)) == len(by_text["ft"].replicates(10)) == 10
    unrepeated = by_text["ga | awq(bits=3)"]
    assert unrepeated.over == QUESTIONS and list(unrepeated.replicates(10)) == [0]


def test_what_is_judged_item_by_item_or_never_changes_is_run_once() -> None:
    for over in (TEXTS, QUESTIONS, ALWAYS):
        assert list(Cell("none", over).replicates(10)) == [0]


@pytest.mark.parametrize(
    "text",
    [
        "", "sparsity=0.5", "sparsity=0.5,0.6", "sparsity=0.5,0.5;bits=3,4", "bits=3,4;levels=1,2",
        "sparsity=0.5,0.6,0.7;bits=3,4", "sparsity=1.5,0.6;bits=3,4", "sparsity=0.5,0.6;bits=a,4",
        "sparsity=nan,0.6;bits=3,4", "sparsity=0.5,0.6;bits=3,4;x=1", "sparsity=0.5,0.6;bits=0,4",
        "sparsity=0,0.6;bits=3,4", "sparsity=1,0.6;bits=3,4",
    ],
)  # fmt: skip
def test_levels_that_are_not_two_of_each_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="levels must be two of each strength") as error:
        Levels.parse(text)
    assert len(str(error.value)) < 390


def test_levels_are_read_and_said() -> None:
    assert str(Levels.parse("bits=2,3;sparsity=0.5,0.75")) == "sparsity 0.5 and 0.75, 2 and 3 bits"
    assert Levels.parse("bits=1,2;sparsity=0.5,0.75").bits == (1, 2)


@pytest.mark.parametrize("count", [-1, 2, 1001])
def test_too_few_or_too_many_replicates_are_refused(count: int) -> None:
    with pytest.raises(InvalidInput, match=f"from 3 to 1000, but got {count}"):
        check_replicates(count)
    assert [check_replicates(most) for most in (3, 1000)] == [3, 1000]
