"""A study in a journal whose trials cost nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, Trial

from sweeps.study.options import JOURNAL
from sweeps.study.pruning import make_pruner
from sweeps.study.samplers import make_sampler
from sweeps.study.storage import open_storage
from sweeps.study.trial_queue import TrialQueue

NO_VALUES: Mapping[str, Any] = {}
POINTS = [{"x": x} for x in range(6)]
ABOUT = {"space": "paper", "objective": "y:min"}


def open_queue(
    folder: Path,
    points: Sequence[Mapping[str, Any]] | int = POINTS,
    about: Mapping[str, str] = ABOUT,
    kind: str = "grid",
    seed: int = 0,
    first: Mapping[str, Any] = NO_VALUES,
) -> TrialQueue:
    """Open the queue as a process of its own does."""
    storage = open_storage(JOURNAL, folder, "composability", "mine")
    return TrialQueue(
        storage,
        "mine",
        about,
        ["minimize"],
        points,
        lambda slot: make_sampler(kind, seed, slot, 6),
        make_pruner("none"),
        first,
    )


def run_point(queue: TrialQueue, trial: Trial) -> int:
    """Run a trial of the grid, and return its point."""
    x = trial.suggest_categorical("x", tuple(range(6)))
    queue.study.tell(trial, float(x))
    return int(x)


def run_all(queue: TrialQueue) -> list[int]:
    """Run the trials of the grid that wait, and return their points in order."""
    points = []
    while (trial := queue.claim()) is not None:
        points.append(run_point(queue, trial))
    return points


def run_drawn(queue: TrialQueue) -> list[float]:
    """Run the trials of a sampler that wait, and return what it drew, in order."""
    drawn = []
    while (trial := queue.claim()) is not None:
        drawn.append(trial.suggest_float("z", 0, 1))
        queue.study.tell(trial, drawn[-1])
    return drawn


def always_silent(trial: FrozenTrial) -> bool:
    return True
