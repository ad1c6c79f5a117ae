import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.metrics import composability as co
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, run
from tracking.catalogue import CriterionFacts, InterventionFacts, as_tag

TABLE_2 = Path(__file__).with_name("table2.csv")  # the paper's Table 2, as printed


def only(points: pd.DataFrame) -> Any:
    """The single row."""
    assert len(points) == 1
    return points.iloc[0]


# the paper


def test_the_96_numbers_of_table_2_follow_from_the_published_compositions(
    published: pd.DataFrame,
) -> None:
    """Tolerance: compositions and cells are both printed to two decimals."""
    printed = pd.read_csv(TABLE_2)
    points = co.point(published, levels={"sparsity": 0.25, "bits": 4})
    both = printed.merge(
        points, left_on=["row", "column", "criterion"], right_on=["partner", "intervention", "criterion"],
        suffixes=("_printed", ""),
    )  # fmt: skip
    assert len(both) == len(printed) == 48
    apart = {
        name: (both[name] - both[f"{name}_printed"]).abs()
        for name in ("order_free_error", "order_sensitivity")
    }
    assert all(differences.max() <= 0.0101 for differences in apart.values())
    # what the README says of the last digit
    assert {name: int((differences > 0.005).sum()) for name, differences in apart.items()} == {
        "order_free_error": 0, "order_sensitivity": 11,
    }  # fmt: skip


def test_equation_1_as_printed_misses_table_2(published: pd.DataFrame) -> None:
    """Which is why the default is the paper's text ("the area above the maximum")."""
    printed = pd.read_csv(TABLE_2).set_index(["row", "column", "criterion"]).order_free_error
    points = co.point(published, levels={"sparsity": 0.25, "bits": 4}, error="worst")
    worst = points.set_index(["partner", "intervention", "criterion"]).order_free_error.reindex(
        printed.index
    )
    assert (worst - printed).abs().max() > 0.3


def test_nothing_is_missing_in_the_paper(published: pd.DataFrame) -> None:
    points = co.point(published)
    assert co.missing(points).empty
    assert len(points.drop_duplicates("point")) == 282 / 2  # both orders of 141 compositions
    assert len(points.drop_duplicates(["intervention", "partner"])) == 33


# the definition


def test_the_better_order_counts_where_higher_is_better() -> None:
    point = only(co.point(frame(curve("ft", "wanda", [0.5], [0.9], [0.6]))))
    assert point.order_free_error == pytest.approx(0.1)
    assert point.order_sensitivity == pytest.approx(0.3)


def test_the_lower_order_counts_where_lower_is_better() -> None:
    runs = frame(curve("rmu", "wanda", [0.5], [0.3], [0.5], criterion="wmdp"))
    point = only(co.point(runs))
    assert point.order_free_error == 0.3
    assert point.order_free_error_adjusted == pytest.approx((0.3 - 0.25) / 0.75)
    assert only(co.point(runs, error="worst")).order_free_error == 0.5


def test_a_criterion_below_chance_has_an_adjusted_error_of_zero() -> None:
    point = only(co.point(frame(curve("ga", "wanda", [0.5], [0.2], [0.24], criterion="wmdp"))))
    assert (point.order_free_error, point.order_free_error_adjusted) == (0.2, 0.0)


def test_a_criterion_without_a_good_direction_has_a_sensitivity_but_no_error() -> None:
    point = only(co.point(frame(curve("ft", "wanda", [0.5], [0.4], [0.5], criterion="sparsity"))))
    assert math.isnan(point.order_free_error)
    assert point.order_sensitivity == pytest.approx(0.1)


def test_an_infinite_perplexity_leaves_the_finite_order_and_two_have_no_difference() -> None:
    runs = curve(
        "ga", "awq", [2, 4], [math.inf, math.inf], [8.0, math.inf], criterion="wikitext_ppl"
    )
    points = co.point(frame(runs)).set_index("level")
    assert (points.order_free_error[2], points.order_sensitivity[2]) == (8.0, math.inf)
    assert points.order_free_error[4] == math.inf
    assert math.isnan(points.order_sensitivity[4])


# what is compared with what


def test_replicates_are_averaged_before_the_better_order_is_taken() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [1.0], [0.0], edit_batch=0),
        *curve("ft", "wanda", [0.5], [0.0], [0.8], edit_batch=1),
    ]
    point = only(co.point(frame(runs)))
    assert (point.forward, point.backward, point.replicates) == (0.5, 0.4, 2)
    assert point.order_free_error == 0.5
    assert len(point.forward_runs) == len(point.backward_runs) == 2


