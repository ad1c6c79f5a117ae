"""`composability plan`: what a run would take, and what would make it fit; nothing is run."""

import inspect
from typing import Any

import pytest
from mlflow import MlflowClient

from composability.command import main
from interventions.base import Intervention
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.memit import MEMIT
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.rehearsal.steps import Stage, Unknown
from tracking.costs import planning
from tracking.costs.planning import plan, plan_of
from tracking.costs.room import GIB, Room
from tracking.run import run
from tracking.settings import Settings

MIB = 2**20
FAST: dict[str, Any] = {"criteria": "sparsity"}  # what takes no time to rehearse
ROOMY = Room(device=100 * GIB, host=100 * GIB, disk=100 * GIB, cache=10 * GIB)


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: object, **options: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(LM, "load", load)


def in_room(monkeypatch: pytest.MonkeyPatch, **sizes: int | None) -> None:
    room = Room(**{**vars(ROOMY), **sizes})
    monkeypatch.setattr(planning, "room_here", lambda *arguments: room)


def test_every_step_has_a_row_and_nothing_is_left_to_guess() -> None:
    planned = plan("ft(steps=2) | magnitude(sparsity=0.25)", **FAST)
    assert [step.name for step in planned.steps] == [
        "base model",
        "ft(steps=2)",
        "magnitude(sparsity=0.25)",
    ]
    base, ft, magnitude = planned.steps
    weights = sum(path.stat().st_size for path in MODEL.glob("*.safetensors"))
    for step in planned.steps:
        assert step.reason == ""
        assert step.device_bytes is not None and step.device_bytes > 0.99 * weights
        assert step.host_bytes is not None and step.host_bytes > step.device_bytes
        assert step.seconds is not None and step.seconds > 0
    # cached, and logged as an artifact
    assert base.disk_bytes == 0 and ft.disk_bytes == pytest.approx(2 * weights, rel=0.05)
    assert planned.disk_bytes == ft.disk_bytes + magnitude.disk_bytes
    assert planned.device_bytes == max(step.device_bytes or 0 for step in planned.steps)
    assert planned.seconds == pytest.approx(sum(step.seconds or 0 for step in planned.steps))
    assert (planned.dtype, planned.device) == ("float32", "cpu")
    assert all(row.split()[0] in str(planned) for row in planned.table().splitlines())


@pytest.mark.parametrize(
    ("recompress", "last"), [("auto", "rtn(bits=3) (again, if it was undone)"), ("never", "ft")]
)
def test_a_compression_that_others_follow_may_be_there_twice(recompress: str, last: str) -> None:
    planned = plan("rtn | ft(steps=2)", recompress=recompress, **FAST)
    assert planned.steps[-1].name.startswith(last)


@pytest.mark.parametrize(
    ("checkpoints", "copies"),
    [("all", [2, 2]), ("changed", [2, 2]), ("last", [1, 2]), ("none", [1, 1])],
)
def test_the_disk_holds_what_is_cached_and_what_is_logged(
    checkpoints: str, copies: list[int]
) -> None:
    planned = plan("magnitude | magnitude", checkpoints=checkpoints, recompress="never", **FAST)
    checkpoint = min(step.disk_bytes for step in planned.steps[1:]) / min(copies)
    assert [step.disk_bytes / checkpoint for step in planned.steps[1:]] == copies


def test_memit_stores_its_statistics_too() -> None:
    planned = plan("magnitude | memit(layers=(0, 1), steps=2, samples=10)", **FAST)
    statistics = 2 * 8 * 512**2
    before, after = planned.steps[1:3]
    assert after.disk_bytes - before.disk_bytes == statistics


