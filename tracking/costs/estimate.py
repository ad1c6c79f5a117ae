"""Estimate what the steps of a run take."""

from __future__ import annotations

from dataclasses import dataclass

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.criteria.base import selected
from interventions.lm import DTYPES
from interventions.rehearsal.meta import Takes
from interventions.rehearsal.speed import Speed
from interventions.rehearsal.steps import Stage, Unknown
from interventions.tokenizer import load_tokenizer
from tracking.costs.planned import PlannedStep
from tracking.costs.room import GIB
from tracking.plan import Plan, RunContext

# a process that has imported everything, without and with CUDA's libraries
_CPU_PROCESS, _CUDA_PROCESS = 1 * GIB, 3 * GIB
# to write a checkpoint, hash its files and log it, or to read it
_STORED_PER_SECOND, _READ_PER_SECOND = 4e8, 2e9
BASE, AGAIN = "base model", " (again, if it was undone)"


@dataclass(frozen=True)
class Estimator:
    """Estimates the steps of compositions under the same settings.

    Attributes:
        context: the settings, the model without its weights and the data.
        speed: of the device.
    """

    context: RunContext
    speed: Speed

    def stage(self, dtype: str) -> Stage:
        """Return the model without its weights, to rehearse on.

        Args:
            dtype: "float32", "bfloat16" or "float16".
        """
        settings = self.context.settings
        tokenizer = load_tokenizer(
            self.context.source, self.context.revision, settings.trust_remote_code
        )
        return Stage(
            self.context.anatomy,
            tokenizer,
            DTYPES[dtype],
            self.speed,
            self.context.prompt_format,
        )

    def steps(self, plan: Plan) -> list[PlannedStep]:
        """Return what each step takes, the base model's measurement first.

        A compression that another step follows may have to be applied again at the end: it is
        there twice.
        """
        stage = self.stage(plan.settings.dtype)
        measuring = stage.criteria(selected(plan.data, plan.settings.criteria), plan.measured_data)
        planned = [self._planned(plan, stage, BASE, None, measuring, disk_bytes=0)]
        again = _again(plan)
        for index, step in enumerate((*plan.composition, *again)):
            is_again = index >= len(plan.composition)
            takes = stage.step(step, step.own_data(plan.data))
            name = step.spec(plan.settings.profile) + (AGAIN if is_again else "")
            is_last = index + 1 == len(plan.composition)
            # branches' checkpoints are cached, and no run logs them
            inside = sum(1 for _ in Composition([step]).with_branches()) - 1
            stored = _stored_bytes(plan, is_last) + inside * plan.checkpoint_bytes
            held = step.stored_bytes(self.context.anatomy)  # in host memory, and then on disk
            planned.append(self._planned(plan, stage, name, takes, measuring, stored + held, held))
        return planned

    def _planned(
        self,
        plan: Plan,
        stage: Stage,
        name: str,
        applying: Takes | Unknown | None,
        measuring: Takes | Unknown,
        disk_bytes: int,
        held_bytes: int = 0,
    ) -> PlannedStep:
        known = [each for each in (applying, measuring) if isinstance(each, Takes)]
        reasons = [each.reason for each in (applying, measuring) if isinstance(each, Unknown)]
        if isinstance(measuring, Unknown):
            reasons[-1] = f"what measuring takes, as {reasons[-1]}"
        if reasons:
            return PlannedStep(name, None, None, None, disk_bytes, "; ".join(reasons))
        device = max(each.peak_bytes for each in known) + (0 if applying else stage.kept_bytes)
        weights = stage.weight_bytes
        storing = weights / (_STORED_PER_SECOND if applying else _READ_PER_SECOND)
        seconds = sum(each.seconds for each in known) + storing
        on_cpu = plan.settings.device == "cpu"
        device += held_bytes if on_cpu else 0
        host = _CPU_PROCESS + device if on_cpu else _CUDA_PROCESS + weights + held_bytes
        # the criteria come last, and are the same after every step
        return PlannedStep(name, device, host, seconds, disk_bytes, alone_bytes=known[0].peak_bytes)


def _again(plan: Plan) -> list[Intervention]:
    """Return the compressions that may be applied again: those that another step follows."""
    if plan.settings.recompress == "never":
        return []
    steps = plan.composition
    return [
        step
        for index, step in enumerate(steps)
        if step.category == "compression" and len(steps) > index + 1
    ]


def _stored_bytes(plan: Plan, is_last: bool) -> int:
    """Return what a checkpoint takes on the disk: in the cache, and as an artifact."""
    policy = plan.settings.checkpoints
    is_logged = policy in ("all", "changed") or (policy == "last" and is_last)
    return plan.checkpoint_bytes * (2 if is_logged else 1)
