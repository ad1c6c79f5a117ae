"""How long a grid will take, by runs whose times are known."""

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from sweeps.grid import estimate
from sweeps.grid.estimate import Estimate, estimate_time
from tests.sweeps.small_testbed import grid_jobs
from tracking import schema, store


def add_run(
    steps: tuple[str, ...],
    apply: float,
    measure: float,
    status: str = "FINISHED",
    model: str = "testbed@3",
    data: str = "testbed@3",
) -> None:
    """Log a run of a composition, its last step applied in ``apply`` seconds."""
    client = MlflowClient(store.uri())
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    params = {"composition": " | ".join(steps), "model": model, "data": data}
    for name, value in {**params, **schema.step_params(steps)}.items():
        client.log_param(run_id, name, value)
    if steps:
        client.log_metric(run_id, schema.SECONDS_APPLY, apply)
    client.log_metric(run_id, schema.SECONDS_MEASURE, measure)
    client.set_terminated(run_id, status)


@pytest.mark.usefixtures("local_store")
def test_every_application_and_measurement_counts_once_at_the_median() -> None:
    add_run((), 0, measure=1)
    for seconds in (10, 20, 60):
        add_run(("ga", "ft"), seconds, measure=1)
    add_run(("ft", "ga"), 100, measure=2)
    add_run(("ga",), 30, measure=1)
    jobs = grid_jobs("ft(steps=1); ga(samples=4)")
    estimate = estimate_time(jobs, store.ensure_experiment())
    # ft and ga are each applied to the base model and after the other; 5 checkpoints are measured
    assert estimate == Estimate(2 * 20 + 2 * 65 + 5 * 1, 6, ())


@pytest.mark.usefixtures("local_store")
def test_runs_that_are_not_comparable_do_not_count() -> None:
    add_run(("ft",), 10, measure=1)
    add_run(("ft",), 1000, measure=1000, status="FAILED")
    add_run(("ft",), 1000, measure=1000, model="another")
    add_run(("ft",), 1000, measure=1000, data="paper")
    add_run(("ft",), 1000, measure=1000, model="testbed", data="testbed")  # of version 1
    client = MlflowClient(store.uri())
    parent_id = client.create_run(store.ensure_experiment()).info.run_id
    client.log_param(parent_id, "model", "testbed@3")
    client.log_param(parent_id, "data", "testbed@3")
    client.set_terminated(parent_id)
    estimate = estimate_time(grid_jobs("ft(steps=1); ga(samples=4)"), store.ensure_experiment())
    assert estimate == Estimate(2 * 10 + 5 * 1, 1, ("ga",))


@pytest.mark.usefixtures("local_store")
def test_without_runs_or_jobs_nothing_is_estimated() -> None:
    jobs = grid_jobs("ft(steps=1)", (1,))
    assert estimate_time(jobs, store.ensure_experiment()) == Estimate(0.0, 0, ("ft",))
    assert estimate_time([], store.ensure_experiment()) == Estimate(0.0, 0, ())


def test_an_estimate_is_said_in_hours_and_minutes() -> None:
    assert str(Estimate(61, 3, ())) == "about 0 h 2 min by 3 earlier runs"
    assert str(Estimate(2 * 3600 + 60, 3, ("ft", "ga"))) == (
        "about 2 h 1 min by 3 earlier runs, but for ft, ga"
    )
    assert str(Estimate(0, 0, ())).startswith("not known: there are no finished runs")


def test_interventions_whose_time_is_not_known_are_named_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["ga", "awq", "rtn", "ft", "lora", "wanda", "memit"]
    applications = [(f"key of {name}", SimpleNamespace(name=name)) for name in names]
    composition = SimpleNamespace(applications=lambda keys, data: applications)
    plan = SimpleNamespace(composition=composition, keys=["k"], data=None, settings=None)
    monkeypatch.setattr(estimate, "_finished_runs", lambda experiment_id, settings: [])
    job: Any = SimpleNamespace(plan=plan)
    assert estimate_time([job], "7") == Estimate(0.0, 0, tuple(sorted(names)))


def recorded(steps: tuple[str, ...], **seconds: float) -> Any:
    """Return a run, as the store gives it, with seconds by the part that took them."""
    params = {**schema.step_params(steps), schema.COMPOSITION: " | ".join(steps)}
    names = {"apply": schema.SECONDS_APPLY, "measure": schema.SECONDS_MEASURE}
    metrics = {names[part]: value for part, value in seconds.items()}
    return SimpleNamespace(data=SimpleNamespace(params=params, metrics=metrics))


def test_a_runs_seconds_of_applying_are_those_of_its_last_step() -> None:
    durations = estimate._read_durations(
        [
            recorded((), measure=1.0),
            recorded(("ft", "ga"), apply=2.0, measure=3.0),
            recorded(("ga",), apply=4.0),
            recorded(("ga", "ft")),
            recorded((), apply=9.0),
        ]
    )
    assert (durations.apply, durations.measure) == ({"ga": [2.0, 4.0]}, [1.0, 3.0])


def test_a_sweeps_parent_run_says_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = SimpleNamespace(data=SimpleNamespace(params={"model": "testbed"}, metrics={}))
    run, queries = recorded(("ft",), apply=1.0), list[str]()

    def search_runs(experiment_ids: list[str], query: str, max_results: int) -> list[Any]:
        queries.append(query)
        return [parent, run]

    client = SimpleNamespace(search_runs=search_runs)
    monkeypatch.setattr(estimate, "store", SimpleNamespace(client=lambda: client))
    settings: Any = SimpleNamespace(model="m", data="d")
    assert estimate._finished_runs("4", settings) == [run, run]
    assert queries == [
        "params.`model` = 'm' and params.`data` = 'd' and attributes.status = 'FINISHED'",
        f"params.`{schema.USED}model` = 'm' and params.`{schema.USED}data` = 'd'"
        " and attributes.status = 'FINISHED'",
    ]


def test_the_time_is_that_of_applying_and_of_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [recorded((), measure=2.0), recorded(("ft",), apply=8.0, measure=4.0)]
    monkeypatch.setattr(estimate, "_finished_runs", lambda experiment_id, settings: runs)
    jobs = grid_jobs("ft(steps=1)", (0, 1))
    # one application, and two checkpoints at the median of 2 and 4 seconds
    assert estimate_time(jobs, "4") == Estimate(8.0 + 2 * 3.0, 2, ())
