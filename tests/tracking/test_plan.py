"""What is checked about a run before anything is loaded, and what its key depends on."""

import dataclasses
from pathlib import Path

import pytest
import torch

from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from tracking import plan as plan_module
from tracking.plan import RunContext, defaults_profile, plan_run
from tracking.settings import Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "papr"}, "data must be testbed or paper, but got 'papr'"),
        ({"split": "train"}, "split must be test or validation or held_out, but got 'train'"),
        ({"recompress": "maybe"}, "recompress must be auto or never or paper, but got 'maybe'"),
        ({"checkpoints": "some"}, "checkpoints must be all or last or changed or none, but got"),
        ({"device": "tpu"}, "device must be auto or cpu or cuda, but got 'tpu'"),
        ({"dtype": "float8"}, "dtype must be auto or float32 or bfloat16 or float16, but got"),
        ({"seed": -1}, "seed must be 0 to 4294967295, but got -1"),
        ({"seed": 2**32}, "seed must be 0 to 4294967295, but got 4294967296"),
        ({"model": "./owner/name"}, "is not a folder, and no Hugging Face id"),
        ({"model": "name"}, "model 'name' is not a folder, and no Hugging Face id"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, str | int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        RunContext(Settings(**settings))  # type: ignore[arg-type]


def test_the_bounds_of_a_seed_are_valid() -> None:
    for seed in (0, 2**32 - 1):
        assert RunContext(Settings(seed=seed)).settings.seed == seed


@pytest.mark.parametrize(
    ("cuda", "device", "dtype", "remote", "expected"),
    [
        (False, "auto", "auto", False, ("cpu", "float32")),
        (True, "auto", "auto", False, ("cuda", "bfloat16")),
        (True, "cpu", "auto", False, ("cpu", "float32")),
        (True, "cuda", "float16", False, ("cuda", "float16")),
        (False, "auto", "bfloat16", False, ("cpu", "bfloat16")),
        (False, "cuda", "auto", True, ("cuda", "bfloat16")),
        (False, "auto", "auto", True, ("cpu", "float32")),
    ],
)
def test_device_and_dtype_come_out_as_the_machine_allows(
    cuda: bool,
    device: str,
    dtype: str,
    remote: bool,
    expected: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    context = RunContext(Settings(device=device, dtype=dtype), remote)
    assert (context.settings.device, context.settings.dtype) == expected
    assert (context.requested.device, context.requested.dtype) == (device, dtype)


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInput, match="device is cuda, but torch sees no GPU here"):
        RunContext(Settings(device="cuda"))


def test_the_origin_depends_on_weights_dtype_and_seed() -> None:
    origins = {
        RunContext(Settings(seed=seed, dtype=dtype)).origin
        for seed in (0, 1)
        for dtype in ("float32", "bfloat16")
    }
    assert len(origins) == 4
    assert RunContext(Settings(model=str(MODEL))).origin == RunContext(Settings()).origin


def test_a_models_weights_are_known_by_its_files(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json", "README.md"):
        (tmp_path / name).write_text("content")
    identity = plan_module._weights_identity(str(tmp_path), None)
    (tmp_path / "README.md").write_text("changed")
    assert plan_module._weights_identity(str(tmp_path), None) == identity
    (tmp_path / "config.json").write_text("changed")
    assert plan_module._weights_identity(str(tmp_path), None) != identity
    hub = plan_module._weights_identity("owner/name", type("Config", (), {"_commit_hash": "abc"}))
    assert hub == "owner/name@abc"


def test_contexts_of_other_replicates_and_splits_share_the_model() -> None:
    context = RunContext(Settings())
    replicate = context.for_replicate(seed=3, edit_batch=0)
    assert (replicate.settings.seed, replicate.settings.edit_batch) == (3, 0)
    assert replicate.anatomy is context.anatomy and replicate.data is context.data
    other_batch = context.for_replicate(seed=0, edit_batch=1)
    assert other_batch.data.identity("edits") != context.data.identity("edits")
    validation = context.for_split("validation")
    assert validation.anatomy is context.anatomy
    assert validation.data.identity("questions") != context.data.identity("questions")


def test_a_plan_holds_what_was_checked() -> None:
    settings = Settings(checkpoints="none", dtype="float32")
    plan = plan_run("lora | wanda(sparsity=0.5)", settings)
    assert plan.requested == settings
    assert plan.settings == dataclasses.replace(settings, device=plan.settings.device)
    assert (plan.source, len(plan.keys)) == (str(MODEL), 3)
    assert plan.keys == plan.composition.keys(plan.origin, plan.data)
    assert plan.spec() == "lora | wanda(sparsity=0.5)"
    with pytest.raises(InvalidInput, match=r"ft.layers names layer 17"):
        plan_run("ft(layers=17)", settings)


def test_unknown_data_has_the_testbeds_profile() -> None:
    assert [defaults_profile(data) for data in ("testbed", "paper", "papr")] == [
        "testbed",
        "paper",
        "testbed",
    ]
