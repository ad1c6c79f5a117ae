"""A model on its way through steps: what each may do to it, what is logged, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from transformers import PreTrainedModel

from interventions.base_model import load_base_model
from interventions.compression.magnitude import Magnitude
from interventions.data.base import Data
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from interventions.lm import LM
from tracking import plan_checks, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.own_code import track

SPARSITY: dict[str, Any] = {"criteria": "sparsity", "checkpoints": "none"}
LONG = {f"part{number}": "x" * 198 for number in range(30)}


def double(model: PreTrainedModel) -> None:
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(2.0)


def logged_models(run: Run) -> list[str]:
    models = MlflowClient().search_logged_models([run.info.experiment_id])
    return sorted(str(model.name) for model in models)


@pytest.mark.parametrize(
    ("policy", "names", "stored"),
    [
        ("all", ["1-magnitude", "2-double"], [True, True]),
        ("last", ["2-double"], [False, True]),
        ("none", [], [False, False]),
    ],
)
def test_checkpoints_are_logged_once_as_asked_from_the_cache_that_is_given(
    policy: str, names: list[str], stored: list[bool], local_store: str, lm: LM, tmp_path: Path
) -> None:
    cache, keys = Checkpoints(tmp_path / "cache"), []
    with track(
        lm.model, lm.tokenizer, criteria="sparsity", checkpoints=policy, cache=cache
    ) as composition:
        for step in ("magnitude", double):
            composition.apply(step)
            keys.append(composition._keys[-1])
    run = MlflowClient().get_run(composition.run_id)
    assert run.data.tags[schema.KEY] == keys[1]
    assert (logged_models(run), [key in cache for key in keys]) == (names, stored)


def test_without_a_step_there_is_no_last_checkpoint(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    options = {**SPARSITY, "checkpoints": "last", "cache": checkpoints}
    with track(lm.model, lm.tokenizer, **options) as composition:
        pass
    run = MlflowClient().get_run(composition.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "base model")
    assert run.data.params["composition"] == "none" and logged_models(run) == []


def test_what_data_of_ones_own_lack_is_refused_before_any_step(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    data, before = own_data(perplexity=["a text of some words"]), lm.fingerprint()
    with track(lm.model, lm.tokenizer, data, cache=checkpoints, **SPARSITY) as composition:
        with pytest.raises(InvalidInput, match="wanda learns from calibration, of which the data"):
            composition.apply("magnitude | wanda")
        assert lm.fingerprint() == before
    assert MlflowClient().get_run(composition.run_id).data.params["composition"] == "none"


def test_steps_that_no_run_could_say_are_refused_before_they_are_applied(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    with track(lm.model, lm.tokenizer, cache=checkpoints, **SPARSITY) as composition:
        composition.apply("magnitude")
        before = lm.fingerprint()
        with pytest.raises(InvalidInput, match="a composition may have 100 steps, but got more"):
            composition.apply(" | ".join(["rtn"] * 100))
        with pytest.raises(InvalidInput, match="a composition may have 6000 characters"):
            composition.changed("trained", params=LONG)
        assert lm.fingerprint() == before
    assert MlflowClient().get_run(composition.run_id).data.params["pair"] == "magnitude"


def test_a_step_is_given_the_base_model_while_that_is_at_hand(
    local_store: str, lm: LM, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    base_models: list[LM] = []
    prune = Magnitude.apply

    def asking(self: Magnitude, lm: LM, data: Data) -> LM:
        base_models.append(load_base_model(self.name))
        return prune(self, lm, data)

    monkeypatch.setattr(Magnitude, "apply", asking)
    with track(lm.model, lm.tokenizer, cache=checkpoints, **SPARSITY) as composition:
        composition.apply("magnitude(sparsity=0.25)")
        assert [base.model for base in base_models] == [lm.model]
        with pytest.raises(InvalidInput, match="asks for the base model, which is changed already"):
            composition.apply("magnitude(sparsity=0.5)")


def test_a_model_is_evaluated_after_a_function_that_trains_it(
    local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    def train(model: PreTrainedModel) -> None:
        double(model.train())

    with track(lm.model, lm.tokenizer, cache=checkpoints, **SPARSITY) as composition:
        composition.apply(train)
        assert not lm.model.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_dtype_of_a_run_is_the_models(
    dtype: torch.dtype, local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    lm.model.to(dtype)
    with track(lm.model, lm.tokenizer, cache=checkpoints, **SPARSITY) as composition:
        pass
    params = MlflowClient().get_run(composition.run_id).data.params
    name = str(dtype).removeprefix("torch.")
    assert (params["dtype"], params["used.dtype"]) == (name, name)


def test_a_model_of_a_dtype_that_no_run_has_is_refused(local_store: str, lm: LM) -> None:
    lm.model.to(torch.float64)
    words = r"model must be of float32, bfloat16, float16, but is of torch\.float64"
    with pytest.raises(InvalidInput, match=words):
        track(lm.model, lm.tokenizer)


def test_a_model_in_memory_needs_no_room_for_another(
    local_store: str, lm: LM, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_checks, "device_bytes", lambda device: 1)
    with track(lm.model, lm.tokenizer, cache=checkpoints, **SPARSITY) as composition:
        assert composition.model is lm.model


def test_a_store_that_is_away_is_said_before_the_model_is_used(
    lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://x")
    with pytest.raises(store.StoreUnreachable, match="there is no store foo://"):
        track(lm.model, lm.tokenizer)
