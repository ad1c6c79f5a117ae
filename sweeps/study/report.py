"""What a study comes to: tags on its best runs, pictures and a table on its parent, one measurement on test data."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from interventions.composition import Composition
from sweeps.study import plots, selection
from sweeps.study.trial import StudyRuns, StudySpec, final_split
from sweeps.study.trial_queue import RUNS, TrialQueue
from tracking import schema

TABLE = "trials.csv"
SPEC = "composability.tuned"  # tag of the parent: the composition that the study ends with

Test = Callable[[dict[str, Any], int, StudySpec, StudyRuns], list[str]]


@dataclass(frozen=True)
class Conclusion:
    """What came of a study.

    Attributes:
        trials: one for each slot that is done.
        best: the best trial that meets the constraints, or the Pareto-optimal ones.
        chosen: of these the best compromise; None if no trial meets the constraints.
        spec: the composition that it tried; "" if there is none.
        tested: objective -> value on data that no trial has seen.
        runs: those that these values are from.
    """

    trials: list[FrozenTrial]
    best: list[FrozenTrial]
    chosen: FrozenTrial | None = None
    spec: str = ""
    tested: Mapping[str, float] = field(default_factory=dict)
    runs: tuple[str, ...] = ()


def conclude(work: StudySpec, place: StudyRuns, claims: TrialQueue, test: Test) -> Conclusion:
    """Choose, test what is chosen, and say so in the store; again, where trials were added since, and only then."""
    trials, best = claims.ended(), selection.best(claims.study)
    chosen = selection.chosen(best, claims.study.directions)
    if chosen is None:
        found = Conclusion(trials, best)
    else:
        steps: Composition = work.space.composition(FixedTrial(chosen.params))
        runs = test(chosen.params, chosen.number, work, place)
        found = Conclusion(
            trials,
            best,
            chosen,
            steps.spec(work.space.room.profile),
            _tested(work, place, runs),
            tuple(runs),
        )
    client, root = place.ledger.client, place.root
    place.ledger.finished()  # runs that others have superseded go
    if client.get_run(root).data.metrics.get("tune/trials") != len(
        trials
    ) or not client.list_artifacts(root):
        _tag(place, found)
        said = in_words(work, found, claims)
        client.set_tag(root, SPEC, found.spec)
        client.set_tag(root, schema.NOTE, f"```\n{said}\n```")
        _artifacts(work, place, claims, found, said)
        client.log_metric(root, "tune/trials", len(trials))
    return found


def in_words(work: StudySpec, found: Conclusion, claims: TrialQueue) -> str:
    """The result, for the command line and the parent run's note."""
    pruned = sum(trial.state == TrialState.PRUNED for trial in found.trials)
    lines = [
        f"{claims.study.study_name}: {len(found.trials)} trials"
        + (f", {pruned} given up early" if pruned else "")
    ]
    names = [one.name for one in work.objectives]
    bounds = ", ".join(map(str, work.constraints))
    if found.chosen is None:
        return "\n".join(
            [*lines, f"no trial meets {bounds}" if bounds else "no trial was completed"]
        )
    if len(names) > 1:
        lines.append(
            f"{len(found.best)} Pareto-optimal; chosen: the one nearest to the best of each objective"
        )
    pairs = zip(names, found.chosen.values, strict=True)
    lines += [
        f"best: {found.spec}" + (f"  (meets {bounds})" if bounds else ""),
        "  validation: " + ", ".join(f"{name} {value:.4g}" for name, value in pairs),
        f"  {final_split(work.request.settings.data)}: "
        + ", ".join(f"{name} {value:.4g}" for name, value in found.tested.items()),
        f"to run it: mlflow run . {_parameters(work, found.spec)}",
    ]
    return "\n".join(lines)


def _parameters(work: StudySpec, spec: str) -> str:
    """The spec as parameters of the main command."""
    first, *rest = spec.split(" | ")
    parts = [f'-P first="{first}"', *([f'-P second="{rest[0]}"'] if rest else [])]
    if rest[1:]:
        parts.append(f'-P then="{" | ".join(rest[1:])}"')
    asked = work.request.settings
    return " ".join(
        [
            *parts,
            *([f"-P data={asked.data} -P model={asked.model}"] if asked.data != "testbed" else []),
        ]
    )


def _tested(work: StudySpec, place: StudyRuns, runs: list[str]) -> dict[str, float]:
    """The objectives' values by the runs on test data, as their last step has them."""
    values = []
    for run_id in runs:
        metrics = place.ledger.client.get_run(run_id).data.metrics
        values.append(
            {one.criterion: schema.from_store(metrics[one.criterion]) for one in work.objectives}
        )
    return {one.name: one.of(*(each[one.criterion] for each in values)) for one in work.objectives}


def _tag(place: StudyRuns, found: Conclusion) -> None:
    """Mark the runs of the best trials, and unmark those that were so before others were added."""
    client, ledger = place.ledger.client, place.ledger
    chosen = [found.chosen] if found.chosen else []
    for tag, trials, more in ((schema.BEST, found.best, ()), (schema.CHOSEN, chosen, found.runs)):
        wanted = {run for trial in trials for run in trial.user_attrs[RUNS]["runs"]} | set(more)
        told = f"tags.`{schema.SWEEP}` = '{ledger.name}' and tags.`{tag}` = 'true'"
        marked = {
            run.info.run_id
            for run in client.search_runs([ledger.experiment_id], told, max_results=1000)
        }
        for run in marked - wanted:
            client.delete_tag(run, tag)
        for run in wanted - marked:
            client.set_tag(run, tag, "true")


def _artifacts(
    work: StudySpec, place: StudyRuns, claims: TrialQueue, found: Conclusion, said: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="composability-") as folder:
        table(work, found).to_csv(Path(folder) / TABLE, index=False)
        title = f"{claims.study.study_name}: {work.request.composition}"
        drawn = plots.figures(claims.study, work.objectives)
        (Path(folder) / plots.PAGE).write_text(plots.page(title, said, drawn))
        place.ledger.client.log_artifacts(place.root, folder)


def table(work: StudySpec, found: Conclusion) -> pd.DataFrame:
    """A row per trial: what it tried, what it came to, its runs."""
    best = {trial.number for trial in found.best}
    names = [one.name for one in work.objectives]
    rows = []
    for trial in found.trials:
        values = trial.values if trial.state == TrialState.COMPLETE else [math.nan] * len(names)
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                **trial.params,
                **dict(zip(names, values, strict=True)),
                **{f"violation of {key}": value for key, value in trial.constraints.items()},
                "best": trial.number in best,
                "chosen": found.chosen is not None and trial.number == found.chosen.number,
                "runs": " ".join(trial.user_attrs.get(RUNS, {}).get("runs", ())),
            }
        )
    return pd.DataFrame(rows)
