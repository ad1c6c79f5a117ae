"""The compositions that a grid is made of."""

import pytest

from interventions.base import make
from interventions.composition import Composition
from interventions.errors import InvalidInput
from interventions.specs import sweep
from sweeps.grid.enumerate import check_apart, enumerate_compositions, preset_interventions
from sweeps.grid.presets import PRESETS


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
    counts = [len(enumerate_compositions(steps, [length])) for length in (0, 1, 2)]
    assert counts == [1, 28, 282]
    pairs = enumerate_compositions(steps, [2])
    assert all(type(pair)(reversed(pair)) in pairs for pair in pairs)
    assert all(pair[0].category != pair[1].category for pair in pairs)
    assert len(set(pairs)) == 282


def test_every_preset_can_be_read() -> None:
    for name in PRESETS:
        assert sweep(preset_interventions(name))
    with pytest.raises(InvalidInput, match="no preset is named 'papr'; known: paper, quick"):
        preset_interventions("papr")


def test_the_quick_preset_has_one_intervention_of_each_category() -> None:
    assert sweep(PRESETS["quick"]) == [
        make("ft"),
        make("ga"),
        make("wanda", sparsity=0.5),
        make("wanda", sparsity=0.75),
    ]


def test_the_preset_of_the_paper_has_its_levels() -> None:
    """Tables 8-14."""
    levels: dict[str, list[float]] = {}
    for step in sweep(PRESETS["paper"]):
        level = getattr(step, step.strength) if step.strength else None
        levels.setdefault(step.name, []).extend([] if level is None else [level])
    sparsities = [0.25, 0.35, 0.45, 0.55, 0.65, 0.75]
    assert {name: values for name, values in levels.items() if values} == {
        "wanda": sparsities,
        "sparsegpt": sparsities,
        "gptq": [2, 3, 4, 8],
        "awq": [2, 3, 4, 5, 6, 8],
    }
    assert [name for name, values in levels.items() if not values] == [
        "ft",
        "memit",
        "lora",
        "ga",
        "gd",
        "rmu",
    ]


def test_three_steps_across_are_one_of_each_category_and_all_are_any_but_the_same() -> None:
    steps = sweep("ft; lora; wanda(sparsity=[0.5, 0.75]); ga")
    triples = enumerate_compositions(steps, [3])
    assert len(triples) == 2 * 2 * 1 * 6
    assert all(len({step.category for step in triple}) == 3 for triple in triples)
    pairs = enumerate_compositions(steps, [2], "all")
    assert len(pairs) == 5 * 4 - 2  # Wanda does not follow Wanda
    assert any(first.name == "ft" and second.name == "lora" for first, second in pairs)


def test_what_no_composition_can_be_made_of_is_said() -> None:
    with pytest.raises(
        InvalidInput, match=r"no composition of 2 .* no two steps of one category; .* has 1"
    ):
        enumerate_compositions(sweep("ft; lora"), [1, 2])
    with pytest.raises(
        InvalidInput, match=r"no composition of 2 .* no two steps of one intervention; .* has 1"
    ):
        enumerate_compositions(sweep("wanda(sparsity=[0.5, 0.75])"), [2], "all")


def test_batches_may_be_named_in_any_order() -> None:
    check_apart([Composition.parse("memit | memit(batch_offset=1)")], [8, 0, 24, 16])
