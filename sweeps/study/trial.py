"""One trial of a study: a run of its composition, or, where both orders are compared, a run for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow import MlflowClient
from optuna.trial import Trial, TrialState

from interventions.base import INTERVENTIONS, Intervention
from interventions.callbacks import Callback, watched
from interventions.composition import Composition, digest
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.search_space import TuningContext
from sweeps.grid.ray_runner import Resources
from sweeps.parent_run import Ledger
from sweeps.retry import StoreAway, patiently
from sweeps.study import objectives, storage, trial_queue
from sweeps.study.objectives import Constraint, Objective
from sweeps.study.search_space import Space
from sweeps.study.trial_queue import TrialQueue
from tracking import lifecycle, schema, store
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan, RunContext, profile
from tracking.run import Member, track_member
from tracking.settings import TESTBED, Settings

TUNING = "validation"


@dataclass(frozen=True)
class StudyRequest:
    """What is asked for, in plain values, so that a worker elsewhere can be told.

    Attributes:
        composition: what to tune; values that are given stay.
        settings: of the runs; judged by validation data.
        space, objective, constraint, sampler, pruner, storage: as on the command line.
        trials: how many in all; 0: as many as the grid has points.
        sampler_seed: of the sampler.
        prune_every: training steps between intermediate values.
        name: of the study; "": by what it is about.
        experiment: the runs' experiment.
        resources: what it runs on.
        params: as given, for the parent run.
    """

    composition: str
    settings: Settings = field(default_factory=lambda: Settings(checkpoints="none", split=TUNING))
    space: str = "default"
    objective: str = objectives.AUTO
    constraint: str = "none"
    sampler: str = "tpe"
    pruner: str = "none"
    storage: str = storage.JOURNAL
    trials: int = 40
    sampler_seed: int = 0
    prune_every: int = 20
    name: str = ""
    experiment: str = store.EXPERIMENT
    resources: Resources = field(default_factory=Resources)
    params: tuple[tuple[str, str], ...] = ()


class StudySpec:
    """A request, checked: what every process that serves the study knows.

    Attributes:
        request: as asked.
        ground: what trials are judged on: validation data.
        space, objectives, constraints: as read.
        points: of the grid, or the number of trials.
    """

    def __init__(self, request: StudyRequest, elsewhere: bool = False) -> None:
        """Check everything; raises InvalidInput. ``elsewhere``: the runs' device need not be here."""
        self.ground = RunContext(request.settings, elsewhere)
        self.space = Space(
            request.composition,
            request.space,
            TuningContext(self.ground.anatomy, self.ground.data, profile(request.settings.data)),
        )
        classes = [step.cls for step in self.space.steps]
        self.objectives: list[Objective] = objectives.objectives(request.objective, classes)
        self.constraints: list[Constraint] = objectives.constraints(request.constraint)
        self.points: Any = self.space.points() if request.sampler == "grid" else request.trials
        self.request = request
        self._check_pruner()
        if not request.name:
            self.request = replace(
                request, name=f"tune-{'-'.join(c.name for c in classes)}-{digest(self.about())[:8]}"
            )

    @property
    def both_orders(self) -> bool:
        """Whether the steps are run in both orders."""
        return any(one.measure for one in self.objectives)

    def about(self) -> dict[str, str]:
        """What makes this study another than others."""
        asked = self.request.settings
        return {
            "intervention": self.request.composition,
            "space": self.request.space,
            "tuned": "; ".join(f"{name}: {values}" for name, values in self.space.tuned.items()),
            "objective": objectives.in_words(self.objectives),
            "constraint": ",".join(map(str, self.constraints)) or "none",
            "sampler": self.request.sampler,
            "sampler_seed": str(self.request.sampler_seed),
            "pruner": self.request.pruner,
            **(
                {}
                if self.request.pruner == "none"
                else {"prune_every": str(self.request.prune_every)}
            ),
            "experiment": self.request.experiment,
            "model": f"{asked.model} ({self.ground.weights[:8]})",
            **{
                name: str(getattr(asked, name))
                for name in ("data", "seed", "edit_batch", "recompress")
            },
            "dtype": self.ground.settings.dtype,
        }

    def _check_pruner(self) -> None:
        """Raise InvalidInput if there is to be pruning, and nothing that could be told before the end."""
        last = self.space.steps[-1].cls
        if self.request.pruner == "none":
            return
        if len(self.objectives) > 1 or self.both_orders:
            asked = objectives.in_words(self.objectives)
            raise InvalidInput(
                f"pruner={self.request.pruner} needs one objective, a criterion of one order, but got {asked}"
            )
        if not last.reports:
            able = ", ".join(name for name, cls in INTERVENTIONS.all().items() if cls.reports)
            raise InvalidInput(
                f"pruner={self.request.pruner}: {last.name}, the last step, reports nothing before its end; {able} do"
            )

    def claims(self, kept: Checkpoints) -> TrialQueue:
        """The study, made or taken up; raises InvalidInput."""
        name = self.request.name
        request, count = (
            self.request,
            self.points if isinstance(self.points, int) else len(self.points),
        )
        opened = storage.open_storage(request.storage, kept.folder, request.experiment, name)
        return TrialQueue(
            opened,
            name,
            self.about(),
            [one.direction for one in self.objectives],
            self.points,
            lambda slot: trial_queue.sampler(request.sampler, request.sampler_seed, slot, count),
            trial_queue.pruner(request.pruner),
        )


