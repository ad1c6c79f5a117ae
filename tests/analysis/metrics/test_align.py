import numpy as np
import pandas as pd
import pytest

from analysis.metrics.align import _first_values, both_orders
from analysis.metrics.columns import POINT, VARIANT
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, only, run, third_party
from tracking.catalogue import CriterionFacts, as_tag


def test_orders_with_different_hyperparameters_are_not_compared() -> None:
    runs = [
        run("ft | wanda", level=0.5, edit_success=0.9, **{"ft.lr": 1e-3}),
        run("wanda | ft", level=0.5, edit_success=0.8, **{"ft.lr": 2e-3}),
    ]
    with pytest.raises(
        InvalidInput,
        match=r"no pair was run in both orders with equal settings; there are: ft → wanda",
    ):
        point(frame(runs))


def test_of_repeats_the_newest_counts() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.1], [0.8]),
        run("ft | wanda", level=0.5, minutes=5, edit_success=0.9),
    ]
    row = only(point(frame(runs)))
    assert (row.forward, row.replicates, len(row.forward_runs)) == (0.9, 1, 1)


def test_a_later_run_that_measured_less_does_not_hide_what_an_earlier_one_measured() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8]),
        run("ft | wanda", level=0.5, minutes=5, mmlu=0.6),
    ]
    runs[0]["mmlu"] = runs[1]["mmlu"] = 0.6
    points = point(frame(runs)).set_index("criterion")
    assert points.forward["edit_success"] == 0.9 and points.forward["mmlu"] == 0.6
    assert points.forward_runs["mmlu"] == points.forward_runs["edit_success"]


def test_unfinished_runs_do_not_count() -> None:
    runs = frame(curve("ft", "wanda", [0.5, 0.6], [0.9, 0.9], [0.8, 0.8]))
    runs.loc[runs["wanda.sparsity"] == 0.6, "status"] = "FAILED"
    assert list(point(runs).level) == [0.5]


def test_a_recompressed_composition_is_a_pair() -> None:
    runs = frame(curve("ft", "wanda", [0.5], [0.9], [0.8]))
    runs["step3"] = runs.step1.where(runs.step1 == "wanda")
    assert only(point(runs)).backward == 0.8


def test_two_compressions_have_the_partners_level_and_the_others_as_a_setting() -> None:
    runs = []
    for bits in (3, 4):
        more = {"gptq.bits": bits, "wanda.sparsity": 0.5, "mmlu": bits / 10}
        runs += [run("gptq | wanda", **more), run("wanda | gptq", **more)]
    points = point(frame(runs)).sort_values("forward")
    assert list(points.strength) == ["wanda.sparsity"] * 2
    assert list(points.intervention_variant) == ["bits=3", "bits=4"]


def test_runs_that_contradict_each_other_on_a_direction_are_refused() -> None:
    runs = curve("ft", "wanda", [0.5], [0.9], [0.8])
    runs[0]["about_criteria"] = as_tag({"edit_success": CriterionFacts("higher", "F1")})
    runs[1]["about_criteria"] = as_tag({"edit_success": CriterionFacts("lower", "F1")})
    with pytest.raises(InvalidInput, match="runs contradict each other on edit_success"):
        point(frame(runs))


def test_orders_are_matched_by_seed_and_by_edit_batch() -> None:
    runs = [
        run("ft | wanda", level=0.5, edit_success=0.9, seed=0, edit_batch=1),
        run("wanda | ft", level=0.5, edit_success=0.1, seed=1, edit_batch=1),
        run("ft | wanda", level=0.5, edit_success=0.7, seed=1, edit_batch=0),
        run("wanda | ft", level=0.5, edit_success=0.6, seed=1, edit_batch=0),
    ]
    row = only(point(frame(runs)))
    assert (row.forward, row.backward, row.replicates) == (0.7, 0.6, 1)


def test_runs_without_seed_and_edit_batch_are_one_replicate() -> None:
    runs = frame(curve("ft", "wanda", [0.5], [0.9], [0.8])).drop(columns=["seed", "edit_batch"])
    assert only(point(runs)).replicates == 1


