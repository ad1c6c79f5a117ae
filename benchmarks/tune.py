"""The paper's RMU grid against TPE with a fifth of its trials, GD's retain weight, and overhead.

`python -m benchmarks.tune` prints the README's tables: on the testbed, judged by validation data,
each chosen setting once by test data. Studies go on where they were, in the store and the cache
that are set; the whole takes half an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import optuna
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from sweeps.study.attributes import RUNS
from sweeps.study.options import TUNING_SPLIT
from sweeps.study.request import StudyRequest
from sweeps.study.runner import StudyOutcome, run_study
from sweeps.study.selection import hypervolume
from sweeps.study.spec import StudySpec
from tracking import schema, store
from tracking.run import run

REFERENCE = (1.0, 0.0)  # wmdp and mmlu of a model that forgets nothing and knows nothing
OBJECTIVE = "wmdp:min,mmlu:max"
SHORTLIST_WMDP, SHORTLIST_MMLU = 0.30, 0.55  # a setting below the one and above the other is good
TRIALS = 15  # a fifth of the 75 points of Table 5 that fit a model of six layers
SEEDS = (0, 1, 2)
_PAUSE = 5.0  # seconds between two trials after which the study was not being run

COLUMNS = (
    "",
    "trials",
    "hypervolume",
    "on the shortlist",
    "wmdp ↓",
    "mmlu",
    "wmdp ↓, test",
    "mmlu, test",
    "chosen",
)


def study(name: str, composition: str, **options: Any) -> StudyOutcome:
    """Run a study, or what is missing of it.

    Args:
        name: of the study.
        composition: what it tunes.
        **options: fields of ``StudyRequest``.
    """
    request = StudyRequest(composition, name=name, **{"objective": OBJECTIVE, **options})
    return run_study(StudySpec(request))


def grid(name: str, composition: str) -> StudyOutcome:
    """Run every point of the paper's grid that fits."""
    return study(name, composition, space="paper", sampler="grid")


def row(title: str, outcome: StudyOutcome) -> str:
    """Return a study's row: its hypervolume, and the chosen setting on both splits."""
    conclusion = outcome.conclusion
    assert conclusion.chosen is not None
    volume = hypervolume(conclusion.trials, outcome.queue.study.directions, REFERENCE)
    values = (*conclusion.chosen.values, *conclusion.tested.values())
    shown = " | ".join(f"{value:.3f}" for value in values)
    shortlisted = sum(_is_good(trial) for trial in conclusion.trials)
    count = len(conclusion.trials)
    return f"| {title} | {count} | {volume:.3f} | {shortlisted} | {shown} | `{conclusion.spec}` |"


def _is_good(trial: FrozenTrial) -> bool:
    wmdp, mmlu = trial.values
    return wmdp < SHORTLIST_WMDP and mmlu > SHORTLIST_MMLU


def overhead(outcome: StudyOutcome) -> float:
    """Return seconds a trial outside the intervention and its criteria.

    From each claim to the next, all that lies between counts.
    """
    completed = [t for t in outcome.conclusion.trials if t.state == TrialState.COMPLETE]
    seconds, last_end = 0.0, None
    for trial in sorted(completed, key=lambda trial: trial.number):
        start, end = trial.datetime_start, trial.datetime_complete
        assert start is not None and end is not None
        spent: Mapping[str, float] = trial.user_attrs[RUNS]["seconds"]
        seconds += (end - start).total_seconds() - spent["apply"] - spent["measure"]
        gap = (start - last_end).total_seconds() if last_end is not None else 0.0
        if 0 < gap < _PAUSE:
            seconds += gap
        last_end = end
    return seconds / len(completed)


def default_row(spec: str) -> str:
    """Return the row of an intervention's defaults, on both splits."""
    client = MlflowClient(store.uri())
    values = []
    for split in (TUNING_SPLIT, "test"):
        metrics = client.get_run(run(spec, split=split, checkpoints="none")).data.metrics
        values += [schema.from_store(metrics[name]) for name in ("wmdp", "mmlu")]
    volume = (1 - values[0]) * values[1]
    shown = " | ".join(f"{value:.3f}" for value in values)
    return f"| default | 1 | {volume:.3f} | | {shown} | `{spec}` |"


def head() -> str:
    """Return the head of the tables of studies."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def print_rmu() -> None:
    """Print the grid of Table 5 beside TPE, and what a trial costs by itself."""
    lines, costs = [head(), default_row("rmu")], []
    whole_grid = grid("rmu-paper", "rmu")
    lines.append(row("grid of Table 5", whole_grid))
    for kind, space in (("TPE, continuous", "default"), ("TPE, same grid", "paper")):
        for seed in SEEDS:
            name = f"rmu-tpe-{space}-{seed}"
            options = {"space": space, "sampler": "tpe", "trials": TRIALS, "sampler_seed": seed}
            outcome = study(name, "rmu", **options)
            costs.append(overhead(outcome))
            lines.append(row(f"{kind}, seed {seed}", outcome))
    print("\n".join(lines))
    mean_cost = sum(costs) / len(costs)
    print(f"\noverhead: grid {overhead(whole_grid):.2f} s a trial, TPE {mean_cost:.2f} s\n")


def print_retain_weights() -> None:
    """Print what GD's retain weight does."""
    outcome = grid("gd-weights", "gd(lr=0.001, samples=240)")
    print("| retain weight | wmdp ↓ | mmlu |\n|---|---|---|")
    weights = {trial.params["gd.retain_weight"]: trial for trial in outcome.conclusion.trials}
    for weight, trial in sorted(weights.items()):
        print(f"| {weight:g} | {trial.values[0]:.3f} | {trial.values[1]:.3f} |")
    print()


def print_defaults() -> None:
    """Print the defaults of GA and GD beside what TPE finds."""
    print(head())
    for name in ("ga", "gd"):
        print(default_row(name))
        outcome = study(f"{name}-tpe", name, sampler="tpe", trials=TRIALS)
        print(row(f"TPE for {name}", outcome))


def main() -> None:
    """Print the tables as Markdown."""
    parts = {"rmu": print_rmu, "gd": print_retain_weights, "defaults": print_defaults}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__)
    parser.add_argument("--only", choices=tuple(parts), help="one part")
    only = parser.parse_args().only
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name, print_part in parts.items():
        if only in (None, name):
            print_part()


if __name__ == "__main__":
    main()
