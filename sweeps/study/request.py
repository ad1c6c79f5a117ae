"""What is asked of a study, in plain values: they can be sent to a worker on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interventions.data.own.data_set import DataSet
from interventions.data.own.reading import resolved
from interventions.errors import InvalidInput, one_of, plain_text, shown
from sweeps.cluster import Resources
from sweeps.study.options import (
    AUTO,
    JOURNAL,
    MOST_TRIALS,
    NONE,
    PRUNE_EVERY,
    PRUNERS,
    SAMPLERS,
    SPACES,
    TRIALS,
    TUNING_SPLIT,
)
from sweeps.study.storage import check_storage
from sweeps.values import check_sweep_name, check_text, number_text, read_digits
from tracking import store
from tracking.passwords import check_no_passwords
from tracking.settings import SEED_LIMIT, Settings, check_window, setting_text, yes_or_no
from tracking.versions import VERSIONED, with_version

_NUMBERS = (
    "trials",
    "sampler_seed",
    "prune_every",
    "prune_items",
    "workers",
    "gpus",
    "seed",
    "edit_batch",
    "window",
    "stride",
    "limit",
)
_SWITCHES = ("trust_remote_code", "allow_pickle")


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
        prune_items: the most items that a look measures; 0: as many as the runs do.
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
    prune_items: int = 0
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
    prune_items: int | str = 0,
    name: str = AUTO,
    storage: str = JOURNAL,
    workers: int | str = 1,
    ray_address: str = NONE,
    gpus: float | str = 0,
    seed: int | str = 0,
    edit_batch: int | str = 0,
    model: str = Settings.model,
    data: str | DataSet = Settings.data,
    window: int | str = Settings.window,
    stride: int | str = Settings.stride,
    tail: str = Settings.tail,
    criteria: str = Settings.criteria,
    limit: int | str = Settings.limit,
    prompt_format: str = Settings.prompt_format,
    recompress: str = Settings.recompress,
    checkpoints: str = NONE,
    device: str = Settings.device,
    dtype: str = Settings.dtype,
    trust_remote_code: bool = Settings.trust_remote_code,
    allow_pickle: bool = Settings.allow_pickle,
    experiment: str = store.EXPERIMENT,
) -> StudyRequest:
    """Read a request from plain values, such as those of a command line; numbers may be text.

    The arguments are those of ``sweeps.study.run.tune``, which says what each means. What needs the
    model or the data is checked by ``StudySpec``.

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
    _check_types(values)
    plain_text("experiment", experiment)
    if intervention == NONE:
        raise InvalidInput("give an intervention to tune, such as rmu or 'lora | wanda'")
    space = one_of("space", space, SPACES)
    sampler = _read_sampler(sampler, space, trials)
    # as text, so that what is no number at all (None, a list) is refused in the same words
    address = "" if ray_address == NONE else ray_address
    resources = Resources.read(number_text(workers), address, number_text(gpus))
    settings = Settings(
        model=model,
        data=resolved(data),  # a worker on another machine has not the file
        seed=_read_integer("seed", seed),
        edit_batch=_read_integer("edit_batch", edit_batch),
        split=TUNING_SPLIT,
        window=check_window(_read_integer("window", window)),
        stride=_read_integer("stride", stride),
        tail=tail,
        criteria=criteria,
        limit=_read_integer("limit", limit),
        prompt_format=prompt_format,
        recompress=recompress,
        checkpoints=checkpoints,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
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
        trials=TRIALS if trials == AUTO else _read_integer("trials", trials, 1, MOST_TRIALS),
        sampler_seed=_read_integer("sampler_seed", sampler_seed),
        prune_every=_read_integer("prune_every", prune_every, 1),
        prune_items=_read_integer("prune_items", prune_items),
        name="" if name == AUTO else check_sweep_name(name),
        experiment=experiment,
        resources=resources,
        # the storage's address has a password
        params=tuple(
            (key, setting_text(with_version(key, value) if key in VERSIONED else value))
            for key, value in values.items()
            if key != "storage"
        ),
    )


def _check_types(values: Mapping[str, Any]) -> None:
    """Refuse passwords, switches that are neither true nor false, and what should be text."""
    check_no_passwords(values)
    for key, value in values.items():
        if key in _SWITCHES:
            yes_or_no(key, value)
        elif key not in _NUMBERS and not isinstance(value, DataSet):
            check_text(key, value)


def _read_sampler(sampler: str, space: str, trials: int | str) -> str:
    automatic = "grid" if space == "paper" else "tpe"
    sampler = one_of("sampler", automatic if sampler == AUTO else sampler, SAMPLERS)
    if sampler == "grid" and trials != AUTO:
        raise InvalidInput(
            f"a grid has as many trials as points, but got trials={shown(trials)};"
            " or use sampler=tpe"
        )
    return sampler


def _read_integer(name: str, value: Any, least: int = 0, most: int = SEED_LIMIT) -> int:
    number = read_digits(value) if isinstance(value, str) else value
    limit = ""
    # True is an int, but nobody means 1 by it
    if isinstance(number, int) and not isinstance(number, bool):
        if least <= number <= most:
            return number
        limit = f" and at most {most}" if number > most else ""
    raise InvalidInput(
        f"{name} must be an integer of at least {least}{limit}, but got {shown(value)}"
    )
