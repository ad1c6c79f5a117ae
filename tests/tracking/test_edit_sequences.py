"""Several batches of edits in one run: their keys, what travels from step to step, and what not."""

from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from interventions.composition import Composition
from interventions.errors import InvalidInput
from interventions.lm import LM
from tracking.chain import Chain
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.store import Checkpoints
from tracking.own_code import track
from tracking.plan import Plan, RunContext, plan_run
from tracking.run import run
from tracking.settings import Settings

FEW = "steps=2, samples=20, threshold=1.0, ridge=1.0"
TWO = f"alphaedit({FEW}) | alphaedit({FEW}, batch_offset=1)"
SETTINGS = Settings(dtype="float32", device="cpu", checkpoints="none")


def plan_of(spec: str, edit_batch: int = 0) -> Plan:
    return RunContext(SETTINGS).for_replicate(0, edit_batch).plan(Composition.parse(spec))


def test_a_step_has_the_key_of_the_batch_that_it_writes_however_that_is_named() -> None:
    two = plan_of(TWO)
    assert plan_of(f"alphaedit({FEW})").keys == two.keys[:2]
    assert plan_of("memit(batch_offset=1)").keys == plan_of("memit", edit_batch=1).keys
    assert plan_of("memit(batch_offset=1)").keys != plan_of("memit").keys
    again = plan_of(TWO.replace(", batch_offset=1", ""))
    assert again.keys[:2] == two.keys[:2] and again.keys[2] != two.keys[2]


def test_a_run_is_judged_by_every_batch_that_its_steps_write() -> None:
    first, second = (plan_of("memit", edit_batch=k).data.edits for k in (3, 4))
    both = plan_of("memit | wanda | memit(batch_offset=1)", edit_batch=3)
    assert both.data.edits == first + second and both.data.first_edits == first
    # a step without a batch of its own writes the run's
    mixed = plan_of("ft | memit(batch_offset=1)", edit_batch=3)
    ft, memit = mixed.composition
    assert ft.own_data(mixed.data).edits == first and memit.own_data(mixed.data).edits == second
    only_second = plan_of("wanda | memit(batch_offset=1)", edit_batch=3).data
    assert only_second.edits == second and not only_second.first_edits
    names = {each.name for each in both.criteria} - {
        each.name for each in plan_of("memit").criteria
    }
    assert names == {"edit_success_first"}


def test_windows_of_the_settings_are_those_of_several_batches_too() -> None:
    settings = Settings(dtype="float32", device="cpu", window=32)
    assert plan_run("memit | memit(batch_offset=1)", settings).data.window == 32


def test_a_batch_that_the_data_lack_is_refused_by_the_step_that_asks() -> None:
    with pytest.raises(
        InvalidInput, match=r"^memit.batch_offset=2: edit_batch must be 0 to 19 .*20"
    ):
        plan_of("ft | memit(batch_offset=2)", edit_batch=18)


def test_what_is_remembered_survives_the_cache_and_changes_what_follows(tmp_path: Path) -> None:
    plan = plan_of(TWO)
    whole = Chain(plan, Checkpoints(tmp_path / "whole"))
    at_once = whole.model_after(2).fingerprint()
    Chain(plan_of(f"alphaedit({FEW})"), Checkpoints(tmp_path / "parts")).model_after(1)
    resumed = Chain(plan, Checkpoints(tmp_path / "parts"))
    assert resumed.model_after(2).fingerprint() == at_once
    assert (resumed.steps_reused, resumed.steps_applied) == (1, 1)
    assert resumed.lm is not None and resumed.lm.edited_keys[0].shape == (512, 100)
    forgetful = Chain(plan, Checkpoints(tmp_path / "parts", limit_gib=0.0))
    forgetful.model_after(1).edited_keys.clear()
    forgetful._apply(2)
    assert forgetful.model_after(2).fingerprint() != at_once


@pytest.mark.full
def test_a_run_that_logged_what_changed_restores_the_keys_of_all_batches(
    local_store: str, tmp_path: Path
) -> None:
    spec = TWO.replace(" | ", " | rtn(bits=8) | ")
    made = Checkpoints(tmp_path / "cache")
    run_id = run(
        spec, criteria="edit_success_first", limit=4, checkpoints="changed", recompress="never",
        cache=made, device="cpu", dtype="float32",
    )  # fmt: skip
    assert "edit_success_first" in MlflowClient().get_run(run_id).data.metrics
    stored = LM.load(made.path(plan_of(spec).keys[-1])).edited_keys
    for step, count in ((1, 50), (2, 50), (3, 100)):
        folder = load_checkpoint(run_id, step, tmp_path / f"{step}", Checkpoints(tmp_path / "none"))
        keys = LM.load(folder).edited_keys[0]
        assert keys.shape == (512, count)
        assert torch.equal(keys, stored[0][:, :count])


def test_own_code_cannot_ask_for_a_batch_that_was_not_read(lm: LM, local_store: str) -> None:
    with (
        track(lm.model, lm.tokenizer, criteria="sparsity") as composition,
        pytest.raises(InvalidInput, match=r"^alphaedit.batch_offset: the run's data have .* not 1"),
    ):
        composition.apply("alphaedit(batch_offset=1)")
