"""Of two processes that claim a trial at once, one has it."""

from pathlib import Path

import pytest
from optuna.exceptions import UpdateFinishedTrialError

from tests.sweeps.study.queues import open_queue


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