@dataclass(frozen=True)
class StudyRuns:
    """Where a study's runs go: their parent, its sweep's ledger, and what was computed before."""

    ledger: Ledger
    root: str
    kept: Checkpoints

    @classmethod
    def of(cls, experiment_id: str, name: str, root: str, kept: Checkpoints) -> StudyRuns:
        """In a process of its own."""
        return cls(Ledger(MlflowClient(tracking_uri=store.uri()), experiment_id, name), root, kept)

    def member(self, job: str, trial: int, keep: Callable[[str], bool], **tags: str) -> Member:
        """A run's place."""
        own = {
            schema.PARENT: self.root,
            schema.SWEEP: self.ledger.name,
            schema.JOB: job,
            schema.TRIAL: str(trial),
        }
        return Member(self.ledger.experiment_id, {**own, **tags}, keep)


class Pruned(lifecycle.Stopped):
    """The pruner gave a trial up."""


def attempt(trial: Trial, claims: TrialQueue, work: StudySpec, place: StudyRuns) -> None:
    """Run a claimed trial, and tell the study what it came to.

    One that fails does not stop the others; whatever ends this process (a signal, a store that stays away) lets go of
    the trial, so that another process may take it.
    """
    slot, tell = trial.user_attrs[trial_queue.SLOT], claims.study.tell
    try:
        chains = _chains(trial, work, place, slot)
        values = [one.told(one.value(*(chain.last for chain in chains))) for one in work.objectives]
        for constraint in work.constraints:
            trial.set_constraint(str(constraint), constraint.violation(chains[0].last))
        seconds = {
            what: sum(chain.seconds[what] for chain in chains)
            for what in ("apply", "measure", "load", "log")
        }
        trial.set_user_attr(
            trial_queue.RUNS, {"runs": [chain.run_id for chain in chains], "seconds": seconds}
        )
    except Pruned as error:
        _tag_pruned(place, trial.number, error)
        tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    except (KeyboardInterrupt, lifecycle.Terminated, StoreAway):
        with contextlib.suppress(Exception):  # the storage may be what is away
            tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise
    except Exception as error:
        trial.set_user_attr(trial_queue.ERROR, lifecycle.one_line(error))
        tell(trial, state=TrialState.FAIL, skip_if_finished=True)
    else:
        tell(trial, values, skip_if_finished=True)


def _chains(trial: Trial, work: StudySpec, place: StudyRuns, slot: int) -> list[Chain]:
    steps = work.space.composition(trial)
    tuned = [work.space.is_tuned(i) for i in range(len(steps))]
    plan = work.ground.plan(steps)
    look = _look(trial, plan, work, place) if work.request.pruner != "none" else None
    chains = [_run(plan, place, f"trial-{slot}", trial.number, _shared(plan, tuned, work), look)]
    if work.both_orders:
        other = work.ground.plan(Composition(reversed(steps)))
        keep = _shared(other, tuned[::-1], work)
        chains.append(_run(other, place, f"trial-{slot}-other-order", trial.number, keep, None))
    return chains


def _run(
    plan: Plan,
    place: StudyRuns,
    job: str,
    trial: int,
    keep: Callable[[str], bool],
    look: Callback | None,
) -> Chain:
    with watched(look) if look is not None else contextlib.nullcontext():
        return patiently(lambda: track_member(plan, place.member(job, trial, keep), place.kept))


def _shared(plan: Plan, tuned: list[bool], work: StudySpec) -> Callable[[str], bool]:
    """Which checkpoints other trials will go on from: on a grid all prefixes, else those in which nothing is tuned."""
    depth = (
        len(tuned) - 1
        if work.request.space == "paper"
        else (tuned.index(True) if True in tuned else len(tuned))
    )
    return frozenset(plan.keys[: depth + 1]).__contains__


def _look(trial: Trial, plan: Plan, work: StudySpec, place: StudyRuns) -> Callback:
    """Measures the objective on intermediate models of the last step, and lets the pruner decide."""
    (objective,) = work.objectives
    data: list[Data] = []

    def look(step: Intervention, done: int, lm: LM) -> None:
        if step is not plan.composition[-1] or done % work.request.prune_every:
            return
        if not data:
            data.append(Chain(plan, place.kept).data)  # with the base model's answers
        value = measure(lm, data[0], [objective.criterion])[objective.criterion].value
        trial.report(objective.told(value), done)
        if trial.should_prune():
            raise Pruned(f"given up after {done} training steps: {objective.name} was {value:.4g}")

    return look


def _tag_pruned(place: StudyRuns, trial: int, error: Pruned) -> None:
    ledger = place.ledger
    told = f"tags.`{schema.SWEEP}` = '{ledger.name}' and tags.`{schema.TRIAL}` = '{trial}'"
    for run in ledger.client.search_runs([ledger.experiment_id], told):
        ledger.client.set_tag(run.info.run_id, schema.PRUNED, lifecycle.one_line(error))


def final_split(data: str) -> str:
    """What a setting that was tuned on "validation" is judged by."""
    return "test" if data == TESTBED else "held_out"


def test(params: dict[str, Any], trial: int, work: StudySpec, place: StudyRuns) -> list[str]:
    """Measure what a trial tried once more, on data that no trial has seen; returns the runs, old ones if there are."""
    from optuna.trial import FixedTrial

    steps = work.space.composition(FixedTrial(params))
    ground = work.ground.on(final_split(work.request.settings.data))
    finished = patiently(place.ledger.finished)
    runs = []
    for order in (steps, Composition(reversed(steps)))[: 2 if work.both_orders else 1]:
        plan = ground.plan(order)
        job = f"chosen-{plan.keys[-1]}"
        if job not in finished:
            member = place.member(job, trial, lambda key: False, **{schema.CHOSEN: "true"})
            finished[job] = patiently(lambda: track_member(plan, member, place.kept)).run_id  # noqa: B023 - called here
        runs.append(finished[job])
    return runs
