import pandas as pd
import pytest

from analysis.metrics.composability import point
from analysis.metrics.levels import at_levels, chosen_levels
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, run, third_party
from tracking.catalogue import Catalogue, InterventionFacts, as_tag


def test_levels_are_the_papers_or_the_nearest_that_both_orders_have() -> None:
    runs = [
        *curve("ft", "wanda", [0.3, 0.6], [0.9] * 2, [0.8] * 2),
        *curve("ft", "awq", [2, 4], [0.9] * 2, [0.8] * 2),
        run("ft | wanda", level=0.25, edit_success=0.9),
    ]
    assert chosen_levels(point(frame(runs)), Catalogue()) == {"sparsity": 0.3, "bits": 4.0}


def test_a_level_that_is_requested_goes_before_the_papers() -> None:
    points = point(frame(curve("ft", "awq", [2, 3, 4], [0.9] * 3, [0.8] * 3)))
    assert chosen_levels(points, Catalogue(), {"bits": 3, "sparsity": 0.5}) == {"bits": 3.0}


def test_of_two_levels_equally_near_the_lower_one_is_chosen() -> None:
    points = point(frame(curve("ft", "awq", [5, 3], [0.9] * 2, [0.8] * 2)))
    assert chosen_levels(points, Catalogue()) == {"bits": 3.0}


def shrink_runs(facts: InterventionFacts) -> list[dict[str, object]]:
    columns = third_party(toxicity=0.2, about_interventions=as_tag({"shrink": facts}))
    return [
        run(steps, **columns, **{"shrink.ratio": ratio})
        for ratio in (0.9, 0.5, 0.7)
        for steps in ("ft | shrink", "shrink | ft")
    ]


@pytest.mark.parametrize(("paper_level", "expected"), [(None, 0.5), (0.72, 0.7)])
def test_a_third_partys_own_level_is_chosen_or_else_the_lowest(
    paper_level: float | None, expected: float
) -> None:
    runs = frame(
        shrink_runs(InterventionFacts("Shrink", "compression", "ratio", level=paper_level))
    )
    assert chosen_levels(point(runs), Catalogue.from_runs(runs)) == {"ratio": expected}


def test_strengths_that_are_not_named_keep_all_of_their_levels() -> None:
    runs = [
        *curve("ft", "wanda", [0.25, 0.5], [0.9] * 2, [0.8] * 2),
        *curve("ft", "awq", [2, 4], [0.9] * 2, [0.8] * 2),
        *(run(steps, edit_success=0.9) for steps in ("ft | ga", "ga | ft")),
    ]
    shown = at_levels(point(frame(runs)), {"sparsity": 0.5})
    assert sorted(shown.level.dropna()) == [0.5, 2, 4]
    assert len(shown) == 4
    assert list(shown.index) == [0, 1, 2, 3]


def test_a_level_is_found_in_spite_of_rounding() -> None:
    points = point(frame(curve("ft", "wanda", [0.1 + 0.2], [0.9], [0.8])))
    assert len(at_levels(points, {"sparsity": 0.3})) == 1


def test_many_orders_that_have_a_level_alone_are_not_all_named() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.8])
    for edit in ("ft", "memit", "lora"):
        runs.append(run(f"wanda | {edit}", level=0.5, edit_success=0.7))
    runs.append(run("ga | wanda", level=0.5, edit_success=0.7))
    named = "wanda → ft and ga → wanda and wanda → lora and others"
    with pytest.raises(InvalidInput, match=f"level sparsity=0.5: only {named} has it"):
        point(frame(runs), levels={"sparsity": 0.5})


def unsorted_points() -> pd.DataFrame:
    """Levels and strengths whose order is not that of their numbers or names."""
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8]),
        *curve("lora", "awq", [8, 3], [0.9] * 2, [0.8] * 2),
        *curve("memit", "wanda", [0.25], [0.9], [0.8]),
    ]
    return point(frame(runs))


def test_the_strengths_come_in_the_order_of_the_points() -> None:
    """3 and 8 bits are equally near to 5.5."""
    chosen = chosen_levels(unsorted_points(), Catalogue(), {"bits": 5.5, "sparsity": 0.5})
    assert list(chosen.items()) == [("sparsity", 0.5), ("bits", 3.0)]


def test_what_could_have_been_meant_is_listed_in_order() -> None:
    points = unsorted_points()
    with pytest.raises(InvalidInput, match=r"'ratio'; there are: bits, sparsity$"):
        at_levels(points, {"ratio": 0.5})
    with pytest.raises(InvalidInput, match=r"levels that both orders have: 0\.25, 0\.5$"):
        at_levels(points, {"sparsity": 0.75})
    assert at_levels(points, {"sparsity": 0.25}).columns.tolist() == points.columns.tolist()


def test_strengths_are_listed_by_name() -> None:
    names = ["f", "b", "e", "a", "d", "c"]
    points = pd.DataFrame({"strength": ["", *(f"wanda.{name}" for name in names)]})
    with pytest.raises(InvalidInput, match=r"there are: a, b, c, d, e, f$"):
        at_levels(points, {"ratio": 0.5})
