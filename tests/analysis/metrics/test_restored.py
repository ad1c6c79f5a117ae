"""What comes back of what was unlearned, against numbers by hand and the paper's rows."""

import math
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from analysis.metrics.restored import restored
from interventions.errors import InvalidInput
from tests.analysis.synthetic import frame, run
from tracking.catalogue import CriterionFacts, InterventionFacts, as_tag

BASE = run("none", wmdp=0.9)


def told(*runs: dict[str, Any], criterion: str = "wmdp") -> pd.DataFrame:
    table = restored(frame([BASE, *runs]))
    return table[table.criterion == criterion].reset_index(drop=True)


def test_the_share_is_of_what_unlearning_took_away() -> None:
    (row,) = told(
        run("rmu", wmdp=0.3), run("rmu | gptq", level=4, wmdp=0.45), run("gptq", level=4, wmdp=0.9)
    ).to_dict("records")
    assert row["restored"] == pytest.approx(0.25)
    assert (row["unlearning"], row["then"], row["level"]) == ("rmu", "gptq", 4)
    assert (row["base"], row["unlearned"], row["after"]) == (0.9, 0.3, 0.45)
    assert row["replicates"] == 1 and math.isnan(row["low"]) and math.isnan(row["high"])


def test_more_taken_away_is_below_0_and_all_back_is_1() -> None:
    rows = told(
        run("rmu", wmdp=0.5),
        run("rmu | gptq", level=2, wmdp=0.3),
        run("rmu | gptq", level=8, wmdp=0.9),
    ).set_index("level")
    assert rows.restored[2] == pytest.approx(-0.5) and rows.restored[8] == pytest.approx(1)


def test_only_runs_that_begin_with_unlearning_count() -> None:
    runs = [run("rmu", wmdp=0.3), run("ga", wmdp=0.5)]
    runs += [run("gptq | rmu", level=4, wmdp=0.4), run("rmu | ft | gptq", level=4, wmdp=0.4)]
    with pytest.raises(InvalidInput, match="no finished run begins with unlearning"):
        told(*runs)
    assert len(told(*runs, run("rmu | ft", wmdp=0.4))) == 1
    # of two unlearning methods the first is what comes back
    (row,) = told(*runs, run("ga | rmu", wmdp=0.4)).to_dict("records")
    assert (row["unlearning"], row["then"]) == ("ga", "rmu")
    assert row["restored"] == pytest.approx(-0.25)


def test_the_first_step_alone_has_its_hyperparameters_seed_and_batch() -> None:
    pair = run("rmu | ft", wmdp=0.6, **{"rmu.alpha": 1.0})
    good = run("rmu", wmdp=0.3, **{"rmu.alpha": 1.0})
    assert told(pair, good).restored[0] == pytest.approx(0.5)
    for other in (
        run("rmu", wmdp=0.3, **{"rmu.alpha": 2.0}),
        run("rmu", wmdp=0.3, seed=1, **{"rmu.alpha": 1.0}),
        run("rmu", wmdp=0.3, edit_batch=1, **{"rmu.alpha": 1.0}),
        run("rmu", wmdp=0.3, model="another", **{"rmu.alpha": 1.0}),
    ):
        with pytest.raises(InvalidInput, match="has the hyperparameters, seed, edit batch"):
            told(pair, other)


def test_unlearning_that_is_swept_is_compared_with_its_own_level_alone() -> None:
    """The level of a pair is that of its first step here; wmdp falls to 0.5 and to 0.3."""
    forget = as_tag({"forget": InterventionFacts("Forget", "unlearning", "rate")})
    runs = [
        run(steps, wmdp=wmdp, about_interventions=forget, **{"forget.rate": rate})
        for rate, alone, both in ((1.0, 0.5, 0.6), (2.0, 0.3, 0.6))
        for steps, wmdp in (("forget", alone), ("forget | lora", both))
    ]
    rows = told(*runs).set_index("level")
    assert rows.restored.to_dict() == pytest.approx({1.0: 0.25, 2.0: 0.5})


def test_replicates_with_equal_values_are_one_and_three_have_an_interval() -> None:
    runs = []
    for seed, after in enumerate((0.45, 0.6, 0.48)):
        for batch in (0, 1):
            runs += [run("rmu", wmdp=0.3, seed=seed, edit_batch=batch)]
            runs += [run("rmu | ft", wmdp=after, seed=seed, edit_batch=batch)]
    (row,) = told(*runs).to_dict("records")
    shares = [0.25, 0.5, 0.3]
    assert row["replicates"] == 3 and row["restored"] == pytest.approx(sum(shares) / 3)
    interval = stats.t.interval(0.95, 2, sum(shares) / 3, stats.sem(shares))
    assert (row["low"], row["high"]) == pytest.approx(interval)
    (two,) = told(*(each for each in runs if each["seed"] < 2)).to_dict("records")
    assert two["replicates"] == 2 and math.isnan(two["low"])


