"""What a study comes to: the best trials, the chosen one, and its values on unseen data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from optuna.trial import FixedTrial, FrozenTrial

from sweeps.study.final_test import measure_chosen
from sweeps.study.selection import best_trials, choose
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial_queue import TrialQueue


@dataclass(frozen=True)
class Conclusion:
    """What a study comes to.

    Attributes:
        trials: one for each slot that is done.
        best: the best trial that meets the constraints, or the Pareto-optimal ones.
        chosen: the best compromise among these; None if no trial meets the constraints.
        spec: the composition that the chosen trial tried; "" if there is none.
        tested: objective -> value on data that no trial has seen.
        test_runs: ids of the runs that these values are from.
    """

    trials: Sequence[FrozenTrial]
    best: Sequence[FrozenTrial]
    chosen: FrozenTrial | None = None
    spec: str = ""
    tested: Mapping[str, float] = field(default_factory=dict)
    test_runs: tuple[str, ...] = ()


def conclude(spec: StudySpec, study_runs: StudyRuns, queue: TrialQueue) -> Conclusion:
    """Choose a trial, and measure what it tried on the final split unless that is done already."""
    trials, best = queue.ended(), best_trials(queue.study)
    chosen = choose(best, queue.study.directions)
    if chosen is None:
        return Conclusion(trials, best)
    steps = spec.space.composition(FixedTrial(chosen.params))
    test_runs = measure_chosen(chosen.params, chosen.number, spec, study_runs, queue.run_ids())
    return Conclusion(
        trials,
        best,
        chosen,
        steps.spec(spec.space.tuning_context.profile),
        _tested_values(spec, study_runs, test_runs),
        tuple(test_runs),
    )


def _tested_values(
    spec: StudySpec, study_runs: StudyRuns, run_ids: Sequence[str]
) -> dict[str, float]:
    """Return the objectives' values by the runs of the final test."""
    client = study_runs.parent.client
    paths = [study_runs.path(client.get_run(run_id), spec.objectives) for run_id in run_ids]
    return {objective.name: objective.from_paths(*paths) for objective in spec.objectives}
