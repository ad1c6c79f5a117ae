"""What a grid is made of."""

import pytest

from interventions.base import make
from interventions.composition import sweep
from interventions.errors import InvalidInput
from sweeps.grid import enumerate as enumeration
from sweeps.grid.enumerate import PRESETS, compositions


def test_a_list_of_values_is_one_intervention_each() -> None:
    assert sweep("ft; wanda(sparsity=[0.25, 0.35], samples=[8, 16])") == [
        make("ft"),
        *(make("wanda", sparsity=s, samples=n) for s in (0.25, 0.35) for n in (8, 16)),
    ]
    assert sweep("ft(layers=[(1, 2), 3])") == [make("ft", layers=(1, 2)), make("ft", layers=(3,))]
    assert sweep("rmu\nga;") == [make("rmu"), make("ga")]
    (paper,) = sweep("wanda", "paper")
    assert paper == make("wanda", "paper")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no intervention is named in ''"),
        (";", "no intervention is named"),
        ("ft; ft", "ft is named twice in 'ft; ft'"),
        ("wanda(sparsity=[0.5, 0.5])", "wanda.* is named twice"),
        ("wanda; wanda(sparsity=0.5)", "wanda.* is named twice"),
        ("wanda(sparsity=[])", "has an empty list: nothing would run"),
        ("wnda", "no intervention is named 'wnda'. Did you mean 'wanda'"),
        (
            "wanda(sparsity=[0.5, 25])",
            "wanda.sparsity must be at least 0 and less than 1, but got 25",
        ),
        ("ft | lora", "cannot read 'ft | lora'"),
        ("a = 1", "cannot read 'a = 1'"),
        ("ft(", "cannot read 'ft\\('"),
        ("ft(steps=print(1))", "ft.steps must be a plain value"),
    ],
)
def test_what_cannot_be_a_grid_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        sweep(text)


def test_the_preset_of_the_paper_is_its_311_compositions() -> None:
    """Section 3.1 and Tables 8-14: 1 base model, 28 single, 282 composed in both orders."""
    steps = sweep(PRESETS["paper"])
    assert [len(compositions(steps, [length])) for length in (0, 1, 2)] == [1, 28, 282]
    pairs = compositions(steps, [2])
    assert all(type(pair)(reversed(pair)) in pairs for pair in pairs)
    assert all(pair[0].category != pair[1].category for pair in pairs)
    assert len(set(pairs)) == 282


def test_every_preset_can_be_read() -> None:
    for name in PRESETS:
        assert sweep(enumeration.preset(name))
    with pytest.raises(InvalidInput, match="no preset is named 'papr'; known: paper, quick"):
        enumeration.preset("papr")


def test_three_steps_across_are_one_of_each_category_and_all_are_any_but_the_same() -> None:
    steps = sweep("ft; lora; wanda(sparsity=[0.5, 0.75]); ga")
    triples = compositions(steps, [3])
    assert len(triples) == 2 * 2 * 1 * 6
    assert all(len({step.category for step in triple}) == 3 for triple in triples)
    every = compositions(steps, [2], "all")
    assert len(every) == 5 * 4 - 2  # Wanda does not follow Wanda
    assert any(a.name == "ft" and b.name == "lora" for a, b in every)


def test_what_no_composition_can_be_made_of_is_said() -> None:
    with pytest.raises(InvalidInput, match=r"no composition of 2 .* no two steps of one category"):
        compositions(sweep("ft; lora"), [1, 2])
    with pytest.raises(
        InvalidInput, match=r"no composition of 2 .* no two steps of one intervention"
    ):
        compositions(sweep("wanda(sparsity=[0.5, 0.75])"), [2], "all")


def test_numbers_and_counts() -> None:
    assert enumeration.numbers("2", "length") == [2]
    assert enumeration.numbers("1..3", "length") == [1, 2, 3]
    assert enumeration.counted("3", "seeds") == [0, 1, 2]
    assert enumeration.counted("4,0", "seeds") == [4, 0]
    for text in ("", "x", "3..1", "-1", "1..", "..2", "1.5"):
        with pytest.raises(
            InvalidInput,
            match=f"length must be a number or a range such as 0..2, up to 10000, but got '{text}'",
        ):
            enumeration.numbers(text, "length")
    for text in ("", "x", "0", "-1", "0,0", "-1,2", "1,"):
        with pytest.raises(
            InvalidInput,
            match=rf"seeds must be how many \(3, up to 10000\) or which \(0,4\), .* but got '{text}'",
        ):
            enumeration.counted(text, "seeds")
