"""The queue of a study's trials: every slot is run once and only once, also after a kill.

Optuna's grid sampler repeats points where several processes ask, and forgets those that failed. So
here every trial is put into the storage before it runs: the points of a grid with their values, the
trials of a sampler as empty slots that it fills when they are claimed. A trial that failed, or was
lost with its process, is followed by another one for the same slot. Where several processes put in
a trial for the same reason at once, the first counts, and the rest are dropped.

Slots are claimed in order, and a sampler sees only the slots before the one that it fills. So a
study that one process at a time runs has the same trials however often it was killed. Where several
run it, what a slot's sampler sees depends on which of the slots before it have ended by then.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from sweeps.study.attributes import ABOUT, AFTER, CLAIMANT, DUPLICATE, ERROR, OWNER, RUNS, SLOT
from sweeps.study.samplers import HistorySampler
from sweeps.study.storage import check_same_study
from tracking import lifecycle

_UNSIGNED_SECONDS = 60.0  # after which a trial that was claimed, but not surely by whom, is lost
_NO_VALUES: Mapping[str, Any] = MappingProxyType({})
_FIRST = -1  # AFTER of a slot's first trial
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class TrialQueue:
    """A study, and which process runs which of its trials.

    Attributes:
        study: Optuna's.
        slots: how many trials the study is to have.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        about: Mapping[str, str],
        directions: Sequence[str],
        points: Sequence[Mapping[str, Any]] | int,
        make_sampler: Callable[[int], BaseSampler],
        pruner: BasePruner,
        first: Mapping[str, Any] = _NO_VALUES,
    ) -> None:
        """Make a study, or take up the one that the storage has.

        Args:
            storage: in which it is kept.
            name: by which it is found.
            about: what it tunes and how, by word.
            directions: "minimize" or "maximize", one per objective.
            points: of a grid; or the number of trials.
            make_sampler: returns the sampler that fills a slot.
            pruner: decides which trials to give up.
            first: values that the first slot is to have; the sampler draws the others.

        Raises:
            InvalidInput: the storage has a study of that name about something else.
        """
        check_same_study(storage, name, about)
        self._storage, self._make_sampler = storage, make_sampler
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[StudyDirection[direction.upper()] for direction in directions],
            pruner=pruner,
            load_if_exists=True,
        )
        self._study_id = storage.get_study_id_from_name(name)
        if ABOUT not in self.study.user_attrs:
            self.study.set_user_attr(ABOUT, json.dumps(dict(about)))
        self._first = dict(first)
        self._points = None if isinstance(points, int) else [dict(point) for point in points]
        self.slots = points if isinstance(points, int) else len(points)
        self._claimed: tuple[int, int] | None = None  # id and slot, until the claim is complete

    def fill(self) -> None:
        """Put in a trial for every slot that has none, and again for every one that failed."""
        queued = {_reason(trial) for trial in self.trials()}
        for slot in range(self.slots):
            if (slot, _FIRST) not in queued:
                self._put(slot, _FIRST)
        self._replace_failed(lambda trial: True)

    def claim(self) -> Trial | None:
        """Return the first slot's trial, which is this process's from now on; None if none waits.

        A trial that waits for a slot before the others is claimed before them, whatever its number.
        Where the storage was away in the middle of a claim, the next call goes on with it.
        """
        while True:
            self._claimed = self._claimed or self._claim_first()
            if self._claimed is None:
                return None
            with contextlib.suppress(UpdateFinishedTrialError):
                trial = self._trial(*self._claimed)
                # last, so that a trial with which nobody goes on is known to be lost
                trial.set_user_attr(OWNER, lifecycle.process_tags())
                self._claimed = None
                return trial
            self._claimed = None  # it took so long that another process has let go of it

    def _claim_first(self) -> tuple[int, int] | None:
        """Claim the waiting trial of the first slot; return its id and its slot."""
        for waiting in sorted(self.trials((TrialState.WAITING,)), key=slot_of):
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(
                self._study_id, waiting.number
            )
            if self._start(trial_id) and not self._drop_duplicate(waiting, trial_id):
                return trial_id, slot_of(waiting)
        return None

    def _trial(self, trial_id: int, slot: int) -> Trial:
        """Return a claimed trial whose sampler sees only the slots before it."""
        sampler = self._make_sampler(slot)
        if not isinstance(sampler, RandomSampler):  # that one looks at no trial
            history = [trial for trial in self.ended() if slot_of(trial) < slot]
            write = functools.partial(self._storage.set_trial_system_attr, trial_id)
            sampler = HistorySampler(sampler, history, self.study.directions, write)
        self.study.sampler = sampler
        return Trial(self.study, trial_id)

    def recover_lost(self, is_silent: Callable[[FrozenTrial], bool]) -> bool:
        """Put in again the trials that were lost with their process, or that it has let go of.

        Args:
            is_silent: says whether the process of a trial, on another host, is gone.

        Returns:
            Whether there were any.
        """
        for trial in self.trials((TrialState.RUNNING,)):
            if _is_lost(trial, is_silent):
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        return self._replace_failed(lambda trial: ERROR not in trial.user_attrs)

    def unfinished(self) -> list[FrozenTrial]:
        """Return the trials that some process runs, and those that wait."""
        return self.trials((TrialState.RUNNING, TrialState.WAITING))

    def ended(self) -> list[FrozenTrial]:
        """Return one trial for each slot that is done, completed or given up, by slot."""
        first_by_slot: dict[int, FrozenTrial] = {}
        for trial in self.trials(_ENDED):
            first_by_slot.setdefault(slot_of(trial), trial)
        return [first_by_slot[slot] for slot in sorted(first_by_slot)]

    def attempts(self, slot: int) -> list[FrozenTrial]:
        """Return the trials that were put in for a slot, in order."""
        return [trial for trial in self.trials() if slot_of(trial) == slot]

    def run_ids(self) -> set[str]:
        """Return the ids of the runs that the completed trials name as theirs."""
        completed = self.trials((TrialState.COMPLETE,))
        names = [trial.user_attrs.get(RUNS, {"runs": []})["runs"] for trial in completed]
        return {run_id for of_trial in names for run_id in of_trial}

    def failed(self) -> dict[int, str]:
        """Return slot -> reason, of the slots whose last trial failed."""
        last_by_slot: dict[int, FrozenTrial] = {}
        for trial in self.trials():
            if DUPLICATE not in trial.user_attrs:
                last_by_slot[slot_of(trial)] = trial
        return {
            slot: trial.user_attrs.get(ERROR, "its process was killed")
            for slot, trial in last_by_slot.items()
            if trial.state == TrialState.FAIL
        }

    def trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """Return the study's trials in those states, as the storage has them now."""
        trials = self.study.get_trials(deepcopy=False, states=states)
        return [trial for trial in trials if SLOT in trial.user_attrs]

    def _start(self, trial_id: int) -> bool:
        """Claim a waiting trial; return whether this process was the first to do so."""
        try:
            # before the claim, so that who is killed right after it is known
            self._storage.set_trial_user_attr(trial_id, CLAIMANT, lifecycle.process_tags())
            return self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def _drop_duplicate(self, waiting: FrozenTrial, trial_id: int) -> bool:
        """End a trial if another was put in before it for the same reason; return whether."""
        earlier = [
            trial
            for trial in self.trials()
            if _reason(trial) == _reason(waiting) and trial.number < waiting.number
        ]
        if earlier:
            self._storage.set_trial_user_attr(trial_id, DUPLICATE, earlier[0].number)
            self.study.tell(waiting.number, state=TrialState.FAIL)
        return bool(earlier)

    def _replace_failed(self, is_due: Callable[[FrozenTrial], bool]) -> bool:
        """Put in a trial after each failed one that is due and has none; return whether any was."""
        trials = self.trials()
        queued = {_reason(trial) for trial in trials}
        due = []
        for trial in trials:
            has_failed = trial.state == TrialState.FAIL and DUPLICATE not in trial.user_attrs
            has_replacement = (slot_of(trial), trial.number) in queued
            if has_failed and not has_replacement and is_due(trial):
                due.append(trial)
        for trial in due:
            self._put(slot_of(trial), trial.number)
        return bool(due)

    def _put(self, slot: int, after: int) -> None:
        first = self._first if slot == 0 else {}
        values = self._points[slot] if self._points is not None else first
        self.study.enqueue_trial(values, user_attrs={SLOT: slot, AFTER: after})


def slot_of(trial: FrozenTrial) -> int:
    """Return which of the study's places a trial fills."""
    return int(trial.user_attrs[SLOT])


def _reason(trial: FrozenTrial) -> tuple[int, int]:
    """Return why a trial was put in: two trials with one reason are duplicates."""
    return slot_of(trial), trial.user_attrs[AFTER]


def _is_lost(trial: FrozenTrial, is_silent: Callable[[FrozenTrial], bool]) -> bool:
    owner = trial.user_attrs.get(OWNER)
    if owner is None:
        claimant = trial.user_attrs.get(CLAIMANT)
        if claimant and lifecycle.is_here(claimant) and lifecycle.is_process_gone(claimant):
            return True
        # the claimant lives, is elsewhere, or is one that came second
        started = trial.datetime_start or datetime.datetime.min
        return (datetime.datetime.now() - started).total_seconds() > _UNSIGNED_SECONDS
    if lifecycle.is_here(owner):
        return lifecycle.is_process_gone(owner)
    return is_silent(trial)
