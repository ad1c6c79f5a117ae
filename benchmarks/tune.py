"""The paper's RMU grid against TPE with a fifth of its trials, GD's retain weight, and what a trial costs by itself.

`python -m benchmarks.tune` prints the README's tables: on the testbed, judged by validation data, each chosen setting
once by test data. Studies go on where they were, in the store and the cache that are set; the whole takes half an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import optuna
from mlflow import MlflowClient
from optuna.trial import TrialState

from sweeps.study import runner, selection
from sweeps.study.runner import Ended
from sweeps.study.trial import TUNING, StudyRequest, StudySpec
from sweeps.study.trial_queue import RUNS
from tracking import schema, store
from tracking.run import run

REFERENCE = (1.0, 0.0)  # wmdp and mmlu of a model that forgets nothing and knows nothing
OBJECTIVE = "wmdp:min,mmlu:max"
TRIALS = 15  # a fifth of the 75 points of Table 5 that fit a model of six layers
SEEDS = (0, 1, 2)
_PAUSE = 5.0  # seconds between two trials after which the study was not being run


def study(name: str, composition: str, **asked: Any) -> tuple[StudySpec, Ended]:
    """Run a study, or what is missing of it."""
    work = StudySpec(StudyRequest(composition, name=name, **{"objective": OBJECTIVE, **asked}))
    return work, runner.run(work)


def grid(name: str, composition: str) -> tuple[StudySpec, Ended]:
    """Every point of the paper's grid that fits."""
    return study(name, composition, space="paper", sampler="grid")


def row(title: str, work: StudySpec, ended: Ended) -> str:
    """Hypervolume, the chosen setting on both splits, and what it is."""
    found, claims = ended.conclusion, ended.claims
    assert found.chosen is not None
    volume = selection.hypervolume(found.trials, claims.study.directions, REFERENCE)
    own = " | ".join(f"{value:.3f}" for value in (*found.chosen.values, *found.tested.values()))
    met = sum(
        values[0] < 0.30 and values[1] > 0.55 for values in (trial.values for trial in found.trials)
    )
    return f"| {title} | {len(found.trials)} | {volume:.3f} | {met} | {own} | `{found.spec}` |"


def overhead(ended: Ended) -> float:
    """Seconds a trial, outside the intervention and its criteria: from each claim to the next, all that is between."""
    trials = sorted(
        (t for t in ended.conclusion.trials if t.state == TrialState.COMPLETE),
        key=lambda t: t.number,
    )
    seconds, last = 0.0, None
    for trial in trials:
        assert trial.datetime_start is not None and trial.datetime_complete is not None
        spent: Mapping[str, float] = trial.user_attrs[RUNS]["seconds"]
        seconds += (
            (trial.datetime_complete - trial.datetime_start).total_seconds()
            - spent["apply"]
            - spent["measure"]
        )
        if last is not None and 0 < (gap := (trial.datetime_start - last).total_seconds()) < _PAUSE:
            seconds += gap
        last = trial.datetime_complete
    return seconds / len(trials)


def default(spec: str) -> str:
    """A default on both splits."""
    client = MlflowClient(store.uri())
    values = []
    for split in (TUNING, "test"):
        metrics = client.get_run(run(spec, split=split, checkpoints="none")).data.metrics
        values += [schema.from_store(metrics[name]) for name in ("wmdp", "mmlu")]
    return f"| default | 1 | {(1 - values[0]) * values[1]:.3f} | | {' | '.join(f'{v:.3f}' for v in values)} | `{spec}` |"


def head() -> str:
    """Of the tables of studies."""
    columns = (
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
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__)
    parser.add_argument("--only", choices=("rmu", "gd", "defaults"), help="one part")
    only = parser.parse_args().only
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if only in (None, "rmu"):
        lines, costs = [head(), default("rmu")], []
        whole = grid("rmu-paper", "rmu")
        lines.append(row("grid of Table 5", *whole))
        for kind, space in (("TPE, continuous", "default"), ("TPE, same grid", "paper")):
            for seed in SEEDS:
                name = f"rmu-tpe-{space}-{seed}"
                some = study(
                    name, "rmu", space=space, sampler="tpe", trials=TRIALS, sampler_seed=seed
                )
                costs.append(overhead(some[1]))
                lines.append(row(f"{kind}, seed {seed}", *some))
        print("\n".join(lines))
        print(
            f"\noverhead: grid {overhead(whole[1]):.2f} s a trial, TPE {sum(costs) / len(costs):.2f} s\n"
        )
    if only in (None, "gd"):
        _, ended = grid("gd-weights", "gd(lr=0.001, samples=240)")
        print("| retain weight | wmdp ↓ | mmlu |\n|---|---|---|")
        for trial in sorted(
            ended.conclusion.trials, key=lambda one: one.params["gd.retain_weight"]
        ):
            print(
                f"| {trial.params['gd.retain_weight']:g} | {trial.values[0]:.3f} | {trial.values[1]:.3f} |"
            )
        print()
    if only in (None, "defaults"):
        print(head())
        for name in ("ga", "gd"):
            print(default(name))
            print(row(f"TPE for {name}", *study(f"{name}-tpe", name, sampler="tpe", trials=TRIALS)))


if __name__ == "__main__":
    main()
