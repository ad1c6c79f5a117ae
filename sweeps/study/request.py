"""What is asked of a study, in plain values: they can be sent to a worker on another machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from interventions.errors import InvalidInput, one_of
from sweeps.cluster import Resources
from sweeps.study.options import (
    AUTO,
    JOURNAL,
    NONE,
    PRUNE_EVERY,
    PRUNERS,
    SAMPLERS,
    SPACES,
    TRIALS,
    TUNING_SPLIT,
)
from sweeps.study.storage import check_storage
from sweeps.values import check_sweep_name
from tracking import store
from tracking.settings import Settings

_NUMBERS = ("trials", "sampler_seed", "prune_every", "workers", "gpus", "seed", "edit_batch")


@dataclass(frozen=True)
class StudyRequest:
    """What is asked of a study.

    Attributes:
        composition: what to tune; values that it has stay as they are.
        settings: of the runs; validation data judge them.
        space, objective, constraint, sampler, pruner, storage: as on the command line.
        trials: how many in all; a grid has as many as points.
        sampler_seed: of the sampler.
        prune_every: training steps between two looks of the pruner.
        name: of the study; "" derives it from what the study is about.
        experiment: name of the MLflow experiment.
        resources: what the study runs on.
        params: of the parent run, as a user gave them.
    """

    composition: str
    settings: Settings = field(
        default_factory=lambda: Settings(checkpoints=NONE, split=TUNING_SPLIT)
    )
    space: str = SPACES[0]
    objective: str = AUTO
    constraint: str = NONE
    sampler: str = "tpe"
    pruner: str = NONE
    storage: str = JOURNAL
    trials: int = TRIALS
    sampler_seed: int = 0
    prune_every: int = PRUNE_EVERY
    name: str = ""
    experiment: str = store.EXPERIMENT
    resources: Resources = field(default_factory=Resources)
    params: tuple[tuple[str, str], ...] = ()


def read_study_request(
    intervention: str,
    *,
    space: str = SPACES[0],
    objective: str = AUTO,
    constraint: str = NONE,
    sampler: str = AUTO,
    trials: int | str = AUTO,
    sampler_seed: int | str = 0,
    pruner: str = NONE,
    prune_every: int | str = PRUNE_EVERY,
    name: str = AUTO,
    storage: str = JOURNAL,
    workers: int | str = 1,
    ray_address: str = NONE,
    gpus: float | str = 0,
    seed: int | str = 0,
    edit_batch: int | str = 0,
    model: str = Settings.model,
    data: str = Settings.data,
    recompress: str = Settings.recompress,
    checkpoints: str = NONE,
    device: str = Settings.device,
    dtype: str = Settings.dtype,
    experiment: str = store.EXPERIMENT,
) -> StudyRequest:
    """Read a request from plain values, such as those of a command line; numbers may be text.

    What needs the model or the data is checked by ``StudySpec``.

    Args:
        intervention: what to tune, such as "rmu" or "lora | wanda(sparsity=0.5)".
        space: "default" (continuous) or "paper" (the grid of its Tables 5-7).
        objective: "wmdp:min,mmlu:max"; "auto" takes the criteria that judge the interventions.
        constraint: "mmlu>0.55,wmdp<0.30", or "none".
        sampler: one of ``options.SAMPLERS``; "auto" takes the grid of the paper's space, else TPE.
        trials: how many in all; "auto" is 40, or every point of a grid.
        sampler_seed: another one draws other trials.
        pruner: "median" gives up trials that are worse than half of the rest; "none".
        prune_every: training steps between two looks of the pruner.
        name: a study of that name goes on; "auto" derives it from what the study is about.
        storage: "journal" (a file beside the checkpoints), or the URL of a PostgreSQL database.
        workers: processes; more than one run on Ray.
        ray_address: of a Ray cluster, such as "10.0.0.1:6379"; "none" starts one if it is needed.
        gpus: GPUs per worker.
        seed: enters every step's own seed.
        edit_batch: index of the batch of edits.
        model: "testbed", a checkpoint folder, or a Hugging Face id.
        data: "testbed" or "paper".
        recompress: "auto", "never" or "paper".
        checkpoints: whose checkpoints are logged: "all", "last", "changed" or "none".
        device: "auto", "cpu" or "cuda".
        dtype: "auto", "float32", "bfloat16" or "float16".
        experiment: name of the MLflow experiment.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.

    Example:
        >>> read_study_request("rmu", space="paper").sampler
        'grid'
        >>> read_study_request("rmu", trials=0)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: trials must be an integer of at least 1, but got 0
    """
    values = dict(locals())  # before any other name: the arguments as they were given
    for key, value in values.items():
        if key not in _NUMBERS:
            _check_text(key, value)
    if intervention == NONE:
        raise InvalidInput("give an intervention to tune, such as rmu or 'lora | wanda'")
    space = one_of("space", space, SPACES)
    automatic = "grid" if space == "paper" else "tpe"
    sampler = one_of("sampler", automatic if sampler == AUTO else sampler, SAMPLERS)
    if sampler == "grid" and trials != AUTO:
        raise InvalidInput(
            f"a grid has as many trials as points, but got trials={trials}; or use sampler=tpe"
        )
    # as text, so that what is no number at all (None, a list) is refused in the same words
    resources = Resources.read(str(workers), "" if ray_address == NONE else ray_address, str(gpus))
    settings = Settings(
        model=model,
        data=data,
        seed=_read_integer("seed", seed),
        edit_batch=_read_integer("edit_batch", edit_batch),
        split=TUNING_SPLIT,
        recompress=recompress,
        checkpoints=checkpoints,
        device=device,
        dtype=dtype,
    )
    return StudyRequest(
        composition=intervention,
        settings=resources.settings(settings),
        space=space,
        objective=objective,
        constraint=constraint,
        sampler=sampler,
        pruner=one_of("pruner", pruner, PRUNERS),
        storage=check_storage(storage),
        trials=TRIALS if trials == AUTO else _read_integer("trials", trials, least=1),
        sampler_seed=_read_integer("sampler_seed", sampler_seed),
        prune_every=_read_integer("prune_every", prune_every, least=1),
        name="" if name == AUTO else check_sweep_name(name),
        experiment=experiment,
        resources=resources,
        # the storage's address has a password
        params=tuple((key, str(value)) for key, value in values.items() if key != "storage"),
    )


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be text, but got {value!r}")


def _read_integer(name: str, value: Any, least: int = 0) -> int:
    # int() would also take True, and cut 2.5 to 2
    readable = isinstance(value, int | str) and not isinstance(value, bool)
    try:
        number = int(value) if readable else least - 1
    except ValueError:
        number = least - 1
    if number < least:
        raise InvalidInput(f"{name} must be an integer of at least {least}, but got {value!r}")
    return number
