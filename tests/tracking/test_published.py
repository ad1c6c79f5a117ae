"""The paper's rows as runs."""

import json
import math
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from composability.command import main
from interventions.base import INTERVENTIONS, make
from interventions.composition import Composition
from interventions.hyperparameters import default_value, fields_of
from tracking import paper_rows, published, query, schema, store
from tracking.paper_rows import SETTINGS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def runs(published_uri: str, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The paper's rows as runs; their store is the current one."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", published_uri)
    return query.compositions(published.EXPERIMENT)


def exact(run: Any) -> Any:
    return json.loads(
        (Path(run.artifact_uri.removeprefix("file://")) / "criteria.json").read_text()
    )


def test_the_papers_311_rows_are_runs(runs: pd.DataFrame) -> None:
    """1 base, 28 alone, 282 pairs: paper, section 3."""
    steps = runs.composition.str.count(r"\|") + (runs.composition != "none")
    assert steps.value_counts().to_dict() == {2: 282, 1: 28, 0: 1}
    assert (runs.status == "FINISHED").all()
    assert runs.published.value_counts().to_dict() == {
        "Table 8": 29,
        **{f"Table {number}": 66 for number in (9, 10, 11, 12)},
        **{f"Table {number}": 9 for number in (13, 14)},
    }


def test_a_second_import_adds_nothing(runs: pd.DataFrame) -> None:
    assert published.publish() == 0
    assert len(query.compositions(published.EXPERIMENT)) == 311


def test_every_composition_reads_back_on_the_papers_profile(runs: pd.DataFrame) -> None:
    for spec, pair in zip(runs.composition, runs.pair, strict=True):
        composition = Composition.parse(spec, "paper")
        assert composition.spec("paper") == spec
        assert schema.pair_name(step.name for step in composition) == pair


def test_hyperparameters_that_are_logged_are_those_of_the_papers_profile(
    runs: pd.DataFrame,
) -> None:
    """One source would be better, but reading the profile imports torch."""
    for name, settings in paper_rows.SETTINGS.items():
        params = make(name, "paper").params()
        if name == "lora":
            # on the paper's Llama the word means these
            assert params["targets"] == ["query_value"]
            params["targets"] = ["q_proj", "v_proj"]
        assert {key: params[key] for key in settings} == dict(settings)
    row = runs.set_index("composition").loc["memit | gptq(bits=3)"]
    assert (row["gptq.bits"], row["gptq.group"], row["memit.covariance"], row["memit.layers"]) == (
        3,
        128,
        15000,
        [4, 5, 6, 7, 8],
    )


def test_values_are_the_printed_ones_at_every_step(runs: pd.DataFrame) -> None:
    """Base and first step: Table 8; the pair: Table 9."""
    run = runs.set_index("composition").loc["memit | wanda(sparsity=0.35)"]
    history = MlflowClient(store.uri()).get_metric_history(run.run_id, "edit_success")
    assert {metric.step: metric.value for metric in history} == {0: 0.02, 1: 0.89, 2: 0.85}
    assert (run.mmlu, run.wmdp, run.wikitext_ppl, run.average_bits) == (0.57, 0.53, 6.34, 10.75)
    steps = exact(run)["steps"]
    assert [(step["intervention"], step["paper_table"]) for step in steps] == [
        (None, 8), ("memit", 8), ("wanda(sparsity=0.35)", 9),
    ]  # fmt: skip


def test_an_infinite_perplexity_survives_store_query_and_file(runs: pd.DataFrame) -> None:
    run = runs.set_index("composition").loc["ga | awq(bits=3)"]
    assert run.wikitext_ppl == math.inf
    assert run.diverged == "wikitext_ppl"
    assert exact(run)["steps"][2]["criteria"]["wikitext_ppl"]["value"] == "inf"
    large = runs.set_index("composition").wikitext_ppl["gd | gptq(bits=4)"]
    assert large == 5.106230513313957e35


def test_the_runs_say_that_they_are_printed_and_not_computed(runs: pd.DataFrame) -> None:
    client = MlflowClient(store.uri())
    note = client.get_run(runs.run_id[0]).data.tags[schema.NOTE]
    assert note.startswith("Printed in Table ") and note.endswith("not computed here.")
    described = client.get_experiment_by_name(published.EXPERIMENT).tags[schema.NOTE]
    assert "not computed here" in described
    assert set(runs.data) == {"paper"} and set(runs.model) == {"meta-llama/Meta-Llama-3-8B"}
    assert not any(
        str(column).startswith("stderr/") or column in ("seed", "edit_batch") for column in runs
    )


@pytest.mark.parametrize("cut", ["before params", "before the end"])
def test_an_interrupted_import_is_completed(
    cut: str, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = published.rows()[:4]
    monkeypatch.setattr(published, "rows", lambda: few)
    method = {"before params": "log_batch", "before the end": "set_terminated"}[cut]
    original, calls = getattr(MlflowClient, method), []

    def interrupted(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            published.publish()
    assert published.publish() == 2
    runs = query.compositions(published.EXPERIMENT)
    assert sorted(runs.composition) == ["ft", "lora", "memit", "none"]
    client = MlflowClient(local_store)
    assert (runs.status == "FINISHED").all()
    assert len(client.search_runs([runs.experiment_id[0]])) == 4
    for run_id, spec in zip(runs.run_id, runs.composition, strict=True):
        assert len(client.get_metric_history(run_id, "mmlu")) == (1 if spec == "none" else 2)


def test_the_command_takes_no_parameters(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["published", "--experiment", "mine"]) == 2
    assert "No such option '--experiment'" in capsys.readouterr().err
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["published"]
    assert entry == {"command": "python -m composability published"}


def test_a_launched_import_names_and_ends_the_launchers_run(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "rows", lambda: [row for row in published_rows if not row.steps])
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment(store.REPORTS)).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["published"]) == 0
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("import of the paper's rows", "FINISHED")
    assert len(query.compositions(published.EXPERIMENT)) == 1


published_rows = published.rows()


def test_a_deleted_experiment_is_one_line(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment_id = store.ensure_experiment(published.EXPERIMENT)
    MlflowClient(local_store).delete_experiment(experiment_id)
    assert main(["published"]) == 2
    assert f"mlflow experiments restore -x {experiment_id}" in capsys.readouterr().err


def test_mlflow_has_one_criterion_column_for_own_and_published_runs() -> None:
    from interventions.criteria.base import CRITERIA

    assert set(published.PRINTED_CRITERIA) <= set(CRITERIA.all())
    assert mlflow.__version__


def test_what_the_paper_states_is_what_its_profile_has() -> None:
    stated = {
        (name, key): value
        for name, settings in SETTINGS.items()
        for key, value in settings.items()
        if (name, key) != ("lora", "targets")
    }
    profile = {
        (name, key): default_value(fields_of(INTERVENTIONS.get(name))[key], "paper")
        for name, key in stated
    }
    for place, value in profile.items():
        assert stated[place] == (list(value) if isinstance(value, tuple) else value)
    assert SETTINGS["lora"]["targets"] == ["q_proj", "v_proj"]  # PEFT's names of query and value
