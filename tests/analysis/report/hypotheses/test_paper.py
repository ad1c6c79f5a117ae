"""Verdicts on the findings: right where an effect is known, none where there is none."""

import pytest

from analysis.report.hypotheses.cells import BATCHES, QUESTIONS, SEEDS, needed_cells
from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.paper import TITLES, parts
from analysis.report.hypotheses.parts import (
    FAILS,
    HOLDS,
    UNTOLD,
    PartResult,
    judge_parts,
    verdict_of,
)
from tests.analysis.report.hypotheses.stores import (
    LEVELS,
    NULL,
    Truth,
    as_the_paper,
    nothing,
    opposite,
    store,
)

PARTS = parts(LEVELS)


def judged(truth: Truth, seed: int, **options: float) -> list[PartResult]:
    return judge_parts(PARTS, store(truth, seed, **options))  # type: ignore[arg-type]


def verdicts(results: list[PartResult]) -> dict[int, str]:
    return {
        number: verdict_of([result for result in results if result.part.finding == number])
        for number in TITLES
    }


def claims(results: list[PartResult]) -> list[str]:
    return [result.part.claim for result in results if result.verdict != UNTOLD]


def test_what_is_true_holds() -> None:
    results = judged(as_the_paper, 0)
    assert list(TITLES) == [1, 2, 3, 4, 5, 6]
    assert verdicts(results) == dict.fromkeys(TITLES, HOLDS)


def test_what_draws_nothing_at_random_is_replicated_by_questions() -> None:
    of_unlearners = [result for result in judged(as_the_paper, 0) if result.part.finding == 5]
    over = {result.part.over for result in of_unlearners if "RMU" not in result.part.claim}
    assert over == {QUESTIONS}
    assert {result.part.over for result in of_unlearners} == {QUESTIONS, SEEDS}
    assert {result.replicates for result in of_unlearners} == {10, 300}


def test_a_model_below_chance_knows_no_less_than_one_at_chance() -> None:
    """GA alone answers one in eight questions right, and after a compression one in four."""

    def destroyed(steps: list[str]) -> dict[str, float]:
        return NULL | ({"wmdp": 0.12 if steps == ["ga"] else 0.22} if "ga" in steps else {})

    of_ga = next(part for part in PARTS if "leaves more to GA" in part.claim)
    (result,) = judge_parts([of_ga], store(destroyed, 0))
    assert result.verdict == UNTOLD and abs(result.effect) < 0.02


def test_what_is_the_other_way_round_does_not_hold() -> None:
    results = judged(opposite, 0)
    by_finding = verdicts(results)
    assert (by_finding[2], by_finding[3]) == (FAILS, FAILS)
    best = next(result for result in results if result.part.claim.startswith("MEMIT has a lower"))
    assert best.verdict == FAILS and best.effect < 0


def test_null_stores_are_told_nothing() -> None:
    assert sum(bool(claims(judged(nothing, seed))) for seed in range(20)) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.03, 0.06])
def test_of_200_null_stores_at_most_8_percent_are_told_anything(noise: float) -> None:
    with_claims = sum(bool(claims(judged(nothing, seed, noise=noise))) for seed in range(200))
    assert with_claims <= 16


def test_effects_are_the_known_ones() -> None:
    by_claim = {result.part.claim: result for result in judged(as_the_paper, 1, noise=0.01)}
    wanda = by_claim["Wanda before an edit keeps more edit success than after it"]
    assert wanda.effect == pytest.approx(0.16, abs=0.02)
    assert wanda.low < 0.16 < wanda.high and wanda.replicates == 10
    # half of what an edited model has above chance, less what GA leaves: .5 * (.9 + .25) - .4
    destroys = next(result for claim, result in by_claim.items() if "GA leaves less" in claim)
    assert destroys.effect == pytest.approx(0.175, abs=0.015)


def test_a_finding_whose_runs_are_missing_cannot_be_told_and_says_which() -> None:
    values = store(as_the_paper, 0)
    table = values[BATCHES].table.drop(columns="awq(bits=3) | ft", level=0)
    results = judge_parts(PARTS, values | {BATCHES: CellValues(table)})
    awq = next(result for result in results if result.part.claim.startswith("AWQ before an edit"))
    assert (awq.verdict, awq.reason) == (UNTOLD, "not run: awq(bits=3) | ft")
    wanda = next(result for result in results if result.part.claim.startswith("Wanda before"))
    assert wanda.verdict == HOLDS


def test_two_batches_are_not_tested() -> None:
    results = judged(as_the_paper, 0, replicates=2)
    assert not [result for result in results if result.part.over == BATCHES and result.p_holm <= 1]
    assert "2 edit batches, and a test needs 3" in {result.reason for result in results}


def test_seeds_that_lead_to_equal_values_are_one_replicate() -> None:
    values = store(as_the_paper, 0)
    table = values[SEEDS].table.copy()
    for name in ("edit_success", "wmdp", "mmlu"):
        table["rmu", name] = table["rmu", name].iloc[0]
    results = judge_parts(PARTS, values | {SEEDS: CellValues(table)})
    hinders = next(entry for entry in results if "leaves more to RMU" in entry.part.claim)
    assert (hinders.verdict, hinders.reason) == (UNTOLD, "some seeds lead to equal values: rmu")


def test_every_part_names_cells_that_are_planned() -> None:
    planned = {cell.text for cell in needed_cells(LEVELS)}
    for part in PARTS:
        assert set(part.cells) <= planned
    assert {cell for part in PARTS for cell in part.cells} == planned
