"""`composability plan --preset`: each intervention, and all of its compositions."""

import pytest

from composability.command import main
from composability.preset_plan import applied_again, plan_preset
from interventions.composition import Composition
from sweeps.grid.presets import PRESETS
from sweeps.grid.spec import GridRequest
from tracking.plan import RunContext
from tracking.settings import Settings

FAST = {"criteria": "sparsity"}  # what takes no time to rehearse


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(PRESETS, "small", "ft(steps=1); magnitude; rtn")
    return "small"


def test_every_checkpoint_is_applied_once(small: str) -> None:
    planned = plan_preset(small, {**FAST, "recompress": "never"})
    jobs = GridRequest(preset=small, criteria="sparsity").checked().jobs
    keys = {key for job in jobs for key in job.plan.keys[1:]}
    assert planned.compositions == len(jobs) and planned.applications == len(keys)
    assert [step.name for step in planned.planned.steps] == [
        "base model",
        "ft(steps=1)",
        "magnitude(sparsity=0.5)",
        "rtn(bits=3)",
    ]
    base, ft, magnitude, rtn = (step.seconds or 0.0 for step in planned.planned.steps)
    # alone, and behind each of two compressions, or behind ft
    expected = base + ft * 3 + (magnitude + rtn) * 2
    assert planned.recompressions == 0
    assert planned.seconds == pytest.approx(expected)


def test_a_preset_is_planned_for_a_gpu_that_is_not_here(small: str) -> None:
    settings = {**FAST, "recompress": "never", "device": "cuda", "dtype": "float32"}
    planned = plan_preset(small, settings, 80.0)
    assert planned.compositions == 8 and planned.planned.composition == small


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        ("auto", ["awq(bits=3)", "magnitude(sparsity=0.5)"]),
        ("paper", ["magnitude(sparsity=0.5)"]),
        ("never", []),
    ],
)
def test_compressions_that_an_edit_follows_count_again(policy: str, again: list[str]) -> None:
    """But AWQ by the paper's policy."""
    context = RunContext(Settings(recompress=policy))
    compositions = ("awq | ft", "magnitude | ft", "ft | rtn", "magnitude | rtn", "none")
    plans = [context.plan(Composition.parse(text)) for text in compositions]
    assert applied_again(plans) == again


def test_the_command_prints_the_whole(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--preset", "quick", "ft"]) == 2
    assert "not both" in capsys.readouterr().err
    planned = plan_preset(small, FAST)
    assert str(planned).endswith(
        "small: 8 runs with shared prefixes: 7 applications and up to 2 recompressions, about 0.0"
        " hours one after another"
    )
    assert str(planned).startswith("small on testbed")
