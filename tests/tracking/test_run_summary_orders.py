"""Which runs a summary takes for other orders of the same steps, and what it says of a run."""

from types import SimpleNamespace
from typing import Any

import mlflow
import pytest

from tests.tracking.logged_runs import logged
from tracking import query, schema, store
from tracking.run_summary import OtherOrder, RunSummary, StepScores, run_summary

FACTS = '{"mmlu": {"better": "higher", "unit": "share"}, "wmdp": {"better": "lower", "unit": "x"}}'
STEPS = [
    {"intervention": None, "criteria": {"mmlu": {"value": 0.5}, "foreign": {"value": 1.0}}},
    {
        "intervention": "rtn(bits=4)",
        "criteria": {"mmlu": {"value": "inf"}, "wmdp": {"value": 0.25}},
    },
]


def order_of(number: int, composition: str, seed: str = "0", **metrics: float) -> Any:
    params = {schema.COMPOSITION: composition, schema.PAIR: "ft + rtn", "seed": seed}
    return logged(number, params, metrics)


def summary_of(
    monkeypatch: pytest.MonkeyPatch,
    *others: Any,
    composition: str = "ft | rtn",
    **tags: str,
) -> RunSummary:
    """Return the summary of a run in a store that has other runs, too."""
    params = {schema.COMPOSITION: composition, schema.PAIR: "ft + rtn", "seed": "0"}
    names = {"all_cached": schema.ALL_CACHED, "reused": schema.REUSED_PREFIX}
    tags = {names[name]: text for name, text in tags.items()}
    run = logged(1, params, {}, {schema.ABOUT_CRITERIA: FACTS, **tags})
    run.info.artifact_uri = "there"
    monkeypatch.setattr(store, "client", lambda: SimpleNamespace(get_run=lambda run_id: run))
    monkeypatch.setattr(mlflow.artifacts, "load_dict", lambda uri: {"steps": STEPS})
    monkeypatch.setattr(query, "all_runs", lambda client, experiments, filter: iter([run, *others]))
    return run_summary("run 1")


def test_the_newest_run_of_each_other_order_under_the_same_settings_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = summary_of(
        monkeypatch,
        order_of(9, "rtn | ft", seed="1", mmlu=0.1),  # another seed
        order_of(8, "rtn | ft", mmlu=0.75, foreign=2.0),
        order_of(7, "rtn | ft", mmlu=0.2),  # older
        order_of(6, "ft | rtn", mmlu=0.3),  # the same order
        order_of(5, "ft | rtn | ft", mmlu=0.4),  # other steps
    )
    assert summary.others == (OtherOrder("rtn | ft", "run 8", {"mmlu": 0.75}),)


def test_a_summary_has_the_scores_of_the_criteria_that_the_run_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = summary_of(monkeypatch)
    assert summary.steps == (
        StepScores("base model", {"mmlu": 0.5}),
        StepScores("rtn(bits=4)", {"mmlu": float("inf"), "wmdp": 0.25}),
    )
    assert summary.others == ()


@pytest.mark.parametrize(("reused", "count"), [("12", 12), ("0", 0), ("two", 0), ("-1", 0)])
def test_how_many_steps_came_from_the_cache_is_a_number_whatever_somebody_has_written(
    monkeypatch: pytest.MonkeyPatch, reused: str, count: int
) -> None:
    assert summary_of(monkeypatch, reused=reused).reused == count


def test_only_a_tag_that_says_true_says_that_all_came_from_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert summary_of(monkeypatch, all_cached="true").is_all_cached
    assert not summary_of(monkeypatch, all_cached="false").is_all_cached
    assert not summary_of(monkeypatch).is_all_cached
