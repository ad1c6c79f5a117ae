"""What a study is, checked: its runs' context, space, objectives, constraints and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from interventions.composition import digest
from interventions.criteria.base import ALL, Criterion, criterion_of, selected
from interventions.errors import InvalidInput, shown
from interventions.search_space import TuningContext
from sweeps.study.objectives import (
    Constraint,
    Objective,
    objectives_in_words,
    read_constraints,
    read_objectives,
)
from sweeps.study.options import NONE
from sweeps.study.pruning import check_pruner, make_pruner
from sweeps.study.request import StudyRequest
from sweeps.study.samplers import make_sampler
from sweeps.study.search_space import Space
from sweeps.study.storage import open_storage
from sweeps.study.trial_queue import TrialQueue
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext
from tracking.settings import Settings, setting_text


class StudySpec:
    """A request, checked: what every process that serves the study knows.

    Attributes:
        request: what was asked for; its name is never "".
        context: what all runs of the trials have in common.
        space: the compositions that may be tried.
        objectives: what is looked for.
        constraints: what a trial must meet to be chosen.
        points: of the grid, as parameter -> value; or the number of trials.
    """

    def __init__(self, request: StudyRequest, remote: bool = False) -> None:
        """Check a request.

        Args:
            request: what is asked for.
            remote: whether trials run on other machines, so that the device need not be here.

        Raises:
            InvalidInput: one line that says what is wrong and what is valid.
        """
        self.context = RunContext(request.settings, remote)
        profile = request.settings.profile
        self.space = Space(
            request.composition,
            request.space,
            TuningContext(self.context.anatomy, self.context.data, profile),
        )
        steps = [step.cls for step in self.space.steps]
        self.objectives: list[Objective] = read_objectives(request.objective, steps, self._judge)
        self.constraints: list[Constraint] = read_constraints(request.constraint, self._judge)
        self.points: Sequence[Mapping[str, Any]] | int = (
            self.space.points() if request.sampler == "grid" else request.trials
        )
        check_pruner(request.pruner, self.objectives, steps[-1])
        self.request = request
        if not request.name:
            names = "-".join(step.name for step in steps)
            self.request = replace(request, name=f"tune-{names}-{digest(self.about())[:8]}")

    def _judge(self, name: str) -> Criterion:
        """Return a criterion that judges trials: the data can measure it, and it is measured."""
        criterion = criterion_of(self.context.data, name)
        criteria = self.context.settings.criteria
        if name not in {each.name for each in selected(self.context.data, criteria)}:
            how = f"; it is measured where it is named: criteria={ALL},{name}"
            raise InvalidInput(
                f"{name} judges the trials, so it must be among criteria={shown(criteria, 150)}"
                f"{how if criterion.opt_in else ''}"
            )
        return criterion

    @property
    def trials(self) -> int:
        """How many trials the study is to have."""
        return self.points if isinstance(self.points, int) else len(self.points)

    @property
    def both_orders(self) -> bool:
        """Whether every trial runs its steps in both orders."""
        return any(objective.compares_orders for objective in self.objectives)

    def about(self) -> dict[str, str]:
        """Return what makes this study another one than the rest, by word.

        It enters the automatic name, and a study recorded under a name must be about the same.
        """
        request, settings = self.request, self.request.settings
        about = {
            "intervention": request.composition,
            "space": request.space,
            "tuned": "; ".join(f"{name}: {values}" for name, values in self.space.tuned.items()),
            "objective": objectives_in_words(self.objectives),
            "constraint": ",".join(map(str, self.constraints)) or NONE,
            "sampler": request.sampler,
            "sampler_seed": str(request.sampler_seed),
            "pruner": request.pruner,
        }
        if request.pruner != NONE:
            about["prune_every"] = str(request.prune_every)
            if request.prune_items:
                about["prune_items"] = str(request.prune_items)
        about["experiment"] = request.experiment
        about["model"] = f"{self.context.settings.model} ({self.context.weights[:8]})"
        for name in ("data", "seed", "edit_batch", "recompress"):
            about[name] = str(getattr(self.context.settings, name))
        about["dtype"] = self.context.settings.dtype
        # of before there was a choice, studies say nothing of these
        if settings.trust_remote_code:
            about["trust_remote_code"] = setting_text(True)
        if self.context.data.window != self.context.own_window:
            about["window"] = str(self.context.data.window)
        about |= {key: str(value) for key, value in self.context.data.changed_windows.items()}
        if settings.criteria != ALL:
            about["criteria"] = settings.criteria
        if settings.limit:
            about["limit"] = str(settings.limit)
        if settings.prompt_format != Settings.prompt_format:
            about["prompt_format"] = settings.prompt_format
        return about

    def open_queue(self, checkpoints: Checkpoints) -> TrialQueue:
        """Create the study, or open the one of that name.

        Args:
            checkpoints: the cache, beside which journals are.

        Raises:
            InvalidInput: the storage cannot be reached, or has a study of that name about something
                else.
        """
        request = self.request
        storage = open_storage(
            request.storage, checkpoints.folder, request.experiment, request.name
        )
        return TrialQueue(
            storage,
            request.name,
            self.about(),
            [objective.direction for objective in self.objectives],
            self.points,
            lambda slot: make_sampler(request.sampler, request.sampler_seed, slot, self.trials),
            make_pruner(request.pruner, request.prune_every),
            {} if request.sampler == "grid" else self.space.defaults(),
        )
