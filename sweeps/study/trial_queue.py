"""A study whose trials are claimed: every point once and only once, whoever asks, also after a kill.

Optuna's grid sampler repeats points where several processes ask, and forgets those that failed. So here every trial is
put into the storage before it runs: the points of a grid with their values, the trials of a sampler as empty slots that
it fills when they are claimed. One that was lost with its process, or failed, is followed by another for the same slot;
of several that are put in for the same reason, by processes at once, the first counts and the others are dropped.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from interventions.errors import InvalidInput
from tracking import lifecycle, schema

SAMPLERS = ("grid", "tpe", "nsga2", "random")
PRUNERS = ("none", "median")
# attributes of a study and of its trials
ABOUT, CONCLUDED = "about", "concluded"
SLOT, AFTER, BY, ERROR, DUPLICATE, RUNS = "slot", "after", "by", "error", "duplicate", "runs"
_UNSIGNED = 60.0  # seconds after which a trial that was claimed, but says not by whom, is lost
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def sampler(name: str, seed: int, slot: int, trials: int) -> BaseSampler:
    """A sampler for one slot: what it draws depends on the slot and the trials before, not on the process."""
    own = (seed * 100_003 + slot) % 2**32  # what NumPy takes
    if name == "tpe":
        return TPESampler(seed=own, n_startup_trials=max(3, min(10, trials // 3)))
    if name == "nsga2":
        return NSGAIISampler(seed=own, population_size=max(4, min(50, trials // 4)))
    return RandomSampler(seed=own)  # of a grid nothing is left to draw


def pruner(name: str) -> BasePruner:
    """When to give a trial up: if it is worse than the median of the others at the same step."""
    return MedianPruner(n_startup_trials=4) if name == "median" else NopPruner()


class TrialQueue:
    """A study, and who runs what of it.

    Attributes:
        study: Optuna's.
        slots: how many trials it is to have.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        about: Mapping[str, str],
        directions: Sequence[str],
        points: Sequence[Mapping[str, Any]] | int,
        sampler: Callable[[int], BaseSampler],
        pruner: BasePruner,
    ) -> None:
        """Make a study or take it up.

        Args:
            storage: where it is kept.
            name: by which it is found.
            about: what makes it this study.
            directions: of its objectives.
            points: of a grid, or the number of trials.
            sampler: makes the one that fills a slot.
            pruner: decides which trials to give up.

        Raises:
            InvalidInput: there is one of that name about something else.
        """
        check(storage, name, about)
        self._storage, self._sampler = storage, sampler
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[StudyDirection[direction.upper()] for direction in directions],
            pruner=pruner,
            load_if_exists=True,
        )
        self._id = storage.get_study_id_from_name(name)
        if ABOUT not in self.study.user_attrs:
            self.study.set_user_attr(ABOUT, json.dumps(dict(about)))
        self._points = None if isinstance(points, int) else [dict(point) for point in points]
        self.slots = points if isinstance(points, int) else len(points)

    def fill(self) -> None:
        """Put in what is missing, and again what failed before."""
        there = {_unit(trial) for trial in self.trials()}
        for slot in range(self.slots):
            if (slot, -1) not in there:
                self._put(slot, -1)
        self._follow(lambda trial: True)

    def claim(self) -> Trial | None:
        """The next trial, this process's from now on; None if none waits."""
        for waiting in self.trials((TrialState.WAITING,)):
            number = self._storage.get_trial_id_from_study_id_trial_number(self._id, waiting.number)
            try:
                if not self._storage.set_trial_state_values(number, TrialState.RUNNING):
                    continue
            except UpdateFinishedTrialError:
                continue
            earlier = [
                t for t in self.trials() if _unit(t) == _unit(waiting) and t.number < waiting.number
            ]
            if earlier:
                self._storage.set_trial_user_attr(number, DUPLICATE, earlier[0].number)
                self.study.tell(waiting.number, state=TrialState.FAIL)
                continue
            self.study.sampler = self._sampler(waiting.user_attrs[SLOT])
            trial = Trial(self.study, number)
            trial.set_user_attr(BY, lifecycle.identity())
            return trial
        return None

    def lost(self, silent: Callable[[FrozenTrial], bool]) -> bool:
        """Put in again what was lost with its process, and what another has let go of; whether there was any.

        Args:
            silent: whether the process of a trial, on another host, is gone.
        """
        for trial in self.trials((TrialState.RUNNING,)):
            if _is_gone(trial, silent):
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        return self._follow(lambda trial: ERROR not in trial.user_attrs)

    @contextmanager
    def turn(self, what: str, quiet: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Hold what one process may do at a time, on whichever machine: a study of its own, which only one can make.

        Args:
            what: a name for it.
            quiet: whether no run of the study lives; what a process held that is gone is then taken over.
        """
        name, looks = f"{self.study.study_name} ({what})", 0
        while True:
            try:
                optuna.create_study(storage=self._storage, study_name=name).set_user_attr(
                    BY, lifecycle.identity()
                )
                break
            except DuplicatedStudyError:
                looks += 1
                with contextlib.suppress(KeyError):  # it was let go of meanwhile
                    by = self._storage.get_study_user_attrs(
                        self._storage.get_study_id_from_name(name)
                    ).get(BY)
                    if (by is None and looks > _UNSIGNED) or (
                        by is not None and _is_over(by, quiet)
                    ):
                        optuna.delete_study(study_name=name, storage=self._storage)
                        continue
                time.sleep(1.0)
        try:
            yield
        finally:
            with contextlib.suppress(KeyError):
                optuna.delete_study(study_name=name, storage=self._storage)

    def running(self) -> list[FrozenTrial]:
        """Those that some process is at, or that wait."""
        return self.trials((TrialState.RUNNING, TrialState.WAITING))

    def ended(self) -> list[FrozenTrial]:
        """One for each slot that is done: completed or given up."""
        return list(
            {trial.user_attrs[SLOT]: trial for trial in reversed(self.trials(_ENDED))}.values()
        )[::-1]

    def failed(self) -> dict[int, str]:
        """Slot -> why, of those whose last trial failed."""
        last: dict[int, FrozenTrial] = {}
        for trial in self.trials():
            if DUPLICATE not in trial.user_attrs:
                last[trial.user_attrs[SLOT]] = trial
        return {
            slot: trial.user_attrs.get(ERROR, "its process was killed")
            for slot, trial in last.items()
            if trial.state == TrialState.FAIL
        }

    def trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The study's trials in those states, as the storage has them now."""
        return [
            t for t in self.study.get_trials(deepcopy=False, states=states) if SLOT in t.user_attrs
        ]

    def _follow(self, again: Callable[[FrozenTrial], bool]) -> bool:
        """Put a trial in for each that failed, and has none after it."""
        trials = self.trials()
        there = {_unit(trial) for trial in trials}
        due = [
            trial
            for trial in trials
            if trial.state == TrialState.FAIL and DUPLICATE not in trial.user_attrs and again(trial)
            and (trial.user_attrs[SLOT], trial.number) not in there
        ]  # fmt: skip
        for trial in due:
            self._put(trial.user_attrs[SLOT], trial.number)
        return bool(due)

    def _put(self, slot: int, after: int) -> None:
        fixed = self._points[slot] if self._points is not None else {}
        self.study.enqueue_trial(fixed, user_attrs={SLOT: slot, AFTER: after})


def check(storage: BaseStorage, name: str, about: Mapping[str, str]) -> None:
    """Raise InvalidInput if there is a study of that name about something else."""
    try:
        found = storage.get_study_id_from_name(name)
    except KeyError:
        return
    there = storage.get_study_user_attrs(found).get(ABOUT)
    if there is None:
        if storage.get_n_trials(found):
            raise InvalidInput(f"study {name!r} was not made by this command: give another name")
        return  # another process is making it
    before = json.loads(there)
    for key in {**about, **before}:
        if before.get(key) != about.get(key):
            raise InvalidInput(
                f"study {name!r} is of {key}={before.get(key)}, and this is {key}={about.get(key)}: give another name"
            )


def _unit(trial: FrozenTrial) -> tuple[int, int]:
    return trial.user_attrs[SLOT], trial.user_attrs[AFTER]


def _is_over(by: Mapping[str, str], quiet: Callable[[], bool]) -> bool:
    return lifecycle.is_gone(by) and (by[schema.HOST] == socket.gethostname() or quiet())


def _is_gone(trial: FrozenTrial, silent: Callable[[FrozenTrial], bool]) -> bool:
    by = trial.user_attrs.get(BY)
    if by is None:
        started = trial.datetime_start or datetime.datetime.min
        return (datetime.datetime.now() - started).total_seconds() > _UNSIGNED
    if by[schema.HOST] == socket.gethostname():
        return lifecycle.is_gone(by)
    return silent(trial)