def test_runs_that_are_not_used_are_counted_by_reason() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8]),
        run("ft | wanda", level=0.5, minutes=1, edit_success=0.9),
        run("ft | wanda | ga", level=0.5, edit_success=0.9),
        run("ft | ft", edit_success=0.9),
        run("ga | ft", edit_success=0.9, status="FAILED"),
        run("ft", edit_success=1.0),
        run("none", edit_success=0.0),
    ]
    orders = both_orders(frame(runs))
    assert orders.left_out == [
        "1 run that did not finish",
        "1 run of three and more interventions: composability is defined for two",
        "1 run of one intervention applied twice: there is no order to compare",
        "1 run repeated with equal settings, seed and edit batch (that which measured most counts,"
        " of these the latest)",
    ]
    assert sorted(orders.alone.intervention) == ["", "ft"]


def test_the_values_of_an_order_that_was_not_run_are_missing() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        run("wanda | ft", level=0.5, edit_success=0.7),
    ]
    orders = both_orders(frame(runs))
    forward, backward = (
        orders.values(order, ["edit_success"])[:, 0] for order in ("forward", "backward")
    )
    assert forward.tolist()[0] == 0.9 and np.isnan(forward[1])
    assert backward.tolist() == [0.8, 0.7]


def test_the_level_is_the_interventions_where_the_partner_has_no_strength() -> None:
    runs = [
        run(steps, **{"shrink.ratio": 0.5}, **third_party(toxicity=0.2))
        for steps in ("shrink | unheard_of", "unheard_of | shrink")
    ]
    row = only(point(frame(runs)))
    assert (row.intervention, row.strength, row.level) == ("shrink", "shrink.ratio", 0.5)


def test_only_the_first_names_of_many_runs_are_listed() -> None:
    names = ("ft", "memit", "lora", "ga", "gd", "rmu", "awq", "wanda")
    runs = [run(name, edit_success=0.5) for name in names]
    with pytest.raises(InvalidInput, match=r"there are: ft, .*, rmu and 2 more"):
        point(frame(runs))


def test_a_composition_of_three_steps_is_no_pair_of_its_first_two() -> None:
    runs = curve("ft", "wanda", [0.5], [0.9], [0.8])
    triples = [
        run("ft | ga | wanda", level=0.5, edit_success=0.1),
        run("wanda | ga | ft", level=0.5, edit_success=0.2),
    ]
    orders = both_orders(frame([*runs, *triples]))
    assert list(orders.runs.pair) == ["ft + wanda"] * 2
    assert orders.left_out == [
        "2 runs of three and more interventions: composability is defined for two"
    ]


def test_points_are_numbered_in_the_order_of_their_rows_and_without_a_level_too() -> None:
    runs = [
        run(steps, edit_success=0.5) for steps in ("lora | ga", "ga | lora", "ft | ga", "ga | ft")
    ]
    runs += curve("ft", "wanda", [0.5, 0.25], [0.9, 0.8], [0.7, 0.6], **{"ft.lr": 1e-3})
    orders = both_orders(frame(runs))
    numbered = orders.frame[["point", "intervention", "partner", "level"]].fillna(-1)
    assert numbered.to_numpy().tolist() == [
        [0, "ft", "ga", -1],
        [1, "ft", "wanda", 0.25],
        [2, "ft", "wanda", 0.5],
        [3, "lora", "ga", -1],
    ]
    assert orders.frame.index.tolist() == [0, 1, 2, 3]


def test_the_runs_of_pairs_and_those_alone_are_numbered_anew() -> None:
    runs = [
        run("none", edit_success=0.1),
        *curve("ft", "wanda", [0.5], [0.9], [0.8]),
        run("ft", edit_success=0.9),
    ]
    table = frame(runs)
    orders = both_orders(table)
    assert orders.runs.index.tolist() == orders.alone.index.tolist() == [0, 1]
    described = {"forward", *POINT, *VARIANT}
    assert set(orders.runs) == set(orders.alone) == {*table, *described}


def test_a_strength_that_no_run_states_is_no_level() -> None:
    """Wanda's sparsity is not among the columns."""
    runs = [run(steps, edit_success=0.5) for steps in ("ft | wanda", "wanda | ft")]
    row = only(point(frame(runs)))
    assert row.strength == "" and np.isnan(row.level)


def test_the_first_six_values_are_named_and_the_others_counted() -> None:
    names = pd.DataFrame({"run_name": ["a", "b", "c", "a", "d", "e", "f", "g"]})
    assert _first_values(names.iloc[:7], "run_name") == "a, b, c, d, e, f"
    assert _first_values(names, "run_name") == "a, b, c, d, e, f and 1 more"
    assert _first_values(names, "pair") == "none"
