"""Claims: every slot once and only once."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from interventions.errors import InvalidInput
from sweeps.study import selection, storage, trial_queue
from sweeps.study.trial_queue import TrialQueue, pruner, sampler
from tracking import lifecycle, schema

POINTS = [{"x": x} for x in range(6)]
ABOUT = {"space": "paper", "objective": "y:min"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def claims(
    folder: Path, points: Any = POINTS, about: dict[str, str] = ABOUT, kind: str = "grid"
) -> TrialQueue:
    """As one process has it."""
    opened = storage.open_storage(storage.JOURNAL, folder, "composability", "mine")
    return TrialQueue(
        opened,
        "mine",
        about,
        ["minimize"],
        points,
        lambda slot: sampler(kind, 0, slot, 6),
        pruner("none"),
    )


def run_one(mine: TrialQueue, trial: Trial) -> int:
    x = trial.suggest_categorical("x", tuple(range(6)))
    mine.study.tell(trial, float(x))
    return int(x)


def silent(trial: FrozenTrial) -> bool:
    return True


def test_what_several_put_in_at_once_is_run_once(folder: Path) -> None:
    """Four threads, each with a storage of its own, as processes have."""
    ran: list[int] = []
    ready = threading.Barrier(4)

    def serve() -> None:
        mine = claims(folder)
        ready.wait()
        mine.fill()
        while (trial := mine.claim()) is not None:
            ran.append(run_one(mine, trial))

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(ran) == Counter(range(6))
    mine = claims(folder)
    assert [
        trial.params["x"] for trial in sorted(mine.ended(), key=lambda t: t.params["x"])
    ] == list(range(6))
    assert mine.running() == [] and mine.failed() == {}


def test_a_trial_lost_with_its_process_is_run_again_and_one_that_failed_only_when_asked_again(
    folder: Path,
) -> None:
    mine = claims(folder)
    mine.fill()
    killed, broken = mine.claim(), mine.claim()
    assert killed is not None and broken is not None
    killed.set_user_attr(
        trial_queue.BY, lifecycle.identity() | {schema.PROCESS_STARTED: "1.0"}
    )  # its pid is another's now
    broken.set_user_attr(trial_queue.ERROR, "out of luck")
    mine.study.tell(broken, state=TrialState.FAIL)
    other = claims(folder)
    assert other.lost(silent) and not other.lost(silent)
    ran = []
    while (trial := other.claim()) is not None:
        ran.append(run_one(other, trial))
    assert sorted(ran) == [0, 2, 3, 4, 5]
    assert other.failed() == {1: "out of luck"}
    again = claims(folder)
    again.fill()
    trial = again.claim()
    assert trial is not None and run_one(again, trial) == 1
    assert again.claim() is None and again.failed() == {} and len(again.ended()) == 6
    again.fill()
    assert again.running() == []


def test_a_trial_that_is_being_run_is_not_lost(folder: Path) -> None:
    mine = claims(folder)
    mine.fill()
    trial = mine.claim()
    assert trial is not None and not claims(folder).lost(silent)
    trial.set_user_attr(trial_queue.BY, lifecycle.identity() | {schema.HOST: "elsewhere"})
    assert not claims(folder).lost(lambda trial: False)
    assert claims(folder).lost(silent)


def test_a_sampler_fills_slots_and_more_can_be_added(folder: Path) -> None:
    for count in (4, 7):
        mine = claims(folder, count, kind="tpe")
        mine.fill()
        while (trial := mine.claim()) is not None:
            mine.study.tell(trial, trial.suggest_float("z", 0, 1))
        assert len(mine.ended()) == count == len({trial.params["z"] for trial in mine.ended()})


def test_what_a_slot_draws_depends_on_the_seed_not_on_the_process(
    folder: Path, tmp_path: Path
) -> None:
    drawn = []
    for place in ("one", "two"):
        mine = claims(tmp_path / place, 5, kind="tpe")
        mine.fill()
        while (trial := mine.claim()) is not None:
            mine.study.tell(trial, trial.suggest_float("z", 0, 1))
        drawn.append([trial.params["z"] for trial in mine.trials()])
    assert drawn[0] == drawn[1]


def test_a_name_that_belongs_to_another_study_is_refused(folder: Path) -> None:
    claims(folder)
    with pytest.raises(
        InvalidInput,
        match="study 'mine' is of space=paper, and this is space=default: give another",
    ):
        claims(folder, about=ABOUT | {"space": "default"})
    with pytest.raises(InvalidInput, match="study 'mine' is of objective=y:min"):
        storage.look(
            storage.JOURNAL, folder, "composability", "mine", ABOUT | {"objective": "y:max"}
        )
    storage.look(storage.JOURNAL, folder, "composability", "another", ABOUT)
    assert not storage.journal(folder, "composability", "another").exists()


def test_a_half_written_line_and_a_lock_of_a_killed_process_hold_nobody_up(folder: Path) -> None:
    mine = claims(folder)
    mine.fill()
    path = storage.journal(folder, "composability", "mine")
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "half')
    code = f"from filelock import FileLock; import os; FileLock({str(path) + '.lock'!r}).acquire(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code])
    trial = claims(folder).claim()
    assert trial is not None
    run_one(claims(folder), trial)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert len(claims(folder).ended()) == 1


def test_a_turn_is_one_process_at_a_time_and_one_that_was_killed_in_it_does_not_keep_it(
    folder: Path,
) -> None:
    inside, most, ready = [0], [0], threading.Barrier(3)

    def take() -> None:
        mine = claims(folder)
        ready.wait()
        with mine.turn("conclusion"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    left = claims(folder).turn("conclusion")
    left.__enter__()  # and never let go of
    dead = lifecycle.identity() | {schema.PROCESS_STARTED: "1.0"}
    opened = storage.open_storage(storage.JOURNAL, folder, "composability", "mine")
    optuna.load_study(study_name="mine (conclusion)", storage=opened).set_user_attr(
        trial_queue.BY, dead
    )
    with claims(folder).turn("conclusion"):
        assert "mine (conclusion)" in optuna.get_all_study_names(opened)
    assert optuna.get_all_study_names(opened) == ["mine"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sqlite:///studies.db",
            "SQLite runs points twice when several processes ask; use journal",
        ),
        ("mysql://host/db", "storage must be journal or postgresql://…, but got 'mysql://host/db'"),
        ("jurnal", "storage must be journal"),
    ],
)
def test_a_storage_that_would_not_do_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        storage.check(text)


def test_mlflows_own_database_is_no_storage_and_one_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = "postgresql://me:secret@127.0.0.1:9/runs"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InvalidInput, match="storage is MLflow's own database"):
        storage.check(uri)
    with pytest.raises(
        InvalidInput,
        match=r"the storage postgresql://me:\*\*\*@127.0.0.1:9/other cannot be reached",
    ):
        storage.open_storage("postgresql://me:secret@127.0.0.1:9/other", tmp_path, "any", "mine")


def completed(values: list[list[float]]) -> optuna.Study:
    made = optuna.create_study(directions=["minimize", "maximize"], sampler=RandomSampler(seed=0))
    for i, value in enumerate(values):
        trial = made.ask()
        trial.set_user_attr(trial_queue.SLOT, i)
        trial.set_constraint("second>0.1", 0.1 - value[1])
        made.tell(trial, value)
    return made


def test_the_best_are_pareto_optimal_and_meet_the_constraints_and_one_is_the_compromise() -> None:
    made = completed([[0.3, 1.0], [0.5, 1.0], [0.25, 0.9], [0.2, 0.2], [0.1, 0.05]])
    best = selection.best(made)
    assert [trial.number for trial in best] == [0, 2, 3]
    chosen = selection.chosen(best, made.directions)
    assert chosen is not None and chosen.number == 2  # scaled distances to (0.2, 1.0): 1, 0.52, 1
    assert selection.chosen([], made.directions) is None
    infeasible = completed([[0.1, 0.0]])
    assert selection.best(infeasible) == []


def test_the_hypervolume_is_the_area_that_is_dominated() -> None:
    """Reference by hand: (1 - 0.5) x 0.8 and (1 - 0.25) x 0.4, less their intersection 0.5 x 0.4."""
    made = completed([[0.5, 0.8], [0.25, 0.4], [0.6, 0.7]])
    assert selection.hypervolume(made.trials, made.directions, (1, 0)) == pytest.approx(
        0.4 + 0.3 - 0.2
    )
    assert selection.hypervolume([], made.directions, (1, 0)) == 0


def test_every_sampler_has_a_name() -> None:
    for name in trial_queue.SAMPLERS:
        made = optuna.create_study(
            directions=["minimize"] * 2, sampler=sampler(name, 123_456_789, 0, 12)
        )
        made.optimize(
            lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_int("n", 1, 3)), n_trials=6
        )
    assert os.environ["HF_HUB_OFFLINE"] == "1"
