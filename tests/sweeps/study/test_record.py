"""What a study writes into the store at its end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from sweeps.study.record import record_conclusion
from sweeps.study.runner import run_study
from tests.sweeps.study.small_study import (
    final_runs,
    parent_run,
    study_runs,
    study_spec,
    trial_runs,
)
from tracking import schema
from tracking.checkpoints.store import Checkpoints


@pytest.mark.usefixtures("four_rates")
def test_the_parent_has_a_table_and_pictures_that_open_offline(cache: Checkpoints) -> None:
    objectives = "edit_locality:max,edit_success:max"
    run_study(study_spec(objective=objectives, constraint="edit_locality>=0"), cache)
    folder = Path(download_artifacts(run_id=parent_run().info.run_id, artifact_path=""))
    table = pd.read_csv(folder / "trials.csv")
    assert len(table) == 4 and set(table.state) == {"complete"} and table.chosen.sum() == 1
    columns = {"ga.lr", "edit_locality", "edit_success", "violation of edit_locality>=0"}
    assert columns <= set(table)
    assert set(" ".join(table.runs).split()) == {run.info.run_id for run in trial_runs()}
    page = (folder / "study.html").read_text()
    for title in ("Pareto front", "Importance for edit_locality", "Slices of edit_success"):
        assert f"<h2>{title}</h2>" in page
    assert 'src="http' not in page and "Plotly.newPlot" in page
    parent = parent_run().data
    assert 'mlflow run . -P first="ga(lr=' in parent.tags[schema.NOTE]
    assert "| trial | ga.lr | edit_locality | edit_success |" in parent.tags[schema.NOTE]
    (chosen,) = table[table.chosen].to_dict("records")
    for name in ("edit_locality", "edit_success"):
        assert parent.metrics[f"validation/{name}"] == pytest.approx(chosen[name], rel=1e-9)
        assert f"test/{name}" in parent.metrics


def test_a_study_goes_on_with_more_trials_and_its_best_may_be_another(cache: Checkpoints) -> None:
    options = {"space": "default", "sampler": "tpe", "objective": "edit_success:max"}
    for count in (3, 8):
        outcome = run_study(study_spec("ft(steps=4)", trials=count, **options), cache)
        conclusion = outcome.conclusion
        assert len(trial_runs()) == count == len(conclusion.trials)
        best = {run.info.run_id for run in study_runs(f" and tags.`{schema.BEST}` = 'true'")}
        (best_trial,) = conclusion.best
        assert best == set(best_trial.user_attrs["runs"]["runs"])
        chosen = {run.info.run_id for run in study_runs(f" and tags.`{schema.CHOSEN}` = 'true'")}
        assert chosen == best | set(conclusion.test_runs)
        tested = {run.info.run_id: run.data.params["composition"] for run in final_runs()}
        assert [tested[run_id] for run_id in conclusion.test_runs] == [conclusion.spec]
        (trial_run,) = (run for run in trial_runs() if run.info.run_id in best)
        assert trial_run.data.params["composition"] == conclusion.spec


@pytest.mark.usefixtures("four_rates")
def test_a_conclusion_that_the_store_has_is_not_written_again(cache: Checkpoints) -> None:
    run_study(study_spec(), cache)
    client, parent_id = MlflowClient(), parent_run().info.run_id
    client.set_tag(parent_id, schema.NOTE, "a note of my own")
    run_study(study_spec(), cache)
    assert parent_run().data.tags[schema.NOTE] == "a note of my own"


def test_runs_that_others_have_superseded_go_even_where_all_is_recorded() -> None:
    settled: list[list[str]] = []
    client = SimpleNamespace(
        get_run=lambda run_id: SimpleNamespace(
            data=SimpleNamespace(metrics={"tune/trials": 2.0}, tags={})
        ),
        list_artifacts=lambda run_id: ["trials.csv"],
    )
    study: Any = SimpleNamespace(
        parent=SimpleNamespace(client=client, settle_runs=settled.append), parent_id="1f"
    )
    queue: Any = SimpleNamespace(run_ids=lambda: ["2a", "3b"])
    conclusion: Any = SimpleNamespace(trials=[1, 2])
    spec: Any = None
    record_conclusion(spec, study, queue, conclusion)
    assert settled == [["2a", "3b"]]