def test_only_replicates_that_both_orders_have_count_and_the_others_are_named() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8]),
        run("ft | wanda", level=0.5, edit_batch=1, edit_success=0.1),
    ]
    points = co.point(frame(runs))
    assert (only(points).forward, only(points).replicates, only(points).unpaired) == (0.9, 1, 1)
    assert list(co.missing(points).what) == ["1 replicate (seed and edit batch) in one order only"]


def test_orders_without_a_common_seed_and_edit_batch_are_not_compared() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        run("ft | wanda", level=0.5, edit_success=0.9, edit_batch=0),
        run("wanda | ft", level=0.5, edit_success=0.1, edit_batch=1),
    ]
    points = co.point(frame(runs))
    apart: Any = points.set_index("level").loc[0.5]
    assert (apart.forward, apart.backward, apart.replicates) == (0.9, 0.1, 0)
    assert math.isnan(apart.order_free_error) and math.isnan(apart.order_sensitivity)
    assert co.missing(points).what.tolist() == ["no seed and edit batch is common to both orders"]
    assert co.area(points).empty


@pytest.mark.parametrize(
    "column",
    [
        "ft.lr",
        "wanda.samples",
        "model",
        "data",
        "dtype",
        "device",
        "recompress",
        "a_users_own_param",
    ],
)
def test_runs_that_differ_in_anything_else_are_never_averaged_together(column: str) -> None:
    values: tuple[Any, Any] = (1e-3, 2e-3) if "." in column else ("one", "other")
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8], **{column: values[0]}),
        *curve("ft", "wanda", [0.5], [0.2], [0.1], **{column: values[1]}),
    ]
    points = co.point(frame(runs)).sort_values("forward")
    assert list(points.forward) == [0.2, 0.9]
    told = points[["context", "intervention_variant", "partner_variant"]].agg(" ".join, axis=1)
    assert told.nunique() == 2
    assert all(column.rpartition(".")[2] in text for text in told)


def test_orders_with_different_hyperparameters_are_not_compared() -> None:
    runs = [
        run("ft | wanda", level=0.5, edit_success=0.9, **{"ft.lr": 1e-3}),
        run("wanda | ft", level=0.5, edit_success=0.8, **{"ft.lr": 2e-3}),
    ]
    with pytest.raises(
        InvalidInput,
        match=r"no pair was run in both orders with equal settings; there are: ft → wanda",
    ):
        co.point(frame(runs))


def test_lists_are_compared_by_value() -> None:
    runs = [
        run("ft | wanda", level=0.5, edit_success=0.9, **{"ft.layers": [3, 4]}),
        run("wanda | ft", level=0.5, edit_success=0.8, **{"ft.layers": [3, 4]}),
    ]
    assert only(co.point(frame(runs))).replicates == 1


def test_which_checkpoints_were_kept_is_no_setting() -> None:
    runs = [
        run("ft | wanda", level=0.5, edit_success=0.9, checkpoints="all"),
        run("wanda | ft", level=0.5, edit_success=0.8, checkpoints="none"),
    ]
    assert only(co.point(frame(runs))).order_sensitivity == pytest.approx(0.1)


def test_of_repeats_the_newest_counts() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.1], [0.8]),
        run("ft | wanda", level=0.5, minutes=5, edit_success=0.9),
    ]
    point = only(co.point(frame(runs)))
    assert (point.forward, point.replicates, len(point.forward_runs)) == (0.9, 1, 1)


def test_unfinished_runs_do_not_count() -> None:
    runs = frame(curve("ft", "wanda", [0.5, 0.6], [0.9, 0.9], [0.8, 0.8]))
    runs.loc[runs["wanda.sparsity"] == 0.6, "status"] = "FAILED"
    assert list(co.point(runs).level) == [0.5]


def test_a_recompressed_composition_is_a_pair() -> None:
    runs = frame(curve("ft", "wanda", [0.5], [0.9], [0.8]))
    runs["step3"] = runs.step1.where(runs.step1 == "wanda")
    assert only(co.point(runs)).backward == 0.8


def test_two_compressions_have_the_partners_level_and_the_others_as_a_setting() -> None:
    runs = []
    for bits in (3, 4):
        more = {"gptq.bits": bits, "wanda.sparsity": 0.5, "mmlu": bits / 10}
        runs += [run("gptq | wanda", **more), run("wanda | gptq", **more)]
    points = co.point(frame(runs)).sort_values("forward")
    assert list(points.strength) == ["wanda.sparsity"] * 2
    assert list(points.intervention_variant) == ["bits=3", "bits=4"]


# what is missing


def test_an_order_that_was_not_run_is_a_gap_with_a_name() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        run("ft | wanda", level=0.5, edit_success=0.7),
    ]
    points = co.point(frame(runs)).set_index("level")
    assert points.forward[0.5] == 0.7
    assert points.loc[0.5, ["backward", "order_free_error", "order_sensitivity"]].isna().all()
    (line,) = co.missing(co.point(frame(runs))).to_dict("records")
    assert (line["level"], line["what"]) == (0.5, "wanda → ft was not run")


