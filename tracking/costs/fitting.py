"""Whether a planned run fits, and what would make it fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from interventions.base import Intervention, make
from interventions.hyperparameters import fields_of
from interventions.rehearsal.meta import Takes
from interventions.rehearsal.steps import Stage, Unknown
from tracking.costs.estimate import Estimator
from tracking.costs.planned import PlannedStep, gib
from tracking.costs.room import GIB, Room
from tracking.plan import Plan

# fields that a step takes less memory with, and what they are tried at
_HALVED = ("last_layers", "max_tokens", "samples", "batch", "retain_batch")


def warnings_of(
    estimator: Estimator, plan: Plan, steps: Sequence[PlannedStep], room: Room
) -> Iterator[str]:
    """Yield a line on everything that will not fit.

    Args:
        estimator: of the plan's settings.
        plan: the run's.
        steps: what each step takes, the base model's measurement first.
        room: what there is.
    """
    device, checkpoint = plan.settings.device, plan.checkpoint_bytes
    # what is applied again takes what it took before
    for index, step in enumerate(steps[: len(plan.composition) + 1]):
        if room.device is not None and (step.alone_bytes or 0) > room.device:
            yield _too_large(estimator, plan, index, step, room)
        if device != "cpu" and (step.host_bytes or 0) > room.host:
            yield (
                f"{step.name} needs about {_gib(step.host_bytes)} of memory on the host, of which"
                f" {_gib(room.host)} are free"
            )
    # the cache drops what was used longest ago; what is logged stays
    surplus = max(0, checkpoint * (len(steps) - 1) - max(room.cache, checkpoint))
    disk = sum(step.disk_bytes for step in steps) - surplus
    if disk > room.disk:
        logs_none = plan.settings.checkpoints == "none"
        fewer = "" if logs_none else "; fewer are logged with checkpoints=last or checkpoints=none"
        yield (
            f"checkpoints need up to {_gib(disk)} of disk, of which {_gib(room.disk)} are free"
            f"{fewer}"
        )
    if len(steps) > 1 and checkpoint > room.cache:
        yield (
            f"a checkpoint has {_gib(checkpoint)}, and the cache is held under {_gib(room.cache)},"
            " so that each is computed again where another run goes on from it; set"
            f" COMPOSABILITY_CACHE_GIB to {-(-len(steps) * checkpoint // GIB)} or more"
        )


def _too_large(
    estimator: Estimator, plan: Plan, index: int, planned: PlannedStep, room: Room
) -> str:
    assert room.device is not None
    fitting = list(_what_fits(estimator, plan, index, planned, room))
    end = f"; it fits with {' or '.join(fitting)}" if fitting else "; nothing smaller is known"
    # the table's row has the measurements after the step, too
    what = f"{planned.name} itself" if index else f"measuring the {planned.name}"
    return (
        f"{what} needs about {_gib(planned.alone_bytes)} on the device, which has"
        f" {_gib(room.device)}{end}"
    )


def _what_fits(
    estimator: Estimator, plan: Plan, index: int, planned: PlannedStep, room: Room
) -> Iterator[str]:
    """Yield the settings with which a step fits, each rehearsed."""
    assert room.device is not None
    steps, settings = plan.composition, plan.settings
    step = steps[index - 1] if 0 < index <= len(steps) else None
    if settings.dtype == "float32":
        narrow = estimator.stage("bfloat16")
        takes = _rehearsed(narrow, plan, step)
        if _fits(takes, room.device):
            yield "dtype=bfloat16"
    for smaller in _smaller(step) if step else ():
        if _fits(_rehearsed(estimator.stage(settings.dtype), plan, smaller), room.device):
            yield smaller.spec(settings.profile)
    if settings.device != "cpu" and (planned.alone_bytes or 0) <= room.host:
        yield "device=cpu"


def _rehearsed(stage: Stage, plan: Plan, step: Intervention | None) -> Takes | Unknown:
    if step is None:
        return stage.criteria(plan.criteria, plan.measured_data)
    return stage.step(step, step.own_data(plan.data))


def _fits(takes: Takes | Unknown, size: int) -> bool:
    return isinstance(takes, Takes) and takes.peak_bytes <= size


def _smaller(step: Intervention) -> Iterator[Intervention]:
    """Yield the step with one hyperparameter that takes less memory."""
    fields = fields_of(type(step))
    if getattr(step, "master_weights", False) is True:
        yield _with(step, master_weights=False)
    for name in _HALVED:
        value = getattr(step, name) if name in fields else None
        if isinstance(value, int) and value >= 4:
            yield _with(step, **{name: value // 2})


def _with(step: Intervention, **changed: Any) -> Intervention:
    return make(step.name, **{**step.params(), **changed})


def _gib(size: int | None) -> str:
    return f"{gib(size)} GiB"
