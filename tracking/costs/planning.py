"""Plan a run: what it takes, without loading weights and without making a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from interventions import cache
from interventions.arguments import checked
from interventions.composition import Composition
from interventions.data.own.data_set import DataSet
from interventions.errors import InvalidInput, shown
from interventions.rehearsal.speed import speed_of
from tracking.costs.estimate import Estimator
from tracking.costs.fitting import warnings_of
from tracking.costs.planned import RunPlan
from tracking.costs.room import room_here
from tracking.passwords import check_no_passwords
from tracking.plan import RunContext
from tracking.settings import Settings

MOST_GIB = 10_000.0  # of a device


@checked
def plan(
    composition: Composition | str,
    *,
    device_gib: float = 0.0,
    model: str = "testbed",
    data: str | DataSet = "testbed",
    seed: int = 0,
    edit_batch: int = 0,
    split: str = "test",
    window: int = 0,
    stride: int = 0,
    tail: str = "keep",
    criteria: str = "all",
    limit: int = 0,
    prompt_format: str = "plain",
    recompress: str = "preset",
    checkpoints: str = "all",
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> RunPlan:
    """Say what a run would take, step by step; no weights are loaded, and no run is made.

    Every step is rehearsed on a model without weights, so that an intervention of your own is
    planned too. Where the plan is for another machine's GPU, ``device="cuda"`` with its memory as
    ``device_gib`` need not be here.

    Args:
        composition: as of ``run``, like all that follow.
        device_gib: memory of the device in GiB, where it is another machine's; 0: of the one here.
        model: "testbed", a checkpoint folder, or a Hugging Face id.
        data: what the steps learn from and what judges them.
        seed: enters every step's own seed.
        edit_batch: the index of the batch of edits.
        split: the data that judges.
        window: tokens that perplexity scores together; 0: as many as the data's own.
        stride: tokens after which perplexity's next window begins; 0: windows do not overlap.
        tail: "keep" or "drop" the last window of a text that is shorter than the others.
        criteria: what is measured; "all": what there is data for.
        limit: the most items of each criterion; 0: all.
        prompt_format: how the prompts of edits and questions are given.
        recompress: "auto", "never" or "paper".
        checkpoints: the steps whose checkpoints are logged.
        device: "auto", "cpu", "cuda" or "cuda:1".
        dtype: "auto", "float32", "bfloat16", "float16".
        trust_remote_code: whether code that comes with the model may run.
        allow_pickle: whether the model's weights may be pickled, where there are no others.

    Returns:
        Memory, seconds and disk of each step, and warnings of what will not fit, with what would
        make it fit. Printed, it is a table.

    Raises:
        InvalidInput: what ``run`` would refuse.

    Example:
        >>> planned = plan("magnitude", criteria="sparsity")
        >>> [step.name for step in planned.steps], planned.warnings
        (['base model', 'magnitude(sparsity=0.5)'], ())
    """
    values: dict[str, Any] = dict(locals())  # before any other name: the arguments as given
    del values["composition"], values["device_gib"]
    check_no_passwords({"composition": composition, "model": model})
    return plan_of(composition, Settings(**values), device_gib)


def plan_of(composition: Composition | str, settings: Settings, device_gib: float = 0.0) -> RunPlan:
    """Return what a run would take under some settings.

    Args:
        composition: text, or a Composition.
        settings: as a user gave them.
        device_gib: memory of the device, where it is another machine's; 0: of the one here.

    Raises:
        InvalidInput: what ``run`` would refuse.
    """
    if not 0 <= device_gib <= MOST_GIB:
        raise InvalidInput(
            f"device_gib must be from 0 to {MOST_GIB:g} (GiB), but got {shown(device_gib)}"
        )
    # a GPU that is elsewhere can be planned for
    context = RunContext(settings, remote=True)
    if isinstance(composition, str):
        composition = Composition.parse(composition, settings.profile)
    run = context.plan(composition)
    speed = speed_of(run.settings.device)
    estimator = Estimator(context, speed)
    steps = estimator.steps(run)
    room = room_here(run.settings.device, cache.folder(), cache.limit_gib(), device_gib)
    planned = RunPlan(
        run.spec(),
        settings.model,
        run.settings.device,
        run.settings.dtype,
        tuple(steps),
        speed.name,
    )
    return replace(planned, warnings=tuple(warnings_of(estimator, run, steps, room)))