@pytest.mark.parametrize(("device", "on_device"), [("cpu", 1), ("cuda", 0)])
def test_what_memit_holds_is_host_memory(
    device: str, on_device: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which on a CPU is the device's too."""
    settings: dict[str, Any] = {"device": device, "device_gib": 80, **FAST}
    takes = []
    for gib in (0, 7):
        monkeypatch.setattr(MEMIT, "stored_bytes", lambda self, model, gib=gib: gib * GIB)
        step = plan("memit(steps=2, samples=10)", **settings).steps[1]
        assert step.host_bytes is not None and step.device_bytes is not None
        takes.append((step.host_bytes, step.device_bytes))
    (host, on), (more_host, more_on) = takes
    assert (more_host - host, more_on - on) == (7 * GIB, 7 * GIB * on_device)


def test_half_precision_takes_half_and_a_gpu_another_process() -> None:
    wide, narrow = (
        plan("none", dtype=dtype, device="cuda", device_gib=1, **FAST)
        for dtype in ("float32", "bfloat16")
    )
    assert narrow.device_bytes / wide.device_bytes == pytest.approx(0.5, abs=0.01)
    assert wide.device == "cuda" and "H100" in str(wide)
    assert wide.host_bytes > 3 * GIB


def test_a_step_that_does_not_fit_is_warned_of_with_what_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = "ft(steps=2, layers=(0, 1, 2, 3, 4, 5))"
    settings: dict[str, Any] = {"device": "cuda", "dtype": "bfloat16", **FAST}
    peak = plan(step, device_gib=80, **settings).steps[1].alone_bytes
    assert peak is not None
    in_room(monkeypatch, device=peak)
    assert plan(step, **settings).warnings == ()
    in_room(monkeypatch, device=peak - 1)
    (warning,) = plan(step, **settings).warnings
    assert warning.startswith("ft(layers=(0, 1, 2, 3, 4, 5), steps=2) itself needs about 0.0")
    fitting = "ft(layers=(0, 1, 2, 3, 4, 5), steps=2, master_weights=False)"
    assert warning.endswith(f"; it fits with {fitting} or device=cpu")
    assert plan(fitting, **settings).warnings == ()


def test_half_precision_is_named_where_it_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan("magnitude", **FAST)
    peak = planned.steps[1].alone_bytes
    assert peak is not None
    in_room(monkeypatch, device=peak - 1, host=MIB)
    (warning,) = (
        line
        for line in plan("magnitude", device="cuda", dtype="float32", **FAST).warnings
        if "on the device" in line
    )
    assert warning.endswith("it fits with dtype=bfloat16")


def test_where_nothing_smaller_fits_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    in_room(monkeypatch, device=MIB, host=MIB)
    warnings = plan("magnitude", device="cpu", **FAST).warnings
    assert len(warnings) == 2
    assert all(warning.endswith("; nothing smaller is known") for warning in warnings)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"host": GIB}, "of memory on the host, of which 1.0 GiB are free"),
        ({"disk": MIB}, "fewer are logged with checkpoints=last or checkpoints=none"),
        ({"cache": MIB}, "a checkpoint has 0.003 GiB, and the cache is held under 0.001 GiB"),
    ],
)
def test_what_else_is_short_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int], words: str
) -> None:
    in_room(monkeypatch, **sizes)
    warnings = plan("magnitude", device="cuda", **FAST).warnings
    assert warnings and all(words in warning for warning in warnings)


def test_the_cache_holds_no_more_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four checkpoints two are cached at a time."""
    checkpoint = plan("magnitude", checkpoints="none", **FAST).disk_bytes
    four = "magnitude | magnitude | magnitude | magnitude"
    for disk, count in ((2 * checkpoint, 0), (2 * checkpoint - 10_000, 1)):
        in_room(monkeypatch, disk=disk, cache=2 * checkpoint)
        warnings = plan(four, checkpoints="none", recompress="never", **FAST).warnings
        assert len(warnings) == count


def test_a_device_that_is_not_here_and_not_described_warns_of_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_room(monkeypatch, device=None)
    assert plan("magnitude", device="cuda:3", **FAST).warnings == ()


def test_what_a_run_would_refuse_is_refused() -> None:
    for composition, settings in (
        ("wnda", Settings()),
        ("ft(layers=99)", Settings()),
        ("ft", Settings(criteria="mmul")),
        ("ft", Settings(model="no/such/folder")),
    ):
        with pytest.raises(InvalidInput):
            plan_of(composition, settings)
    for size in (-1.0, float("nan"), 1e9):
        with pytest.raises(InvalidInput, match="device_gib must be from 0 to 10000"):
            plan("magnitude", device_gib=size)


def test_an_unknown_step_is_said_and_the_others_are_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cannot(self: Stage, step: Intervention, data: Data) -> Unknown:
        return Unknown("nobody knows")

    monkeypatch.setattr(Stage, "step", cannot)
    planned = plan("magnitude", **FAST)
    step = planned.steps[1]
    assert (step.device_bytes, step.host_bytes, step.seconds) == (None, None, None)
    assert planned.device_bytes == planned.steps[0].device_bytes
    assert "not known: magnitude(sparsity=0.5): nobody knows" in str(planned)
    assert "total of what is known" in planned.table()
    assert planned.table().count("unknown") == 3


def test_a_plan_takes_what_a_run_takes() -> None:
    def options(function: Any) -> dict[str, object]:
        parameters = inspect.signature(function).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters}

    of_run = options(run)
    del of_run["experiment"], of_run["cache"]
    of_plan = options(plan)
    assert of_plan.pop("device_gib") == 0
    assert of_plan == of_run


@pytest.mark.parametrize("words", [["plan"], ["run", "--dry-run", "true"]])
def test_the_command_prints_the_table_and_makes_no_run(
    words: list[str], local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["magnitude", "--criteria", "sparsity", "--experiment", "planned"]
    assert main([*words, *arguments]) == 0
    printed = capsys.readouterr().out
    header = ["step", "device", "GiB", "host", "GiB", "seconds", "disk", "GiB"]
    assert header in [line.split() for line in printed.splitlines()]
    assert "magnitude(sparsity=0.5)" in printed and "These are estimates." in printed
    client = MlflowClient(local_store)
    assert client.get_experiment_by_name("planned") is None
    assert main([*words, "wnda"]) == 2


def test_the_command_plans_for_a_gpu_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "ft(steps=2)",
        "--criteria",
        "sparsity",
        "--device",
        "cuda",
        "--device-gib",
        "0.001",
    ]
    assert main(["plan", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "(bfloat16, cuda)" in printed
    assert "warning: ft(steps=2) itself needs about 0.0" in printed
    assert (
        main(["plan", "--first", "magnitude", "--then", "ft(steps=2)", "--criteria", "sparsity"])
        == 0
    )
    assert "magnitude | ft(steps=2)" in capsys.readouterr().out.replace("(sparsity=0.5)", "")
