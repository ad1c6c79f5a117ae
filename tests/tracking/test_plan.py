"""What is checked about a run before anything is loaded, and what its key depends on."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from interventions.anatomy import context_length
from interventions.composition import Composition
from interventions.data.base import Data
from interventions.data.own.reading import own_data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from tests.interventions.data.own.parts import edit
from tests.interventions.model_folders import folder_with_code
from tracking import plan as plan_module
from tracking.plan import RunContext, plan_run
from tracking.settings import Settings, defaults_profile


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "papr"}, "data must be testbed or paper, but got 'papr'"),
        ({"data": "paper@1"}, "data must be testbed or paper, but got 'paper@1'"),
        ({"data": "testbed@4"}, "data must be testbed or testbed@3 on the testbed, but got"),
        (
            {"data": "testbed@1"},
            "data 'testbed@1' is not computed any more: its runs stay",
        ),
        ({"model": "testbed@1"}, "model 'testbed@1' is not computed any more"),
        ({"data": "testbed-without-forget"}, "data must be testbed or paper, but got"),
        ({"split": "train"}, "split must be test or validation or held_out, but got 'train'"),
        ({"recompress": "maybe"}, "recompress must be auto or never or paper or preset, but got"),
        ({"window": 1}, "window must be 0 .* or an integer from 2 to 1048576 .*, but got 1"),
        ({"window": 2**20 + 1}, "window must be .*, but got 1048577"),
        ({"window": "64"}, "window must be .*, but got '64'"),
        ({"window": True}, "window must be .*, but got True"),
        ({"stride": 2**20 + 1}, "stride must be an integer from 0 to 1048576, but got 1048577"),
        ({"limit": -1}, "limit must be an integer from 0 to 1000000000, but got -1"),
        ({"limit": 10**9 + 1}, "limit must be .* to 1000000000, but got 1000000001"),
        ({"edit_batch": -1}, "edit_batch must be an integer from 0 to 1000000, but got -1"),
        ({"edit_batch": 10**6 + 1}, "edit_batch must be .* to 1000000, but got 1000001"),
        ({"criteria": "mmlu\n"}, r"criteria must be one line of 1 to 6000 .*, but got 'mmlu\\n'"),
        ({"criteria": "x" * 6001}, "criteria must be .*, but got 6001 characters"),
        ({"model": "x" * 4096}, "model must be one line of 1 to 4095 .*, but got 4096 characters"),
        ({"checkpoints": "some"}, "checkpoints must be all or last or changed or none, but got"),
        ({"device": "tpu"}, "device must be auto or cpu or cuda, but got 'tpu'"),
        ({"dtype": "float8"}, "dtype must be auto or float32 or bfloat16 or float16, but got"),
        ({"seed": -1}, "seed must be an integer from 0 to 4294967295, but got -1"),
        ({"seed": 2**32}, "seed must be an integer from 0 to 4294967295, but got 4294967296"),
        ({"trust_remote_code": "yes"}, "trust_remote_code must be true or false, but got 'yes'"),
        ({"allow_pickle": 1}, "allow_pickle must be true or false, but got 1"),
        ({"model": "./owner/name"}, "is not a folder, and no Hugging Face id"),
        ({"model": "tesbed"}, "Did you mean 'testbed'"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, str | int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        RunContext(Settings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "bounds"),
    [
        ("seed", (0, 2**32 - 1)),
        ("edit_batch", (0, 10**6)),
        ("limit", (0, 10**9)),
        ("stride", (0, 2**20)),
        ("criteria", ("x", "x" * 6000)),
    ],
)
def test_the_bounds_of_a_setting_are_valid(setting: str, bounds: tuple[Any, Any]) -> None:
    for value in bounds:
        settings = RunContext(Settings(**{setting: value})).settings
        assert getattr(settings, setting) == value


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


def test_what_is_trusted_is_in_no_key_of_a_model_without_code() -> None:
    origins = {
        RunContext(Settings(trust_remote_code=trusted, allow_pickle=trusted)).origin
        for trusted in (False, True)
    }
    assert len(origins) == 1


def test_a_models_own_code_counts_where_it_may_run(tmp_path: Path) -> None:
    folder, _ = folder_with_code(tmp_path)
    anatomy = RunContext(Settings()).anatomy

    def weights(trusted: bool) -> str:
        context = RunContext(Settings(model=str(folder), trust_remote_code=trusted))
        context.anatomy = anatomy  # no code is run for it
        return context.weights

    before = {trusted: weights(trusted) for trusted in (True, False)}
    (folder / "modeling_own.py").write_text("changed")
    assert weights(False) == before[False]
    assert len({weights(True), *before.values()}) == 3


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
    named = dataclasses.replace(settings, model="testbed@3", data="testbed@3")
    assert plan.requested == named
    assert plan.settings == dataclasses.replace(
        named, device=plan.settings.device, window=64, recompress="auto"
    )
    assert (plan.source, len(plan.keys)) == (str(MODEL), 3)
    assert plan.keys == plan.composition.keys(plan.origin, plan.data)
    assert plan.spec() == "lora | wanda(sparsity=0.5)"
    count = RunContext(settings).anatomy.num_parameters()
    assert plan.checkpoint_bytes == 4 * count
    halved = plan_run("none", dataclasses.replace(settings, dtype="bfloat16"))
    assert halved.checkpoint_bytes == 2 * count
    with pytest.raises(InvalidInput, match=r"ft.layers names layer 17"):
        plan_run("ft(layers=17)", settings)


def test_a_plan_of_no_step_is_refused_for_its_model_or_its_criteria() -> None:
    with pytest.raises(InvalidInput, match=r"no criterion is named 'mmlo'\. Did you mean 'mmlu'"):
        plan_run("none", Settings(criteria="mmlo"))
    context = RunContext(Settings())
    context.anatomy.config.is_encoder_decoder = True
    with pytest.raises(InvalidInput, match="has an encoder: only decoders are"):
        context.plan(Composition())


def test_the_answers_of_ones_own_data_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def note(data: Data, *about: object) -> None:
        checked.append(data.identity("edits"))

    monkeypatch.setattr(plan_module, "check_answers", note)
    RunContext(Settings()).plan(Composition())
    assert checked == []
    own = own_data(edits=[edit(number) for number in range(4)], batch=2, defaults="testbed")
    context = RunContext(Settings(data=own))
    for spec in ("ft", "ft | magnitude", "none"):
        context.plan(Composition.parse(spec))
    context.for_replicate(seed=1, edit_batch=1).plan(Composition())
    assert len(checked) == len(set(checked)) == 2


def test_unknown_data_has_the_testbeds_profile() -> None:
    assert [defaults_profile(data) for data in ("testbed@3", "paper", "papr")] == [
        "testbed",
        "paper",
        "testbed",
    ]


def test_the_testbed_with_its_version_is_the_testbed() -> None:
    plans = [plan_run("lora | rtn", Settings(model=n, data=n)) for n in ("testbed", "testbed@3")]
    assert plans[0].settings == plans[1].settings and plans[0].requested == plans[1].requested
    assert plans[0].keys == plans[1].keys and plans[0].spec() == plans[1].spec()


def test_the_window_is_the_datas_the_users_or_as_much_as_the_model_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data keep what was asked for: scores that are known under it stay known."""
    plans = {asked: plan_run("none", Settings(window=asked)) for asked in (0, 64, 32, 2, 4096)}
    assert {asked: plan.data.window for asked, plan in plans.items()} == {
        0: 64, 64: 64, 32: 32, 2: 2, 4096: 4096
    }  # fmt: skip
    reads = context_length(RunContext(Settings()).anatomy)
    assert reads and 64 < reads < 4096
    assert [plan.settings.window for plan in plans.values()] == [64, 64, 32, 2, reads]
    identities = {asked: plan.data.identity("window") for asked, plan in plans.items()}
    assert identities[0] == identities[64] != identities[32]
    assert plans[0].data.identity("test_text") == plans[32].data.identity("test_text")
    monkeypatch.setattr(plan_module, "context_length", lambda model: 0)
    assert plan_run("none", Settings(window=4096)).settings.window == 4096


