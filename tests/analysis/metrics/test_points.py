import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings, strategies

from analysis.metrics.composability import area, missing, point
from interventions.errors import InvalidInput
from tests.analysis.printed import TABLE_2
from tests.analysis.synthetic import curve, frame, only, run, third_party

shares = strategies.floats(0, 1, allow_subnormal=False)


def test_the_96_numbers_of_table_2_follow_from_the_published_compositions(
    published: pd.DataFrame,
) -> None:
    """Tolerance: compositions and cells are both printed to two decimals."""
    printed = pd.read_csv(TABLE_2)
    points = point(published, levels={"sparsity": 0.25, "bits": 4})
    both = printed.merge(
        points,
        left_on=["row", "column", "criterion"],
        right_on=["partner", "intervention", "criterion"],
        suffixes=("_printed", ""),
    )
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
    points = point(published, levels={"sparsity": 0.25, "bits": 4}, error="worst")
    worst = points.set_index(["partner", "intervention", "criterion"]).order_free_error.reindex(
        printed.index
    )
    assert (worst - printed).abs().max() > 0.3


def test_nothing_is_missing_in_the_paper(published: pd.DataFrame) -> None:
    points = point(published)
    assert missing(points).empty
    assert len(points.drop_duplicates("point")) == 282 / 2  # both orders of 141 compositions
    assert len(points.drop_duplicates(["intervention", "partner"])) == 33


def test_replicates_are_averaged_before_the_better_order_is_taken() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [1.0], [0.0], edit_batch=0),
        *curve("ft", "wanda", [0.5], [0.0], [0.8], edit_batch=1),
    ]
    row = only(point(frame(runs)))
    assert (row.forward, row.backward, row.replicates) == (0.5, 0.4, 2)
    assert row.order_free_error == 0.5
    assert len(row.forward_runs) == len(row.backward_runs) == 2


def test_only_replicates_that_both_orders_have_count_and_the_others_are_named() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8]),
        run("ft | wanda", level=0.5, edit_batch=1, edit_success=0.1),
    ]
    points = point(frame(runs))
    assert (only(points).forward, only(points).replicates, only(points).unpaired) == (0.9, 1, 1)
    assert list(missing(points).what) == ["1 replicate (seed and edit batch) in one order only"]


def test_orders_without_a_common_seed_and_edit_batch_are_not_compared() -> None:
    runs = [
        *curve("ft", "wanda", [0.25], [0.9], [0.8]),
        run("ft | wanda", level=0.5, edit_success=0.9, edit_batch=0),
        run("wanda | ft", level=0.5, edit_success=0.1, edit_batch=1),
    ]
    points = point(frame(runs))
    apart: Any = points.set_index("level").loc[0.5]
    assert (apart.forward, apart.backward, apart.replicates) == (0.9, 0.1, 0)
    assert math.isnan(apart.order_free_error) and math.isnan(apart.order_sensitivity)
    assert missing(points).what.tolist() == ["no seed and edit batch is common to both orders"]
    assert area(points).empty


def test_interventions_and_criteria_of_third_parties_are_known_from_their_runs() -> None:
    runs = [
        run("ft | shrink", **third_party(toxicity=0.2, **{"shrink.ratio": 0.5})),
        run("shrink | ft", **third_party(toxicity=0.1, **{"shrink.ratio": 0.5})),
    ]
    row = only(point(frame(runs)))
    assert (row.intervention, row.partner, row.strength, row.level) == (
        "ft",
        "shrink",
        "shrink.ratio",
        0.5,
    )
    assert (row.criterion, row.order_free_error, row.partner_group) == (
        "toxicity",
        0.1,
        "compression",
    )


