"""A stranger's own code around a model, logged as a composition: ``track``."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM, PreTrainedModel

from analysis.comparison import compare_runs
from interventions.base import INTERVENTIONS
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.tracking.recorded import artifacts, history
from tracking import query, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.composing import TrackedComposition
from tracking.own_code import track
from tracking.registration import register
from tracking.run import run

LONG = {f"part{number}": "x" * 198 for number in range(30)}
LONG_SPEC = " | ".join(["magnitude", *[f"lora(targets={('down_proj',) * 30})"] * 20])
SMALL: dict[str, Any] = {"criteria": "mmlu,sparsity,average_bits", "limit": 20}


def halve(model: PreTrainedModel) -> None:
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(0.5)


def runs() -> list[mlflow.entities.Run]:
    return list(MlflowClient().search_runs([store.ensure_experiment()]))


def test_the_run_has_what_a_run_of_ours_has(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    with track(lm.model, lm.tokenizer, cache=checkpoints, **SMALL) as composition:
        composition.apply("magnitude(sparsity=0.5)")
        composition.apply(halve, category="training", params={"by": 0.5})
    logged = MlflowClient().get_run(composition.run_id)
    data = logged.data
    assert (logged.info.status, logged.info.run_name) == (
        "FINISHED",
        "magnitude(sparsity=0.5) → halve(by=0.5)",
    )
    assert data.params["composition"] == "magnitude(sparsity=0.5) | halve(by=0.5)"
    assert (data.params["pair"], data.params["step2"]) == ("halve + magnitude", "halve")
    assert (data.params["halve.by"], data.params["magnitude.sparsity"]) == ("0.5", "0.5")
    assert data.params["model"].startswith("in memory: llama@")
    client = MlflowClient()
    assert set(history(client, composition.run_id, "mmlu")) == {0, 1, 2}
    assert set(history(client, composition.run_id, "cost/seconds_apply")) == {1, 2}
    folder = artifacts(composition.run_id)
    exact = json.loads((folder / "criteria.json").read_text())
    assert [step["intervention"] for step in exact["steps"]] == [
        None,
        "magnitude(sparsity=0.5)",
        "halve(by=0.5)",
    ]
    assert (folder / "items.parquet").exists()
    assert {entry.dataset.name for entry in logged.inputs.dataset_inputs} == {
        "testbed/questions.mmlu"
    }
    facts = json.loads(data.tags[schema.ABOUT_INTERVENTIONS])
    assert facts["halve"]["category"] == "training"
    assert data.tags[schema.WEIGHTS] == lm.fingerprint()
    models = client.search_logged_models([logged.info.experiment_id])
    assert {model.name for model in models} == {"1-magnitude", "2-halve"}
    loaded = AutoModelForCausalLM.from_pretrained(folder / "checkpoints" / "2-halve")
    assert LM(loaded, lm.tokenizer).fingerprint() == lm.fingerprint()
    (row,) = query.compositions().to_dict("records")
    assert (row["composition"], row["halve.by"]) == (data.params["composition"], 0.5)


def test_a_registered_step_does_what_it_does_in_a_run(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    """Magnitude pruning draws nothing, so that its seed makes no difference."""
    run_id = run("magnitude(sparsity=0.5)", cache=checkpoints, checkpoints="none", **SMALL)
    with track(lm.model, lm.tokenizer, cache=checkpoints, **SMALL) as composition:
        composition.apply("magnitude(sparsity=0.5)")
    metrics = [
        MlflowClient().get_run(logged).data.metrics for logged in (run_id, composition.run_id)
    ]
    for name in ("mmlu", "sparsity", "average_bits"):
        assert metrics[0][name] == metrics[1][name]


def test_both_orders_of_a_function_and_a_step_are_compared(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_ids = []
    for steps in (("magnitude", halve), (halve, "magnitude")):
        lm = LM.load(MODEL)
        with track(
            lm.model, lm.tokenizer, checkpoints="none", cache=checkpoints, **SMALL
        ) as tracked:
            for step in steps:
                tracked.apply(step)
        run_ids.append(tracked.run_id)
    first, second = run_ids
    (level,) = compare_runs(first, second, "http://host:1").levels
    assert {level.forward, level.backward} == {"halve → magnitude", "magnitude → halve"}
    assert {row.name for row in level.criteria} == {"mmlu", "sparsity", "average_bits"}


def test_the_model_trains_in_a_function_and_is_given_back_as_it_was(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    frozen = next(iter(lm.model.parameters()))
    lm.model.requires_grad_(True)
    lm.model.train()
    frozen.requires_grad_(False)
    flags = []

    def look(model: PreTrainedModel) -> None:
        flags.append(all(parameter.requires_grad for parameter in model.parameters()))
        halve(model)

    with track(lm.model, lm.tokenizer, checkpoints="none", cache=checkpoints, **SMALL) as tracked:
        assert not lm.model.training
        tracked.apply(look)
        assert not any(parameter.requires_grad for parameter in lm.model.parameters())
    assert flags == [True]
    assert lm.model.training and not frozen.requires_grad
    assert all(parameter.requires_grad for parameter in list(lm.model.parameters())[1:])


def test_a_function_may_return_another_model_and_nothing_else(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    replaced = LM.load(MODEL).model
    halve(replaced)
    with track(lm.model, lm.tokenizer, checkpoints="none", cache=checkpoints, **SMALL) as tracked:
        assert tracked.apply(lambda model: replaced, name="replaced") is replaced is tracked.model
        with pytest.raises(InvalidInput, match="broken must return a transformers model, or None"):
            tracked.apply(lambda model: "text", name="broken")
    (logged,) = runs()
    assert logged.data.params["composition"] == "replaced"


def test_weights_that_are_changed_outside_of_a_step_are_refused_or_declared(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    with track(lm.model, lm.tokenizer, checkpoints="none", cache=checkpoints, **SMALL) as tracked:
        halve(lm.model)
        with pytest.raises(InvalidInput, match="the weights were changed outside of a step"):
            tracked.apply("magnitude")
        tracked.changed("trained", category="editing", params={"epochs": 3})
        tracked.apply("magnitude")
    assert runs()[0].info.run_name == "trained(epochs=3) → magnitude(sparsity=0.5)"
    with (
        pytest.raises(InvalidInput, match="the weights were changed outside of a step"),
        track(lm.model, lm.tokenizer, checkpoints="none", cache=checkpoints, **SMALL),
    ):
        halve(lm.model)
    assert runs()[0].info.status == "FAILED"


def test_a_step_that_changes_nothing_is_said(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    with (
        track(lm.model, lm.tokenizer, checkpoints="none", cache=checkpoints, **SMALL) as tracked,
        pytest.warns(UserWarning, match=r"step 1, idle, changed no weight"),
    ):
        tracked.apply(lambda model: None, name="idle")
    assert runs()[0].data.tags[schema.WITHOUT_EFFECT] == "1"


def test_an_error_of_the_callers_own_ends_the_run_failed_with_its_steps(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        track(lm.model, lm.tokenizer, checkpoints="none", cache=checkpoints, **SMALL) as tracked,
    ):
        tracked.apply("magnitude")
        _ = 1 / 0
    (failed,) = runs()
    assert failed.info.status == "FAILED"
    assert failed.data.params["composition"] == "magnitude(sparsity=0.5)"
    assert failed.data.metrics["sparsity"] > 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": "wnda"}, "Did you mean 'wanda'"),
        ({"step": halve, "name": "lora"}, "name 'lora' is that of a registered intervention"),
        ({"step": halve, "name": "a b"}, "name must be letters, digits and _"),
        ({"step": lambda model: None}, "name must be letters, digits and _"),
        ({"step": halve, "category": "pruning"}, "category must be"),
        ({"step": halve, "params": {"a": object()}}, "halve.a must be a finite number"),
        ({"step": halve, "params": {"a": "x | y"}}, "halve.a must be"),
        ({"step": halve, "params": {"a": float("nan")}}, "halve.a must be"),
        ({"step": halve, "params": {"a.b": 1}}, "params of halve must have names"),
        ({"step": "rtn", "name": "mine"}, "name, category and params are those of a function's"),
        ({"step": "rtn", "params": {"a": 1}}, "name, category and params are those of a function"),
        ({"step": "rtn", "category": "editing"}, "name, category and params are those of a functi"),
        ({"step": 5}, "every step of a composition must be an intervention"),
        ({"step": "magnitude | ft(layers=17)"}, "ft.layers names layer 17, but the model has"),
        ({"step": "magnitude | wanda(samples=9999)"}, "wanda.samples is 9999, but there are"),
        (
            {"step": LONG_SPEC},
            "a composition may have 6000 characters",
        ),
        ({"step": halve, "params": LONG}, "a composition may have 6000 characters"),
    ],
)
def test_a_step_that_cannot_be_is_refused_before_it_runs(
    arguments: dict[str, Any], message: str, lm: LM, tracked: TrackedComposition
) -> None:
    before = lm.fingerprint()
    with pytest.raises(InvalidInput, match=message):
        tracked.apply(**arguments)
    assert lm.fingerprint() == before


@pytest.fixture
def tracked(local_store: str, lm: LM, checkpoints: Checkpoints) -> Any:
    options: dict[str, Any] = {"criteria": "sparsity", "checkpoints": "none"}
    with track(lm.model, lm.tokenizer, cache=checkpoints, **options) as composition:
        yield composition


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"checkpoints": "changed"}, "checkpoints must be all or last or none"),
        ({"data": "papr"}, "data must be"),
        ({"criteria": "mmlo"}, "Did you mean 'mmlu'"),
        ({"edit_batch": 99}, "edit_batch must be 0 to 19"),
        ({"experiment": "http://ada:secret@host"}, "experiment has a password"),
        ({"experiment": "a\nb"}, "experiment must be one line of 1 to 200"),
        ({"split": "tset"}, "split must be"),
    ],
)
def test_bad_input_makes_no_run(
    arguments: dict[str, Any], message: str, local_store: str, lm: LM
) -> None:
    with pytest.raises(InvalidInput, match=message):
        track(lm.model, lm.tokenizer, **arguments)
    assert runs() == []


def test_a_function_step_is_no_intervention_that_others_could_name() -> None:
    assert "functionstep" not in INTERVENTIONS.all()


def test_the_last_model_alone_is_logged_and_registered(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    with track(lm.model, lm.tokenizer, checkpoints="last", cache=checkpoints, **SMALL) as tracked:
        tracked.apply("magnitude")
        tracked.apply(halve)
    registered = register(tracked.run_id, "mine", alias="champion")
    folder = Path(mlflow.artifacts.download_artifacts(registered.address))
    loaded = LM(AutoModelForCausalLM.from_pretrained(folder), lm.tokenizer)
    assert loaded.fingerprint() == lm.fingerprint()


def test_a_run_inside_a_users_own_run_is_nested_under_it(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    mlflow.set_experiment("theirs")
    with mlflow.start_run() as theirs:
        inside = run("none", criteria="sparsity", cache=checkpoints)
        with track(lm.model, lm.tokenizer, criteria="sparsity", cache=checkpoints) as tracked:
            pass
        elsewhere = run("none", criteria="sparsity", experiment="named", cache=checkpoints)
    outside = run("none", criteria="sparsity", cache=checkpoints)
    client = MlflowClient()
    for run_id in (inside, tracked.run_id):
        nested = client.get_run(run_id)
        assert nested.data.tags["mlflow.parentRunId"] == theirs.info.run_id
        assert nested.info.experiment_id == theirs.info.experiment_id
        assert nested.info.status == "FINISHED"
    for run_id in (elsewhere, outside):
        assert "mlflow.parentRunId" not in client.get_run(run_id).data.tags
    assert client.get_run(theirs.info.run_id).info.status == "FINISHED"
