"""Name everything that a run logs: params, metrics, tags, artifacts. Imports no torch."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interventions.base import Intervention

# params
COMPOSITION, PAIR = "composition", "pair"
SETTINGS = (
    "model",
    "data",
    "seed",
    "edit_batch",
    "split",
    "dtype",
    "device",
    "window",
    "stride",
    "tail",
    "criteria",
    "limit",
    "prompt_format",
    "recompress",
    "checkpoints",
    "trust_remote_code",
    "allow_pickle",
)
# a run says them only where they are not the default: those of before had no other
UNSAID_SETTINGS = ("prompt_format", "stride", "tail")
RECOMPRESSED_PARAM = "recompressed"
USED = "used."  # what a setting came to: used.dtype = float32 where dtype = auto

FROM = "_from"  # what a part of the data was read from, where there is a choice: edits_from
DATA_FROM = f"data{FROM}"  # the file of somebody's own data
VERSION = "version"  # of an intervention: wanda.version, beside its hyperparameters

# metrics; MLflow's step is the number of interventions applied
STDERR = "stderr/"
COST = "cost/"
SECONDS_APPLY, SECONDS_MEASURE = "cost/seconds_apply", "cost/seconds_measure"
SECONDS_LOAD, SECONDS_LOG = "cost/seconds_load", "cost/seconds_log"
# the whole, and the part of applying a step; of measuring, where no step was applied
PEAK_MEMORY, STEP_MEMORY = "cost/peak_memory_gib", "cost/step_memory_gib"
# of a grid's parent: how many pairs are ranked, and the best one's
PAIRS_RANKED = "pairs/ranked"
BEST_ERROR, BEST_SENSITIVITY = "pairs/best_order_free_error", "pairs/best_order_sensitivity"

# tags
KEY = "composability.key"
SWEEP = "composability.sweep"  # the name of the grid or study that a run is part of
SWEEP_ROOT = "composability.sweep_root"  # the same name, on the run that is their parent
# what a sweep was asked for later, where its params say something else
ASKED_AGAIN = "composability.asked_again"
JOB = "composability.job"  # what the run is to compute: equal jobs, equal results
TRIAL = "composability.trial"  # the number of the study's trial that a run is
# "true" on the runs of a study's best trial, or of its Pareto-optimal ones
BEST = "composability.best"
CHOSEN = "composability.chosen"  # "true" on the runs of the trial that a study ends with
PRUNED = "composability.pruned"  # after how many training steps a trial was given up
PARENT = "mlflow.parentRunId"
RECOMPRESSED = "composability.recompressed"
# of every checkpoint that was logged, by step: one checksum of all its files. An artifact's author
# may change the sums beside it, but not a tag
CHECKSUM = "composability.checksum/"
# a hash of all weights after the last step: runs with equal ones are one replicate
WEIGHTS = "composability.weights"
# of a LoggedModel: which checkpoint of its run it is, and the steps that led to it
CHECKPOINT_STEP, CHECKPOINT_SPEC = "composability.step", "composability.steps"
# of a LoggedModel with the packed form of a checkpoint: which, and how far its weights are off
EXPORT, EXPORT_DIFFERENCE = "composability.export", "composability.export_difference"
# of a registered version: the order that an analysis recommends, and by how much it is better
RECOMMENDED, GAIN = "composability.recommended", "composability.gain"
GAIN_INTERVAL, GAIN_P = "composability.gain_interval", "composability.gain_p"
READ_BY = "composability.read_by"  # of an input: the steps and criteria that read it
LEAKAGE = "composability.leakage"  # whether what is learned from was compared with what is measured
REUSED_PREFIX = "composability.reused_prefix"
# "true" where no step was applied and nothing was measured: all came from the cache
ALL_CACHED = "composability.all_cached"
DIVERGED = "composability.diverged"
# the numbers of the steps that changed no weight: "2,3"
WITHOUT_EFFECT = "composability.without_effect"
# the criteria that could not be measured, and why: {"2": {"mmlu": "OutOfMemoryError: ..."}}, by the
# number of interventions applied
FAILED_CRITERIA = "composability.failed_criteria"
PUBLISHED = "composability.published"  # the paper's table that prints a run's numbers
CLAIM = "composability.claim"  # tags of an experiment, see store_lock.py
NOTE = "mlflow.note.content"
REJECTED = "composability.rejected"  # why the run that `mlflow run` made was refused its input
# tags that only programs read, and queries do not filter by
MACHINE = "composability_machine."
PID, HOST = f"{MACHINE}pid", f"{MACHINE}host"
PROCESS_STARTED, HEARTBEAT = f"{MACHINE}process_started", f"{MACHINE}heartbeat"
# of Linux, since 0.2: boot, pid namespace, and ticks from the boot to the process's start
PROCESS = f"{MACHINE}process"
# the facts of what a run applied and measured, see catalogue.py
ABOUT_INTERVENTIONS, ABOUT_CRITERIA = f"{MACHINE}interventions", f"{MACHINE}criteria"
_MACHINES = (
    *(PID, HOST, PROCESS_STARTED, HEARTBEAT, PROCESS),
    *(ABOUT_INTERVENTIONS, ABOUT_CRITERIA),
)

# artifacts
CRITERIA_JSON, ITEMS = "criteria.json", "items.parquet"
# the items of a run as MLflow's Evaluation view shows them, and the tag that tells it so
ITEMS_TABLE, TABLES = "items.json", "mlflow.loggedArtifacts"
TRACEBACK, CHECKPOINTS = "traceback.txt", "checkpoints"
CHECKPOINT_INDEX = f"{CHECKPOINTS}/index.json"  # which LoggedModel has a checkpoint's files
_EXTERNAL = "mlflow.model.isExternal"  # a LoggedModel without files, as versions before 0.2 made

ARROW = " → "
BAR = " | "  # between the steps of a composition
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
AGAIN = "again: "


MOST_RUN_NAME = 250  # characters: the column of MLflow's tables, which PostgreSQL enforces


def run_name(steps: Sequence[str], again: Sequence[str] = ()) -> str:
    """Return a composition as the runs table shows it.

    Args:
        steps: each step's spec.
        again: the specs of the recompressions.

    Example:
        >>> run_name(["wanda(sparsity=0.25)", "lora"], ["wanda(sparsity=0.25)"])
        'wanda(sparsity=0.25) → lora → again: wanda'
    """
    # its hyperparameters are said where it stands first
    repeated = [f"{AGAIN}{step.partition('(')[0]}" for step in again]
    name = ARROW.join([*steps, *repeated]) or "base model"
    return name if len(name) <= MOST_RUN_NAME else name[: MOST_RUN_NAME - 1] + "…"


def pair_name(names: Iterable[str]) -> str:
    """Return one name for the interventions of both orders.

    Example:
        >>> pair_name(["wanda", "lora"])
        'lora + wanda'
    """
    return " + ".join(sorted(names)) or "none"


def split_steps(composition: str) -> list[str]:
    """Return the steps of a composition's text: bars within brackets and quotes are no ends.

    Example:
        >>> split_steps("wanda | merge(lora | ft, rmu)")
        ['wanda', 'merge(lora | ft, rmu)']
    """
    # of the same length, so that places stay what they are
    plain = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), composition)
    steps, start, depth = [], 0, 0
    for place, character in enumerate(plain):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and plain.startswith(BAR, place):
            steps.append(composition[start:place])
            start = place + len(BAR)
    return [*steps, composition[start:]]


def step_params(names: Sequence[str]) -> dict[str, str]:
    """Return the params that name the interventions by position.

    Example:
        >>> step_params(["lora", "wanda"])
        {'step1': 'lora', 'step2': 'wanda'}
    """
    return {f"step{i}": name for i, name in enumerate(names, start=1)}


def step_names(params: Mapping[str, str]) -> list[str]:
    """Return the interventions that a run's params name, those applied again included.

    Example:
        >>> step_names({"step1": "lora", "step2": "wanda", "seed": "0"})
        ['lora', 'wanda']
    """
    names = (params.get(f"step{i}", "") for i in itertools.count(1))
    return list(itertools.takewhile(bool, names))


def hyperparameter_params(steps: Iterable[Intervention]) -> dict[str, str]:
    """Return every hyperparameter as ``<intervention>.<hyperparameter>``, and every version.

    The column is the same in both orders. The second ``wanda`` of a composition is ``wanda_2``.
    """
    params: dict[str, str] = {}
    count_of_name = Counter[str]()
    for step in steps:
        count_of_name[step.name] += 1
        count = count_of_name[step.name]
        prefix = step.name if count == 1 else f"{step.name}_{count}"
        params.update({f"{prefix}.{key}": str(value) for key, value in step.params().items()})
        params[f"{prefix}.{VERSION}"] = str(step.version)
    return params


def checkpoint_folder(step: int, name: str) -> str:
    """Return where the checkpoint after a step lies among the run's artifacts.

    Example:
        >>> checkpoint_folder(1, "wanda")
        'checkpoints/1-wanda'
    """
    return f"{CHECKPOINTS}/{checkpoint_name(step, name)}"


def checkpoint_name(step: int, name: str) -> str:
    """Return what the LoggedModel of the checkpoint after a step is called.

    MLflow allows neither arrows nor parameters in a model's name.

    Example:
        >>> checkpoint_name(2, "wanda")
        '2-wanda'
    """
    return f"{step}-{name}"


def is_external(tags: Mapping[str, str]) -> bool:
    """Return whether a LoggedModel's tags say that it has no files.

    Example:
        >>> is_external({"mlflow.model.isExternal": "true"})
        True
    """
    return tags.get(_EXTERNAL) == "true"


def renamed(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags with those that only programs read under their names of today.

    Until 0.2 they began as all others do.

    Example:
        >>> renamed({"composability.pid": "7", "note": "mine"})[PID]
        '7'
    """
    old_names = {f"composability.{name.removeprefix(MACHINE)}": name for name in _MACHINES}
    return {old_names[name]: text for name, text in tags.items() if name in old_names} | dict(tags)


def checksum_tag(step: int) -> str:
    """Return the tag with the checksum of the full checkpoint after a step.

    Example:
        >>> checksum_tag(1)
        'composability.checksum/1'
    """
    return f"{CHECKSUM}{step}"


def from_store(value: float) -> float:
    """Return a metric with the infinities that MLflow's store turns into the largest float.

    Example:
        >>> from_store(-sys.float_info.max)
        -inf
    """
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def json_number(value: float) -> float | str:
    """Return a number as strict JSON can hold it: inf and NaN as text that ``float()`` reads.

    Example:
        >>> json_number(0.5), json_number(math.inf)
        (0.5, 'inf')
    """
    return value if math.isfinite(value) else str(value)


def without_nan(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are not NaN, which MLflow would draw as a zero.

    Example:
        >>> without_nan({"mmlu": 0.5, "stderr/sparsity": math.nan})
        {'mmlu': 0.5}
    """
    return {key: value for key, value in metrics.items() if not math.isnan(value)}