RUNS = [*curve("ft", "wanda", [0.25], [0.9], [0.8]), run("ft | wanda", level=0.5, edit_success=0.7)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: point(frame(RUNS), ["edit_sucess"]),
            r"no criterion 'edit_sucess'. Did you mean 'edit_success'\? They",
        ),
        (
            lambda: point(frame(RUNS), error="median"),  # type: ignore[arg-type]
            "error must be one of 'best', 'worst', but got 'median'",
        ),
        (
            lambda: point(frame(RUNS), levels={"sparsity": 0.5}),
            "level sparsity=0.5: only ft → wanda has it; levels that both orders have: 0.25",
        ),
        (
            lambda: point(frame(RUNS), levels={"sparsity": 0.4}),
            "sparsity=0.4: no run has it; levels that both .* 0.25",
        ),
        (
            lambda: point(frame(RUNS), levels={"bits": 4}),
            "no pair has a strength named 'bits'; there are: sparsity",
        ),
        (
            lambda: point(frame(RUNS), bounds={"mmlu": 0.4}),
            "no criterion 'mmlu'. They have: edit_success",
        ),
        (
            lambda: point(frame(RUNS[:1])),
            "no pair was run in both orders .*; there are: ft → wanda",
        ),
        (
            lambda: point(frame([run("ft", edit_success=0.9)])),
            "no finished run is a pair .*; there are: ft",
        ),
        (
            lambda: point(pd.DataFrame()),
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


@settings(max_examples=25, deadline=None)
@given(
    strategies.lists(strategies.tuples(shares, shares), min_size=1, max_size=5),
    strategies.randoms(use_true_random=False),
)
def test_the_order_in_which_runs_were_logged_does_not_matter(
    values: list[tuple[float, float]], random: Any
) -> None:
    levels = [i / 10 for i in range(len(values))]
    forward, backward = zip(*values, strict=True)
    runs = curve("ft", "wanda", levels, forward, backward)
    shuffled = runs.copy()
    random.shuffle(shuffled)
    pd.testing.assert_frame_equal(point(pd.DataFrame(runs)), point(pd.DataFrame(shuffled)))


@settings(max_examples=25, deadline=None)
@given(strategies.lists(shares, min_size=1, max_size=6))
def test_identical_curves_have_no_order_sensitivity_and_errors_stay_in_bounds(
    values: list[float],
) -> None:
    points = point(
        frame(curve("ft", "wanda", [i / 10 for i in range(len(values))], values, values))
    )
    assert (points.order_sensitivity == 0).all()
    assert points.order_free_error.between(0, 1).all()


def test_the_mean_of_replicates_counts() -> None:
    runs = []
    for batch, value in enumerate([0.0, 0.1, 0.8]):
        runs += curve("ft", "wanda", [0.5], [value], [value], edit_batch=batch)
    assert only(point(frame(runs))).forward == pytest.approx(0.3)


def test_a_criterion_that_was_not_measured_in_a_replicate_is_not_unpaired() -> None:
    runs = curve("ft", "wanda", [0.5], [0.9], [0.8], edit_batch=0, mmlu=0.5)
    runs += curve("ft", "wanda", [0.5], [0.7], [0.6], edit_batch=1)
    points = point(frame(runs)).set_index("criterion")
    assert dict(points.replicates) == {"edit_success": 2, "mmlu": 1}
    assert dict(points.unpaired) == {"edit_success": 0, "mmlu": 0}
    # both replicates count for edit success, so both are among the runs
    assert points.forward_runs.map(len).tolist() == [2, 2]


def test_runs_that_do_not_count_are_not_named() -> None:
    paired = curve("ft", "wanda", [0.5], [0.9], [0.8])
    alone = run("ft | wanda", level=0.5, edit_batch=1, edit_success=0.1)
    row = only(point(frame([*paired, alone])))
    assert row.forward_runs == (paired[0]["run_id"],)
    assert row.backward_runs == (paired[1]["run_id"],)


def test_a_bound_leaves_levels_out_and_is_not_shown_itself() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.9, 0.7])
    for row, mmlu in zip(runs, [0.6, 0.6, 0.6, 0.3], strict=True):
        row["mmlu"] = mmlu
    points = point(frame(runs), ["edit_success"], bounds={"mmlu": 0.4})
    assert points[["criterion", "level"]].to_numpy().tolist() == [["edit_success", 0.25]]


def test_points_have_these_columns_and_count_from_zero() -> None:
    runs = curve("ft", "wanda", [0.5], [0.9], [0.8], mmlu=0.5, wmdp=0.25)
    points = point(frame([*runs, *curve("ft", "awq", [4], [0.9], [0.8])]), ["mmlu", "edit_success"])
    assert points.index.tolist() == [0, 1, 2]
    assert " ".join(map(str, points)) == (
        "point intervention partner criterion strength level settings context"
        " intervention_variant partner_variant forward_runs backward_runs forward backward"
        " replicates unpaired better unit intervention_group partner_group order_free_error"
        " order_sensitivity order_free_error_adjusted alone_intervention alone_partner"
    )
    assert sorted(zip(points.partner, points.criterion, points.forward, strict=True)) == [
        ("awq", "edit_success", 0.9),
        ("wanda", "edit_success", 0.9),
        ("wanda", "mmlu", 0.5),
    ]
