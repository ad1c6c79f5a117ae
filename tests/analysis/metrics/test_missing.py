from types import SimpleNamespace

import numpy as np
import pytest

from analysis.metrics.composability import missing, point
from analysis.metrics.missing import _missing_runs, missing_alone
from tests.analysis.synthetic import curve, frame, run


def test_an_order_that_was_not_run_is_a_gap_with_a_name() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        run("ft | wanda", level=0.5, edit_success=0.7),
    ]
    points = point(frame(runs)).set_index("level")
    assert points.forward[0.5] == 0.7
    assert points.loc[0.5, ["backward", "order_free_error", "order_sensitivity"]].isna().all()
    (line,) = missing(point(frame(runs))).to_dict("records")
    assert (line["level"], line["what"]) == (0.5, "wanda → ft was not run")


def test_a_level_that_other_pairs_have_is_missed() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7]),
        *curve("lora", "wanda", [0.25], [0.9], [0.8]),
    ]
    (line,) = missing(point(frame(runs))).to_dict("records")
    assert (line["intervention"], line["level"]) == ("lora", 0.5)
    assert (
        line["what"]
        == "neither order was run, though other pairs have this level of wanda.sparsity"
    )


def test_levels_are_compared_within_one_context_and_strength() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], model="large"),
        *curve("lora", "wanda", [0.25], [0.9], [0.8], model="small"),
        *curve("lora", "awq", [4], [0.9], [0.8], model="large"),
    ]
    assert missing(point(frame(runs))).empty


def test_the_order_that_is_named_as_missing_is_the_one_that_was_not_run() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        run("wanda | ft", level=0.5, edit_success=0.7),
    ]
    assert list(missing(point(frame(runs))).what) == ["ft → wanda was not run"]


def test_what_several_criteria_lack_is_named_once() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8], mmlu=0.5)
    runs.append(run("wanda | ft", level=0.5, edit_success=0.7, mmlu=0.5))
    assert len(missing(point(frame(runs)))) == 1


def test_pairs_without_levels_miss_none() -> None:
    runs = [
        run(steps, edit_success=0.5) for steps in ("ft | ga", "ga | ft", "lora | ga", "ga | lora")
    ]
    assert missing(point(frame(runs))).empty


def test_each_setting_of_a_pair_must_have_every_level() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], **{"ft.lr": 1e-3}),
        *curve("ft", "wanda", [0.25], [0.9], [0.8], **{"ft.lr": 2e-3}),
    ]
    (line,) = missing(point(frame(runs))).to_dict("records")
    assert (line["intervention_variant"], line["level"]) == ("lr=0.002", 0.5)


def test_what_was_not_run_alone_is_named_once_or_with_its_levels() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7], mmlu=0.5),
        run("wanda", level=0.25, edit_success=0.1, mmlu=0.5),
    ]
    rows = missing_alone(point(frame(runs)))
    said = "was not run alone with the seeds and batches of both orders"
    assert list(rows.what) == [f"ft {said}", f"wanda {said}"]
    assert list(rows.strength) == ["", "wanda.sparsity"]
    assert np.isnan(rows.level[0]) and rows.level[1] == 0.5
    runs += [run("ft", edit_success=0.9), run("wanda", level=0.5, edit_success=0.1)]
    assert missing_alone(point(frame(runs))).empty


def test_what_only_one_order_has_is_compared_with_nothing_alone() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        run("ft | wanda", level=0.5, edit_success=0.7),
        run("ft", edit_success=0.9),
        run("wanda", level=0.25, edit_success=0.1),
    ]
    assert missing_alone(point(frame(runs))).empty


def test_one_criterion_of_the_intervention_alone_is_enough() -> None:
    runs = curve("ft", "wanda", [0.5], [0.9], [0.8], mmlu=0.5)
    runs += [run("ft", edit_success=0.9), run("wanda", level=0.5, mmlu=0.5)]
    assert missing_alone(point(frame(runs))).empty


def test_gaps_are_named_in_the_order_of_the_points_and_their_levels_from_low_to_high() -> None:
    """Strengths, settings and levels whose order is not that of their names or numbers."""
    slow, fast = {"ft.lr": 1e-3}, {"ft.lr": 2e-3}
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8], **slow),
        *curve("ft", "wanda", [0.25], [0.9], [0.8], **fast),
        *curve("lora", "awq", [2, 3, 8], [0.9, 0.9, 0.9], [0.8, 0.8, 0.8]),
        *curve("memit", "awq", [2], [0.9], [0.8]),
    ]
    rows = missing(point(frame(runs)))
    columns = ["intervention", "strength", "level", "intervention_variant"]
    assert rows[columns].to_numpy().tolist() == [
        ["ft", "wanda.sparsity", 0.5, "lr=0.002"],
        ["ft", "wanda.sparsity", 0.25, "lr=0.001"],
        ["memit", "awq.bits", 3, ""],
        ["memit", "awq.bits", 8, ""],
    ]
    alone = missing_alone(point(frame(runs)))
    said = "was not run alone with the seeds and batches of both orders"
    in_order = ["ft", "wanda", "ft", "wanda", "lora", "awq", "memit", "awq"]
    assert alone.what.tolist() == [f"{name} {said}" for name in in_order]
    assert alone.intervention_variant.tolist()[:4] == ["lr=0.002"] * 2 + ["lr=0.001"] * 2


@pytest.mark.parametrize(
    ("forward_runs", "replicates", "unpaired", "words"),
    [
        (("a",), 1, 0, []),
        (("a",), 1, 1, ["1 replicate (seed and edit batch) in one order only"]),
        (("a", "c"), 1, 2, ["2 replicates (seed and edit batch) in one order only"]),
        (("a",), 0, 2, ["no seed and edit batch is common to both orders"]),
        ((), 0, 1, ["ft → wanda was not run"]),
    ],
)
def test_replicates_that_only_one_order_has_are_counted(
    forward_runs: tuple[str, ...], replicates: int, unpaired: int, words: list[str]
) -> None:
    pair = SimpleNamespace(
        intervention="ft",
        partner="wanda",
        forward_runs=forward_runs,
        backward_runs=("b",),
        replicates=replicates,
        unpaired=unpaired,
    )
    assert _missing_runs(pair) == words