def test_distinct_weights_with_equal_values_are_two_replicates_and_equal_ones_are_one() -> None:
    runs = []
    for seed, weights in enumerate("aab"):
        runs += [run("rmu", wmdp=0.3, seed=seed, weights="u")]
        runs += [run("rmu | ft", wmdp=0.6, seed=seed, weights=weights)]
    assert list(told(*runs).replicates) == [2]
    # where no hash was recorded, values tell
    unsaid = [{**each, "weights": ""} for each in runs]
    for each, value in zip(unsaid[1::2], (0.6, 0.65, 0.7), strict=True):
        each["wmdp"] = value
    assert list(told(*unsaid).replicates) == [3]


def test_where_unlearning_took_little_there_is_no_share() -> None:
    pairs = [run("rmu | ft", wmdp=0.9), run("rmu | ft", wmdp=0.6, seed=1)]
    (row,) = told(*pairs, run("rmu", wmdp=0.86), run("rmu", wmdp=0.3, seed=1)).to_dict("records")
    assert math.isnan(row["restored"]) and math.isnan(row["low"]) and row["replicates"] == 2
    assert told(run("rmu | ft", wmdp=0.9), run("rmu", wmdp=0.85)).restored[0] == pytest.approx(1)
    for unlearned in (0.9, 0.95):  # nothing was taken, or something was added
        assert math.isnan(told(run("rmu | ft", wmdp=0.8), run("rmu", wmdp=unlearned)).restored[0])


def test_what_is_taken_exactly_as_much_as_a_share_needs_has_one() -> None:
    runs = [run("none", wmdp=0.05), run("rmu", wmdp=0.0), run("rmu | ft", wmdp=0.05)]
    table = restored(frame(runs))
    assert table.restored[table.criterion == "wmdp"].tolist() == [1.0]


def test_of_equal_runs_the_newest_counts() -> None:
    runs = [run("rmu", wmdp=0.3, minutes=9), run("rmu", wmdp=0.6, minutes=1)]
    runs += [run("rmu | ft", wmdp=0.6, minutes=8), run("rmu | ft", wmdp=0.8, minutes=2)]
    (row,) = told(*runs).to_dict("records")
    assert row["restored"] == pytest.approx(0.5) and row["replicates"] == 1


def test_the_criteria_are_those_of_unlearning_unless_others_are_named() -> None:
    runs = [run("rmu", wmdp=0.3, mmlu=0.8), run("rmu | ft", wmdp=0.6, mmlu=0.85)]
    base = run("none", wmdp=0.9, mmlu=0.9)
    assert list(restored(frame([base, *runs])).criterion) == ["wmdp"]
    named = restored(frame([base, *runs]), ["mmlu"])
    assert list(named.criterion) == ["mmlu"] and named.restored[0] == pytest.approx(0.5)
    with pytest.raises(InvalidInput, match="mmul"):
        restored(frame([base, *runs]), ["mmul"])


def test_what_grows_with_unlearning_was_not_taken_away() -> None:
    quality = CriterionFacts("higher", "share", category="unlearning")
    tag = {"about_criteria": as_tag({"forget_quality": quality})}
    runs = [run("rmu", wmdp=0.3, forget_quality=0.9, **tag)]
    runs += [run("rmu | ft", wmdp=0.6, forget_quality=0.5, **tag)]
    runs += [run("none", wmdp=0.9, forget_quality=0.0, **tag)]
    assert list(restored(frame(runs)).criterion) == ["wmdp"]


def test_what_is_missing_is_said() -> None:
    pair, alone = run("rmu | ft", wmdp=0.6), run("rmu", wmdp=0.3)
    with pytest.raises(InvalidInput, match=r"the base model \(composability run none\)"):
        restored(frame([pair, alone]))
    with pytest.raises(InvalidInput, match="unlearning alone, and there is none"):
        restored(frame([pair, BASE]))
    failed = {**alone, "status": "FAILED"}
    with pytest.raises(InvalidInput, match="unlearning alone, and there is none"):
        restored(frame([pair, BASE, failed]))


def test_of_the_papers_rows_lora_brings_back_what_gd_took(published: pd.DataFrame) -> None:
    """Tables 8 and 14: WMDP .58, after GD .26, after GD and LoRA .54, after GD and GPTQ .24."""
    table = restored(published).set_index(["unlearning", "then"]).sort_index()
    assert table.restored["gd", "lora"].item() == pytest.approx(28 / 32, abs=0.01)
    assert (table.restored["gd", "gptq"] < 0).all()


def test_rows_come_by_criterion_and_as_the_runs_do() -> None:
    values = {"wmdp": 0.3, "mmlu": 0.8}
    runs = [
        run("none", wmdp=0.9, mmlu=0.9),
        run("rmu", **values),
        run("rmu | gptq", level=4, minutes=1, **values),
        run("rmu | ft", minutes=2, **values),
        run("rmu | awq", level=3, **values),
    ]
    table = restored(frame(runs), ["wmdp", "mmlu"])
    assert table.index.tolist() == list(range(6))
    assert table.criterion.tolist() == ["wmdp"] * 3 + ["mmlu"] * 3
    assert table.then.tolist() == ["ft", "gptq", "awq"] * 2