def test_a_level_that_other_pairs_have_is_missed() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7]),
        *curve("lora", "wanda", [0.25], [0.9], [0.8]),
    ]
    (line,) = co.missing(co.point(frame(runs))).to_dict("records")
    assert (line["intervention"], line["level"]) == ("lora", 0.5)
    assert (
        line["what"]
        == "neither order was run, though other pairs have this level of wanda.sparsity"
    )


# third parties


def third_party(**columns: Any) -> dict[str, Any]:
    return {
        "about_interventions": as_tag(
            {"shrink": InterventionFacts("Shrink", "compression", "ratio")}
        ),
        "about_criteria": as_tag({"toxicity": CriterionFacts("lower", "share")}),
        **columns,
    }


def test_interventions_and_criteria_of_third_parties_are_known_from_their_runs() -> None:
    runs = [
        run("ft | shrink", **third_party(toxicity=0.2, **{"shrink.ratio": 0.5})),
        run("shrink | ft", **third_party(toxicity=0.1, **{"shrink.ratio": 0.5})),
    ]
    point = only(co.point(frame(runs)))
    assert (point.intervention, point.partner, point.strength, point.level) == (
        "ft",
        "shrink",
        "shrink.ratio",
        0.5,
    )
    assert (point.criterion, point.order_free_error, point.partner_group) == (
        "toxicity",
        0.1,
        "compression",
    )


def test_runs_that_contradict_each_other_on_a_direction_are_refused() -> None:
    runs = curve("ft", "wanda", [0.5], [0.9], [0.8])
    runs[0]["about_criteria"] = as_tag({"edit_success": CriterionFacts("higher", "F1")})
    runs[1]["about_criteria"] = as_tag({"edit_success": CriterionFacts("lower", "F1")})
    with pytest.raises(InvalidInput, match="runs contradict each other on edit_success"):
        co.point(frame(runs))


# bad input

RUNS = [*curve("ft", "wanda", [0.25], [0.9], [0.8]), run("ft | wanda", level=0.5, edit_success=0.7)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: co.point(frame(RUNS), ["edit_sucess"]),
            r"no criterion 'edit_sucess'. Did you mean 'edit_success'\? They",
        ),
        (
            lambda: co.point(frame(RUNS), error="median"),  # type: ignore[arg-type]
            "error must be best or worst, but got 'median'",
        ),
        (
            lambda: co.point(frame(RUNS), levels={"sparsity": 0.5}),
            "level sparsity=0.5: only ft → wanda has it; levels that both orders have: 0.25",
        ),
        (
            lambda: co.point(frame(RUNS), levels={"sparsity": 0.4}),
            "sparsity=0.4: no run has it; levels that both .* 0.25",
        ),
        (
            lambda: co.point(frame(RUNS), levels={"bits": 4}),
            "no pair has a strength named 'bits'; there are: sparsity",
        ),
        (
            lambda: co.point(frame(RUNS), bounds={"mmlu": 0.4}),
            "no criterion 'mmlu'. They have: edit_success",
        ),
        (
            lambda: co.point(frame(RUNS[:1])),
            "no pair was run in both orders .*; there are: ft → wanda",
        ),
        (
            lambda: co.point(frame([run("ft", edit_success=0.9)])),
            "no finished run is a pair .*; there are: ft",
        ),
        (
            lambda: co.point(pd.DataFrame()),
            "no finished run is a pair of interventions; there are: none",
        ),
    ],
)
def test_bad_input_is_one_line_that_says_what_is_there(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        call()
    assert "\n" not in str(error.value)


# properties

shares = st.floats(0, 1, allow_subnormal=False)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(shares, shares), min_size=1, max_size=5), st.randoms(use_true_random=False)
)
def test_the_order_in_which_runs_were_logged_does_not_matter(
    values: list[tuple[float, float]], random: Any
) -> None:
    levels = [i / 10 for i in range(len(values))]
    forward, backward = zip(*values, strict=True)
    runs = curve("ft", "wanda", levels, forward, backward)
    shuffled = runs.copy()
    random.shuffle(shuffled)
    one, other = (co.point(pd.DataFrame(some)) for some in (runs, shuffled))
    pd.testing.assert_frame_equal(one, other)


@settings(max_examples=25, deadline=None)
@given(st.lists(shares, min_size=1, max_size=6))
def test_identical_curves_have_no_order_sensitivity_and_errors_stay_in_bounds(
    values: list[float],
) -> None:
    points = co.point(
        frame(curve("ft", "wanda", [i / 10 for i in range(len(values))], values, values))
    )
    assert (points.order_sensitivity == 0).all()
    assert points.order_free_error.between(0, 1).all()
