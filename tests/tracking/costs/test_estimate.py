"""What applying and measuring take together, in memory, on the disk and in time."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from interventions.composition import Composition
from interventions.rehearsal.meta import Takes
from interventions.rehearsal.speed import Speed
from interventions.rehearsal.steps import Stage, Unknown
from tracking.costs.estimate import Estimator, _again, _stored_bytes
from tracking.costs.planned import PlannedStep
from tracking.costs.room import GIB
from tracking.plan import Plan, RunContext

WEIGHTS = 800_000_000  # two seconds to store, 0.4 to read
APPLYING, MEASURING = Takes(100, 0, 5.0), Takes(300, 0, 2.0)


def plan_of(composition: str = "none", **settings: str) -> Plan:
    stand_in = SimpleNamespace(
        composition=Composition.parse(composition),
        settings=SimpleNamespace(**settings),
        checkpoint_bytes=10,
    )
    return cast(Plan, stand_in)


def planned(applying: Takes | Unknown | None, measuring: Takes | Unknown, **more: Any) -> Any:
    stage = cast(Stage, SimpleNamespace(weight_bytes=WEIGHTS, kept_bytes=7))
    estimator = Estimator(cast(RunContext, None), cast(Speed, None))
    plan = plan_of(device=more.pop("device", "cpu"))
    return estimator._planned(plan, stage, "step", applying, measuring, disk_bytes=20, **more)


def test_a_step_peaks_where_it_or_measuring_does_and_is_stored() -> None:
    held = planned(APPLYING, MEASURING, held_bytes=11)
    assert held == PlannedStep("step", 311, GIB + 311, 9.0, 20, alone_bytes=100)
    assert planned(MEASURING, APPLYING).device_bytes == 300
    assert planned(APPLYING, MEASURING) == PlannedStep(
        "step", 300, GIB + 300, 9.0, 20, alone_bytes=100
    )


def test_the_base_model_is_read_and_what_steps_leave_in_memory_comes_on_top() -> None:
    base = planned(None, MEASURING)
    assert base == PlannedStep("step", 307, GIB + 307, 2.4, 20, alone_bytes=300)


def test_on_a_gpu_the_host_has_the_process_the_weights_and_what_the_step_holds() -> None:
    step = planned(APPLYING, MEASURING, held_bytes=11, device="cuda")
    assert step == PlannedStep("step", 300, 3 * GIB + WEIGHTS + 11, 9.0, 20, alone_bytes=100)


@pytest.mark.parametrize(
    ("applying", "measuring", "reason"),
    [
        (Unknown("a"), Unknown("b"), "a; what measuring takes, as b"),
        (Unknown("a"), MEASURING, "a"),
        (APPLYING, Unknown("b"), "what measuring takes, as b"),
        (None, Unknown("b"), "what measuring takes, as b"),
    ],
)
def test_what_is_not_known_has_a_reason_and_no_sizes(
    applying: Takes | Unknown | None, measuring: Takes | Unknown, reason: str
) -> None:
    step = planned(applying, measuring)
    assert step == PlannedStep("step", None, None, None, 20, reason)


def test_the_compressions_that_a_step_follows_may_be_applied_again() -> None:
    composition = "rtn | ga | wanda | magnitude"
    again = [step.name for step in _again(plan_of(composition, recompress="auto"))]
    assert again == ["rtn", "wanda"]
    assert _again(plan_of(composition, recompress="never")) == []


@pytest.mark.parametrize(
    ("policy", "last", "before"),
    [("all", 20, 20), ("changed", 20, 20), ("last", 20, 10), ("none", 10, 10)],
)
def test_a_checkpoint_that_is_logged_lies_on_the_disk_twice(
    policy: str, last: int, before: int
) -> None:
    plan = plan_of(checkpoints=policy)
    assert (_stored_bytes(plan, True), _stored_bytes(plan, False)) == (last, before)
