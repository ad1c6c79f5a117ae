"""One GPU of several, and a model that is too large for its device: said before it is loaded."""

import pytest
import torch
from click.testing import CliRunner

from composability.command import cli
from interventions.composition import Composition
from interventions.errors import InvalidInput
from interventions.lm import LM
from tracking import plan_checks
from tracking.plan import RunContext, plan_run
from tracking.settings import Settings, is_gpu


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(plan_checks, "device_bytes", lambda device: 2**40)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_a_gpu_is_chosen_by_its_index_and_recorded(two_gpus: None, device: str) -> None:
    plan = plan_run("magnitude", Settings(device=device))
    assert plan.settings.device == plan.requested.device == device
    assert plan.settings.dtype == "bfloat16"


def test_the_device_is_no_part_of_a_checkpoints_key(two_gpus: None) -> None:
    keys = [
        plan_run("magnitude", Settings(device=device, dtype="float32")).keys
        for device in ("cuda", "cuda:1", "cpu")
    ]
    assert keys[0] == keys[1] == keys[2]


def test_a_gpu_that_is_not_here_is_refused(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput) as error:
        RunContext(Settings(device="cuda:2"))
    assert str(error.value) == (
        "device is cuda:2, but torch sees 2 GPUs here: use cuda:0 to cuda:1"
    )
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InvalidInput, match=r"torch sees 1 GPU here: use cuda:0$"):
        RunContext(Settings(device="cuda:1"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInput, match="device is cuda:1, but torch sees no GPU here"):
        RunContext(Settings(device="cuda:1"))
    assert RunContext(Settings(device="cuda:1"), remote=True).settings.device == "cuda:1"


NO_DEVICES = ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:01", "cuda:100", "cuda:1 ", "CUDA:1"]


@pytest.mark.parametrize("device", NO_DEVICES)
def test_what_is_no_device_is_refused(device: str) -> None:
    assert not is_gpu(device)
    with pytest.raises(
        InvalidInput, match=r"device must be auto or cpu or cuda, but got .* cuda:1"
    ):
        RunContext(Settings(device=device))
    for command in ("run", "grid", "tune", "findings", "plan"):
        ended = CliRunner().invoke(cli, [command, "--device", device])
        assert ended.exit_code == 2 and "is not one of 'auto', 'cpu', 'cuda'" in ended.output


def test_the_option_takes_an_index(local_store: str) -> None:
    ended = CliRunner().invoke(cli, ["run", "magnitude", "--device", "cuda:1"])
    assert "is not one of" not in ended.output


def test_a_model_that_is_too_large_is_refused_before_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_checks, "device_bytes", lambda device: 2**20)

    def load(*arguments: object, **options: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr(LM, "load", load)
    with pytest.raises(InvalidInput) as error:
        plan_run("magnitude", Settings(device="cpu", dtype="bfloat16"))
    assert "model 'testbed@3' does not fit: its weights take 0.00" in str(error.value)
    assert "cpu has 0.000977 GiB of free memory" in str(error.value)
    with pytest.raises(InvalidInput, match=r"; dtype=bfloat16 takes half$"):
        plan_run("magnitude", Settings(device="cpu", dtype="float32"))


def test_both_sizes_are_said_and_what_just_fits_is_let_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings(model="owner/name", device="cuda:1", dtype="bfloat16")
    monkeypatch.setattr(plan_checks, "device_bytes", lambda device: 16 * 2**30)
    plan_checks.check_fits(16 * 2**30, settings)
    with pytest.raises(InvalidInput) as error:
        plan_checks.check_fits(20 * 2**30, settings)
    assert str(error.value) == (
        "model 'owner/name' does not fit: its weights take 20 GiB in bfloat16, and cuda:1 has"
        " 16 GiB of memory"
    )
    monkeypatch.setattr(plan_checks, "device_bytes", lambda device: None)
    plan_checks.check_fits(2**60, settings)


def test_a_plan_for_another_machine_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_checks, "device_bytes", lambda device: 1)
    context = RunContext(Settings(device="cpu"), remote=True)
    assert context.plan(Composition.parse("magnitude")).checkpoint_bytes > 1