def test_a_replicate_and_another_split_have_the_same_window() -> None:
    context = RunContext(Settings(window=32))
    for changed in (context.for_replicate(1, 1), context.for_split("validation")):
        assert changed.data.window == changed.window == 32


@pytest.mark.parametrize(
    ("asked", "used"),
    [("preset", "auto"), ("auto", "auto"), ("never", "never"), ("paper", "paper")],
)
def test_without_a_grid_the_presets_recompression_is_auto(asked: str, used: str) -> None:
    plan = plan_run("wanda", Settings(recompress=asked))
    assert (plan.requested.recompress, plan.settings.recompress) == (asked, used)


def test_what_was_read_is_said_of_the_steps_that_read_it() -> None:
    context = RunContext(Settings())
    sources = (("edits", "a.json"), ("awq.calibration", "texts"))
    context.data = dataclasses.replace(context.data, sources=sources)
    said = [context.plan(Composition.parse(spec)).sources() for spec in ("gptq", "ft | awq")]
    assert said == [
        {"edits_from": "a.json"},
        {"edits_from": "a.json", "awq.calibration_from": "texts"},
    ]
    assert plan_run("awq", Settings()).sources() == {}


def test_a_step_with_calibration_texts_of_its_own_is_checked_against_these() -> None:
    context = RunContext(Settings())
    own = (("awq", ("one text", "another text")),)
    context.data = dataclasses.replace(context.data, calibration_of=own)
    context.plan(Composition.parse("gptq(samples=9)"))
    with pytest.raises(InvalidInput, match=r"awq.samples is 9, but there are 2 texts"):
        context.plan(Composition.parse("awq(samples=9)"))
