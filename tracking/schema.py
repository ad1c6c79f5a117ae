"""The name of everything that a run logs: params, metrics, tags, artifacts. Imports no torch."""

from __future__ import annotations

import itertools
import math
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
    "recompress",
    "checkpoints",
)
RECOMPRESSED_PARAM = "recompressed"
USED = "used."  # what a setting came to: used.dtype = float32 where dtype = auto

# metrics; MLflow's step is the number of interventions applied
STDERR = "stderr/"
COST = "cost/"
SECONDS_APPLY, SECONDS_MEASURE, PEAK_MEMORY = (
    "cost/seconds_apply",
    "cost/seconds_measure",
    "cost/peak_memory_gib",
)
SECONDS_LOAD, SECONDS_LOG = "cost/seconds_load", "cost/seconds_log"

# tags
KEY = "composability.key"
SWEEP = "composability.sweep"  # the name of the grid or study that a run is part of
ASKED_AGAIN = "composability.asked_again"  # what a sweep was asked for later, where its params say something else
SWEEP_ROOT = "composability.sweep_root"  # the same, of the run that is their parent
JOB = "composability.job"  # what the run is to compute: equal jobs, equal results
TRIAL = "composability.trial"  # the number of the study's trial that a run is
BEST = "composability.best"  # "true" on the runs of a study's best trial, or of its Pareto-optimal ones
CHOSEN = "composability.chosen"  # "true" on the runs of the one that a study ends with
PRUNED = "composability.pruned"  # after how many training steps a trial was given up
PARENT = "mlflow.parentRunId"
RECOMPRESSED = "composability.recompressed"
REUSED_PREFIX = "composability.reused_prefix"
DIVERGED = "composability.diverged"
ABOUT_INTERVENTIONS, ABOUT_CRITERIA = (
    "composability.interventions",
    "composability.criteria",
)  # see catalogue.py
PUBLISHED = "composability.published"  # the table of the paper that a run's numbers are printed in
PID, HOST = "composability.pid", "composability.host"
PROCESS_STARTED, HEARTBEAT = "composability.process_started", "composability.heartbeat"
NOTE = "mlflow.note.content"

# artifacts
CRITERIA_JSON, ITEMS, TRACEBACK, CHECKPOINTS = (
    "criteria.json",
    "items.parquet",
    "traceback.txt",
    "checkpoints",
)

ARROW = " → "
AGAIN = " (again)"


def run_name(steps: Sequence[str], again: Sequence[str] = ()) -> str:
    """The composition as the runs table shows it: ``lora → wanda(sparsity=0.25)``."""
    return ARROW.join([*steps, *(step + AGAIN for step in again)]) or "base model"


def pair(names: Iterable[str]) -> str:
    """The interventions of both orders under one name, sorted: ``lora + wanda``."""
    return " + ".join(sorted(names)) or "none"


def step_params(names: Sequence[str]) -> dict[str, str]:
    """``step1``, ``step2``, …: the interventions by position."""
    return {f"step{i}": name for i, name in enumerate(names, start=1)}


def steps(params: Mapping[str, str]) -> list[str]:
    """A run's interventions by name, those applied again included."""
    return list(itertools.takewhile(bool, (params.get(f"step{i}", "") for i in itertools.count(1))))


def hyperparameters(steps: Iterable[Intervention]) -> dict[str, str]:
    """``<intervention>.<hyperparameter>``: every one, defaults too; the same column in both orders.

    The second ``wanda`` of a composition is ``wanda_2``.
    """
    params, seen = {}, Counter[str]()
    for step in steps:
        seen[step.name] += 1
        prefix = step.name if seen[step.name] == 1 else f"{step.name}_{seen[step.name]}"
        params.update({f"{prefix}.{key}": str(value) for key, value in step.params().items()})
    return params


def checkpoint_folder(step: int, name: str) -> str:
    """Where the checkpoint after a step lies among the run's artifacts."""
    return f"{CHECKPOINTS}/{step}-{name}"


def from_store(value: float) -> float:
    """Undo what MLflow's store does to infinities: it keeps them as the largest float."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def exact(value: float) -> float | str:
    """A number as strict JSON can say it: inf and NaN as text, which ``float()`` reads back."""
    return value if math.isfinite(value) else str(value)


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without NaN: MLflow would draw it as a zero."""
    return {key: value for key, value in metrics.items() if not math.isnan(value)}
