from collections.abc import Callable

import pytest

from analysis.report.hypotheses.cells import BATCHES, ITEM_CRITERIA, SEEDS, Levels
from analysis.report.hypotheses.presets.all import presets_named
from analysis.report.hypotheses.presets.names import PAPER, PUBLISHED, TITLES
from analysis.report.hypotheses.presets.preset import Preset
from interventions.base import INTERVENTIONS
from interventions.composition import Composition
from interventions.errors import InvalidInput

PRESETS = presets_named(PUBLISHED)


def named(name: str) -> Preset:
    (preset,) = presets_named(name)
    return preset


def test_the_names_on_the_command_line_are_those_of_the_presets() -> None:
    assert [preset.name for preset in PRESETS] == list(TITLES)
    assert [preset.heading for preset in PRESETS] == list(TITLES.values())


@pytest.mark.parametrize("preset", PRESETS, ids=list(TITLES))
def test_a_preset_says_its_source_and_its_cells_can_be_read(preset: Preset) -> None:
    assert all(source.startswith("arXiv 2") for source in preset.sources)
    here = preset.with_registered(INTERVENTIONS.all())
    for cell in here.cells:
        assert Composition.parse(cell.text).spec() == cell.text


@pytest.mark.parametrize("preset", PRESETS, ids=list(TITLES))
def test_a_preset_measures_what_its_parts_read(preset: Preset) -> None:
    """A part that reads a criterion which is not measured finds no cell."""
    kinds = {part.over for part in preset.parts} & set(ITEM_CRITERIA)
    assert {ITEM_CRITERIA[kind] for kind in kinds} <= set(preset.criteria)


def test_what_edits_is_replicated_by_batches_and_what_draws_by_seeds() -> None:
    for preset in PRESETS:
        for cell in preset.cells:
            edits = any(name in cell.text.split(" | ") for name in ("ft", "memit", "lora"))
            if edits or "merge" in cell.text:
                assert cell.over == BATCHES
            if cell.over == SEEDS:
                assert "rmu" in cell.text


def test_what_needs_an_intervention_that_is_not_registered_is_not_run() -> None:
    preset = named("finetuning-erases")
    without = preset.with_registered(["ft", "memit", "lora", "finetune"])
    assert [cell.text for cell in without.cells] == [
        text for name in ("ft", "memit", "lora") for text in (name, f"{name} | finetune")
    ]
    lacking = [part for part in without.parts if part.lacking]
    assert len(lacking) == 2 and len(without.parts) == len(preset.parts)
    assert lacking[0].lacking == "not testable here: no intervention is named alphaedit"
    assert preset.with_registered(["alphaedit"]) == preset


def test_where_nothing_can_be_tested_nothing_is_run() -> None:
    without = named("merging-or-sequence").with_registered(["ft", "rmu"])
    assert not without.cells and all(part.lacking for part in without.parts)


def test_the_sizes_that_are_compared_are_equal() -> None:
    for cell in named("weaker-first").cells:
        steps = Composition.parse(cell.text)
        if len(steps) == 2:
            (sparsity,) = (step.sparsity for step in steps if hasattr(step, "sparsity"))
            (bits,) = (step.bits for step in steps if hasattr(step, "bits"))
            assert 16 * (1 - sparsity) + sparsity == pytest.approx(bits + 0.25, abs=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: presets_named("unheard-of"), "preset must be"),
        (lambda: presets_named("relearning", Levels()), "levels are those of preset paper"),
    ],
)
def test_what_is_no_preset_or_has_no_levels_is_refused(
    call: Callable[[], object], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as error:
        call()
    assert len(str(error.value)) <= 390


def test_the_paper_is_a_preset_with_levels() -> None:
    (paper,) = presets_named(PAPER, Levels((0.5, 0.75), (2, 3)))
    assert any("sparsity=0.75" in cell.text for cell in paper.cells)
    assert paper.policies == ("auto", "paper") and "0.75" in paper.design
