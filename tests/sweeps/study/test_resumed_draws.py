"""A study that is killed again and again, one process at a time, draws what it would have drawn."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import Trial, TrialState

from sweeps.study.attributes import AFTER, CLAIMANT, OWNER, SLOT
from sweeps.study.samplers import make_sampler
from sweeps.study.selection import best_trials
from sweeps.study.trial_queue import TrialQueue
from tests.sweeps.study.queues import always_silent, open_queue
from tracking import lifecycle, schema

DEAD = {schema.PID: "999999"}
SLOTS = 16
Draw = tuple[float, int, str]


def draw(trial: Trial) -> Draw:
    return (
        trial.suggest_float("z", 0, 1),
        trial.suggest_int("n", 1, 9),
        trial.suggest_categorical("kind", ("a", "b")),
    )


def loss(values: Draw) -> float:
    z, n, kind = values
    return (z - 0.3) ** 2 + abs(n - 4) / 9 + (kind == "b") / 5


def serve(queue: TrialQueue, most: int = SLOTS) -> None:
    """Run as many trials as a process does that is killed after them."""
    queue.fill()
    queue.recover_lost(always_silent)
    for _ in range(most):
        trial = queue.claim()
        if trial is None:
            return
        queue.study.tell(trial, loss(draw(trial)))


def drawn(queue: TrialQueue) -> list[Draw]:
    trials = queue.ended()
    assert [trial.user_attrs[SLOT] for trial in trials] == list(range(SLOTS))
    return [(trial.params["z"], trial.params["n"], trial.params["kind"]) for trial in trials]


def killed_before_it_drew(queue: TrialQueue) -> None:
    trial = queue.claim()
    assert trial is not None
    trial.set_user_attr(OWNER, lifecycle.process_tags() | DEAD)


def killed_while_it_ran(queue: TrialQueue) -> None:
    trial = queue.claim()
    assert trial is not None
    draw(trial)
    trial.set_user_attr(OWNER, lifecycle.process_tags() | DEAD)


def killed_before_it_signed(queue: TrialQueue) -> None:
    claimed = queue._claim_first()
    assert claimed is not None
    queue._storage.set_trial_user_attr(claimed[0], CLAIMANT, lifecycle.process_tags() | DEAD)


def interrupted(queue: TrialQueue) -> None:
    """A process that Ctrl-C ends lets go of its trial."""
    trial = queue.claim()
    assert trial is not None
    draw(trial)
    queue.study.tell(trial, state=TrialState.FAIL)


# how many trials a process ends, and how it ends itself: lost are the second slot, the sixth twice
# (in the first generation of children, and where TPE no longer draws at random), and the last
ENDS = [
    (1, killed_before_it_drew),
    (4, killed_while_it_ran),
    (0, interrupted),
    (5, killed_before_it_signed),
    (5, killed_while_it_ran),
]


# Optuna orders the parents of NSGA-II anew after the first child of a generation: the fifth trial
@pytest.mark.parametrize(("kind", "alike"), [("tpe", SLOTS), ("random", SLOTS), ("nsga2", 5)])
def test_a_study_draws_as_optuna_does_where_nothing_is_lost(
    studies: Path, kind: str, alike: int
) -> None:
    queue = open_queue(studies, SLOTS, kind=kind)
    serve(queue)
    plain = optuna.create_study()
    expected = []
    for slot in range(SLOTS):
        plain.sampler = make_sampler(kind, 0, slot, 6)
        trial = plain.ask()
        expected.append(draw(trial))
        plain.tell(trial, loss(expected[-1]))
    assert drawn(queue)[:alike] == expected[:alike]


@pytest.mark.parametrize("kind", ["tpe", "nsga2", "random"])
def test_a_study_that_is_killed_again_and_again_draws_what_it_would_have_drawn(
    tmp_path: Path, kind: str
) -> None:
    undisturbed = open_queue(tmp_path / "undisturbed", SLOTS, kind=kind)
    serve(undisturbed)
    for ended, end in ENDS:
        queue = open_queue(tmp_path / "killed", SLOTS, kind=kind)
        serve(queue, ended)
        end(queue)
    survivor = open_queue(tmp_path / "killed", SLOTS, kind=kind)
    serve(survivor)
    assert drawn(survivor) == drawn(undisturbed)
    assert sum(trial.user_attrs[AFTER] >= 0 for trial in survivor.trials()) == len(ENDS)


@pytest.mark.parametrize("kind", ["tpe", "nsga2"])
def test_a_slot_that_is_lost_while_others_go_on_draws_from_those_before_it(
    tmp_path: Path, kind: str
) -> None:
    undisturbed = open_queue(tmp_path / "undisturbed", SLOTS, kind=kind)
    serve(undisturbed)
    killed = open_queue(tmp_path / "killed", SLOTS, kind=kind)
    serve(killed, 7)
    killed_while_it_ran(killed)
    while (trial := killed.claim()) is not None:  # as another process would
        killed.study.tell(trial, loss(draw(trial)))
    serve(killed)
    assert drawn(killed)[:8] == drawn(undisturbed)[:8]


def test_of_equally_good_trials_the_first_slots_is_the_best_whatever_was_lost(
    studies: Path,
) -> None:
    killed = open_queue(studies, 3, kind="random")
    killed.fill()
    killed_while_it_ran(killed)
    survivor = open_queue(studies, 3, kind="random")
    # another process is at work: it has ended the other two when the first slot is found to be lost
    for is_first in (True, True, False):
        if not is_first:
            survivor.recover_lost(always_silent)
        trial = survivor.claim()
        assert trial is not None
        draw(trial)
        survivor.study.tell(trial, 0.5)
    assert [trial.user_attrs[SLOT] for trial in best_trials(survivor.study)] == [0]
