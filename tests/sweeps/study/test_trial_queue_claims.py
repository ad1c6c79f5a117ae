"""Of two processes that claim a trial at once, one has it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from sweeps.study import trial_queue
from sweeps.study.samplers import HistorySampler
from sweeps.study.trial_queue import slot_of
from tests.sweeps.study.queues import open_queue, run_drawn


def test_a_trial_that_has_ended_meanwhile_is_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = open_queue(tmp_path)
    queue.fill()

    def ended(*arguments: object) -> None:
        raise UpdateFinishedTrialError

    monkeypatch.setattr(queue._storage, "set_trial_user_attr", ended)
    assert queue._start(0) is False
    assert queue._claim_first() is None


def test_a_sampler_sees_the_slots_before_its_own_and_not_its_own_that_was_done_before(
    studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = open_queue(studies, 4, kind="tpe")
    queue.fill()
    run_drawn(queue)
    queue._put(2, 77)
    seen_slots: list[int] = []

    def record(
        sampler: BaseSampler, history: Sequence[FrozenTrial], *others: Any
    ) -> HistorySampler:
        seen_slots.extend(slot_of(trial) for trial in history)
        return HistorySampler(sampler, history, *others)

    monkeypatch.setattr(trial_queue, "HistorySampler", record)
    assert queue.claim() is not None
    assert seen_slots == [0, 1]
