"""Grids that nobody could run are refused by their count, before anything is enumerated."""

import itertools
import tracemalloc
from typing import Any

import pytest

from interventions.errors import InvalidInput
from interventions.specs import sweep
from sweeps.grid import spec
from sweeps.grid.enumerate import (
    check_job_count,
    count_compositions,
    enumerate_compositions,
)
from sweeps.grid.ranges import read_indices, read_range
from sweeps.grid.run import grid
from sweeps.grid.spec import GridRequest

LEVELS = [round(0.001 * level, 3) for level in range(300)]


@pytest.mark.parametrize("pairs", ["across", "all"])
@pytest.mark.parametrize(
    "text",
    ["ft", "ft; lora; wanda(sparsity=[0.1, 0.2]); gptq; ga; gd", "wanda(sparsity=[0.1, 0.2, 0.3])"],
)
def test_the_count_is_that_of_what_is_enumerated_in_the_order_of_permutations(
    text: str, pairs: str
) -> None:
    steps = sweep(text)
    for length in range(5):
        marks = [[step.category if pairs == "across" else step.name] for step in steps]
        names = dict(zip(steps, marks, strict=True))
        permutations = [
            chosen
            for chosen in itertools.permutations(steps, length)
            if len({names[step][0] for step in chosen}) == length
        ]
        assert count_compositions(steps, [length], pairs) == len(permutations)
        if permutations:
            assert list(map(tuple, enumerate_compositions(steps, [length], pairs))) == permutations
        else:
            with pytest.raises(InvalidInput, match=f"no composition of {length}"):
                enumerate_compositions(steps, [length], pairs)


def test_few_compositions_of_many_steps_are_enumerated_at_once() -> None:
    steps = sweep(f"ft; ga; wanda(sparsity={LEVELS}, samples=[1, 2, 3])")
    compositions = enumerate_compositions(steps, [3])  # of 730 million permutations
    assert len(compositions) == count_compositions(steps, [3]) == 5400


@pytest.mark.parametrize(
    "values",
    [
        {"interventions": f"wanda(sparsity={LEVELS}); gptq(damp={LEVELS[1:]}); ft", "pairs": "all"},
        {"interventions": "ft; ga; wanda", "length": 1, "seeds": 10_000, "edit_batches": 10},
        {"interventions": "ft; ga; wanda", "length": 1, "edit_batches": list(range(10_000)),
         "seeds": range(10_000)},
    ],
    ids=["levels", "seeds", "batches"],
)  # fmt: skip
def test_too_many_runs_are_refused_before_one_is_planned(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def enumerate_nothing(*args: Any) -> None:
        raise AssertionError("enumerated")

    monkeypatch.setattr(spec, "enumerate_compositions", enumerate_nothing)
    monkeypatch.setattr(spec, "make_jobs", enumerate_nothing)
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="a grid may have 100000 runs, but this one has"):
        GridRequest(**values).checked()
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_the_greatest_grid_is_no_error() -> None:
    check_job_count(100_000)
    check_job_count(10, 100, 100)
    with pytest.raises(InvalidInput, match="100001 compositions x 1 seeds x 1 batches"):
        check_job_count(100_001)


@pytest.mark.parametrize(
    "value",
    [
        range(10**9), range(10**30), [0] * 10**6, 10**5000, -1, "9" * 5000, "0..10", "1_0",
        "\u0663", "1e3", "0x1", ",".join(map(str, range(10_001))), True, [True], 1.0, None, "",
        ",", "1,,2",
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_number_of_seeds_is_one_line_soon(value: Any) -> None:
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="seeds must be how many") as error:
        read_indices("seeds", value)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    assert len(str(error.value)) < 400 and str(error.value).isprintable()


@pytest.mark.parametrize(
    "value", ["0..1000000000", range(10**9), 10**9, "3..1", "\u0660..\u0663", "0..2..3"]
)
def test_what_is_no_length_is_one_line(value: Any) -> None:
    with pytest.raises(InvalidInput, match="length must be a number or a range"):
        read_range("length", value)
    assert read_range("length", "0..50") == list(range(51))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"interventions": "wanda(sparsity=[" + "0.1," * 2000 + "])"},
            "interventions may have 6000",
        ),
        ({"experiment": "a\nb"}, "experiment must be one line"),
        ({"experiment": "x" * 300}, "experiment must be one line"),
        ({"experiment": ""}, "experiment must be one line"),
        ({"name": "x" * 300}, "name must be one line of 1 to 200"),
        ({"name": " a"}, "name must be one line of 1 to 200"),
        ({"name": "a/b"}, "name must be of letters"),
        ({"name": "a\n"}, "name must be of letters"),
        ({"workers": 10**5000}, "workers must be at least 1"),
        ({"workers": 10**6}, "at most 10000 and 1000 are possible"),
        ({"gpus": 1e9}, "at most 10000 and 1000 are possible"),
    ],
)
def test_values_that_a_store_or_a_cluster_cannot_hold_are_one_line(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        GridRequest(**{"interventions": "ft", "length": 0, **values}).checked()
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"interventions": 5}, "interventions must be a string, but got 5"),
        ({"seeds": "a"}, "seeds must be how many"),
        ({"seeds": 1.5}, "seeds must be a string or an integer or several of an integer"),
        ({"workers": True}, "workers must be an integer, but got True"),
        (
            {"interventoins": "ft"},
            "grid has no argument 'interventoins'. Did you mean 'interventio",
        ),
    ],
)
def test_wrong_types_from_python_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        grid(**{"interventions": "ft", **values})
    assert message in str(error.value)
