"""Every preset's verdict: right where the truth is known, none where there is no effect."""

import pytest

from analysis.report.hypotheses.parts import FAILS, HOLDS, UNTOLD
from analysis.report.hypotheses.presets.all import presets_named
from analysis.report.hypotheses.presets.names import PUBLISHED
from analysis.report.hypotheses.presets.preset import Preset
from tests.analysis.report.hypotheses.presets.stores import claims, judged, verdicts
from tests.analysis.report.hypotheses.presets.truths import WORLDS

PRESETS = {preset.name: preset for preset in presets_named(PUBLISHED)}
all_presets = pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))


def false_verdicts(preset: Preset, draws: int, noise: float) -> int:
    """Return in how many null stores there is a verdict on anything."""
    _, _, nothing = WORLDS[preset.name]
    return sum(bool(claims(judged(preset, nothing, seed, noise=noise))) for seed in range(draws))


@all_presets
def test_what_is_true_holds(preset: Preset) -> None:
    true, _, _ = WORLDS[preset.name]
    results = judged(preset, true, 0)
    assert verdicts(preset, results) == [HOLDS] * len(preset.titles)
    assert {result.verdict for result in results} == {HOLDS}


@all_presets
def test_what_is_the_other_way_round_does_not_hold(preset: Preset) -> None:
    _, opposite, _ = WORLDS[preset.name]
    expected = [FAILS] * len(preset.titles)
    if preset.name == "three-orders":  # that orders differ holds either way; two are the best
        expected = [HOLDS, HOLDS, HOLDS, FAILS, UNTOLD]
    assert verdicts(preset, judged(preset, opposite, 0)) == expected


@all_presets
def test_null_stores_are_told_nothing(preset: Preset) -> None:
    assert false_verdicts(preset, 6, 0.03) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.03, 0.06])
@all_presets
def test_of_200_null_stores_at_most_7_percent_are_told_anything(
    preset: Preset, noise: float
) -> None:
    assert false_verdicts(preset, 200, noise) <= 14


@all_presets
def test_every_part_names_cells_that_are_planned(preset: Preset) -> None:
    planned = {cell.text for cell in preset.cells}
    assert {cell for part in preset.parts for cell in part.cells} == planned
    assert len(set(preset.cells)) == len(preset.cells)


@all_presets
def test_two_replicates_are_not_tested(preset: Preset) -> None:
    true, _, _ = WORLDS[preset.name]
    results = judged(preset, true, 0, replicates=2)
    by_run = [result for result in results if result.part.over in ("edit batches", "seeds")]
    assert not claims(by_run)
