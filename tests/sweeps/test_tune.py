"""Studies in one process and in several: nothing twice, nothing lost, nothing of the test data seen before the end."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run

from analysis.metrics.align import settings_of
from benchmarks.postgres import lacking, postgres
from interventions.base import Intervention
from interventions.callbacks import watched
from interventions.composition import Composition, apply
from interventions.criteria.base import CRITERIA, measure
from interventions.data import testbed as bed
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.unlearning.ga import GA, LEARNING_RATES
from sweeps.grid import runner as grid_runner
from sweeps.grid import spec
from sweeps.grid.runner import Incomplete
from sweeps.study import command, report, runner, storage
from sweeps.study.trial import StudyRequest, StudySpec
from tests.peers import environment
from tests.sweeps.conftest import few, made
from tracking import query, schema, store
from tracking.catalogue import Catalogue
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext
from tracking.settings import Settings

ROOT = Path(__file__).parents[2]
SPEC = "ga(samples=4, last_layers=1)"  # its learning rates are open
RATES = (1e-5, 1e-4, 5e-4, 1e-3)


def work(composition: str = SPEC, **asked: Any) -> StudySpec:
    """A small study."""
    usual = {"objective": "edit_locality:max", "space": "paper", "sampler": "grid", "name": "mine"}
    return StudySpec(StudyRequest(composition, **{**usual, **asked}))


def runs(filter: str = "", status: str = "FINISHED") -> list[Run]:
    """The study's runs with that status."""
    told = f"tags.`{schema.SWEEP}` = 'mine' and attributes.status = '{status}'{filter}"
    return list(MlflowClient(store.uri()).search_runs([store.experiment()], told))


def trials() -> list[Run]:
    return runs(" and params.split = 'validation'")


def root() -> Run:
    (found,) = MlflowClient(store.uri()).search_runs(
        [store.experiment()], f"tags.`{schema.SWEEP_ROOT}` = 'mine'"
    )
    return found


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four points instead of the paper's eight."""
    monkeypatch.setattr(GA, "grid", {"lr": RATES, "samples": (10,)})


@pytest.fixture
def fresh(tmp_path: Path, local_store: str) -> Checkpoints:
    """A cache of the test's own, and a store."""
    return Checkpoints(tmp_path / "cache")


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Applied:
    """The interventions that are applied; a ``before`` may be set that is called with each."""
    found = Applied()

    def noted(step: Intervention, lm: LM, data: Data, key: str) -> LM:
        found.append(step)
        found.before(step)
        return apply(step, lm, data, key)

    monkeypatch.setattr("tracking.chain.apply", noted)
    return found


class Applied(list[Intervention]):
    """Notes, and fails where it is told to."""

    before: Callable[[Intervention], None] = staticmethod(lambda step: None)


def test_every_point_is_one_run_under_one_parent_and_the_chosen_one_is_measured_once_on_test_data(
    fresh: Checkpoints,
) -> None:
    ended = runner.run(work(), fresh)
    assert {float(run.data.params["ga.lr"]) for run in trials()} == set(RATES) and len(
        trials()
    ) == 4
    assert {run.data.tags[schema.PARENT] for run in runs()} == {root().info.run_id} == {ended.root}
    assert {run.data.tags[schema.TRIAL] for run in trials()} == set("0123")
    (tested,) = runs(" and params.split = 'test'")
    assert (
        tested.data.params["composition"] == ended.conclusion.spec == root().data.tags[report.SPEC]
    )
    assert (root().info.status, root().info.run_name) == ("FINISHED", "mine")
    (best,) = (run for run in trials() if run.data.tags.get(schema.BEST) == "true")
    assert best.data.metrics["edit_locality"] == max(
        run.data.metrics["edit_locality"] for run in trials()
    )
    assert {run.info.run_id for run in runs(f" and tags.`{schema.CHOSEN}` = 'true'")} == {
        best.info.run_id,
        tested.info.run_id,
    }
    again = runner.run(work(), fresh)
    assert again.before == 4 and len(runs()) == 5 and again.conclusion.runs == (tested.info.run_id,)


def test_the_parent_has_a_table_and_pictures_that_open_offline(fresh: Checkpoints) -> None:
    runner.run(
        work(objective="edit_locality:max,edit_success:max", constraint="edit_locality>=0"), fresh
    )
    folder = Path(download_artifacts(run_id=root().info.run_id, artifact_path=""))
    table = pd.read_csv(folder / "trials.csv")
    assert len(table) == 4 and set(table.state) == {"complete"} and table.chosen.sum() == 1
    assert {"ga.lr", "edit_locality", "edit_success", "violation of edit_locality>=0"} <= set(table)
    assert set(" ".join(table.runs).split()) == {run.info.run_id for run in trials()}
    page = (folder / "study.html").read_text()
    for title in ("Pareto front", "Importance for edit_locality", "Slices of edit_success"):
        assert f"<h2>{title}</h2>" in page
    assert 'src="http' not in page and "Plotly.newPlot" in page
    assert 'mlflow run . -P first="ga(lr=' in root().data.tags[schema.NOTE]


def test_trials_are_read_by_the_query_like_any_composition_and_apart_from_tests(
    fresh: Checkpoints,
) -> None:
    runner.run(work(), fresh)
    frame = query.compositions(filter=f"tags.`{schema.SWEEP}` = 'mine'")
    assert Counter(frame.split) == {"validation": 4, "test": 1}
    assert frame["ga.lr"].nunique() == 4 and set(frame.pair) == {"ga"}
    assert "split" in settings_of(frame, Catalogue())


def test_tuning_sees_no_test_data_and_the_test_no_validation_data(
    fresh: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a criterion or a method is shown in a trial is of the validation split, in the one test of the other."""
    seen: list[tuple[str, Data]] = []
    plain = measure

    def noted(lm: LM, data: Data, names: Any = None) -> Any:
        seen.append((data.questions.split, data))
        return plain(lm, data, names)

    def learned(step: Intervention, lm: LM, data: Data, key: str) -> LM:
        seen.append((data.questions.split, data))
        return apply(step, lm, data, key)

    monkeypatch.setattr("tracking.chain.measure", noted)
    monkeypatch.setattr("tracking.chain.apply", learned)
    runner.run(work("ft(steps=1, layers=(1,))", space="default", sampler="tpe", trials=3), fresh)
    order = [split for split, _ in seen]
    assert order == sorted(order, reverse=True) and set(order) == {
        "validation",
        "test",
    }  # tests come last
    parts = ("edits", "locality", "test_text")
    shown = {
        s: {part: {str(i) for at, d in seen if at == s for i in getattr(d, part)} for part in parts}
        for s in set(order)
    }
    for part in parts:
        assert shown["validation"][part] and not shown["validation"][part] & shown["test"][part]
        other = bed.testbed(0, "validation")
        assert shown["validation"][part] <= {str(i) for i in getattr(other, part)}
    questions = {
        split: RunContext(Settings(split=split)).data.identity("questions")
        for split in ("test", "validation")
    }
    assert len(set(questions.values())) == 2
    assert {run.data.params["split"] for run in trials()} == {"validation"}


def test_what_is_learned_from_is_shared_between_the_splits_and_what_is_judged_by_is_not(
    local_store: str,
) -> None:
    test, validation = (
        RunContext(Settings(split=split)).plan(Composition.parse("wanda"))
        for split in ("test", "validation")
    )
    assert test.keys == validation.keys
    edits = [
        RunContext(Settings(split=split)).plan(Composition.parse("ft")).keys
        for split in ("test", "validation")
    ]
    assert edits[0][0] == edits[1][0] and edits[0][1] != edits[1][1]
    locality = CRITERIA.get("edit_locality")
    assert locality.identity(test.data) != locality.identity(validation.data)


def test_trials_share_prefixes_and_values_with_grids(fresh: Checkpoints, applied: Applied) -> None:
    """The grid has applied all four; the study applies one of them again, to measure it on test data."""
    jobs = made(f"ga(samples=4, last_layers=1, lr={list(RATES)})", (1,), split="validation")
    grid_runner.run(grid_runner.CompositionGrid("grid", jobs), fresh)
    assert len(applied) == 4
    applied.clear()
    runner.run(work(), fresh)
    assert len(trials()) == 4 and len(applied) == 1
    applied.clear()
    prefix = "wanda(samples=4, sparsity=0.5)"
    grid_runner.run(
        grid_runner.CompositionGrid(
            "other", made(f"{prefix}; {SPEC}", split="validation", recompress="never")
        ),
        fresh,
    )
    applied.clear()
    asked = Settings(split="validation", checkpoints="none", recompress="never")
    runner.run(work(f"{prefix} | {SPEC}", name="composed", settings=asked), fresh)
    assert {step.name for step in applied} == {"ga"}  # the checkpoint after Wanda was there


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(
    fresh: Checkpoints, applied: Applied, capsys: pytest.CaptureFixture[str]
) -> None:
    def unlucky(step: Intervention) -> None:
        if step.params()["lr"] == 1e-4:
            raise RuntimeError("out of luck")

    applied.before = unlucky
    with pytest.raises(Incomplete, match=r"1 of 4 failed; .*\n  trial of slot 1: out of luck"):
        runner.run(work(), fresh)
    assert len(trials()) == 3 and len(runs(status="FAILED")) == 1 and root().info.status == "FAILED"
    applied.before = lambda step: None
    ended = runner.run(work(), fresh)
    assert ended.before == 3 and len(trials()) == 4 and runs(status="FAILED") == []
    assert root().info.status == "FINISHED"


@pytest.mark.parametrize("at", [1, 3])
def test_ctrl_c_leaves_no_run_running_and_the_same_again_runs_what_is_missing(
    fresh: Checkpoints, applied: Applied, at: int
) -> None:
    def interrupt(step: Intervention) -> None:
        if len(applied) == at:
            raise KeyboardInterrupt

    applied.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        runner.run(work(), fresh)
    assert (
        len(runs(status="KILLED")) == 1
        and root().info.status == "KILLED"
        and len(trials()) == at - 1
    )
    runner.run(work(), fresh)
    assert len({run.data.params["ga.lr"] for run in trials()}) == len(trials()) == 4
    assert runs(status="KILLED") == runs(status="RUNNING") == []


def test_both_orders_are_run_where_they_are_compared(fresh: Checkpoints) -> None:
    asked = {"space": "default", "sampler": "random", "trials": 2}
    objective = "order_sensitivity:edit_success,order_free_error:edit_locality"
    settings = Settings(split="validation", checkpoints="none", recompress="never")
    study = work(
        "wanda(samples=4) | ft(steps=2, layers=(1,))",
        objective=objective,
        settings=settings,
        **asked,
    )
    ended = runner.run(study, fresh)
    by_trial: dict[str, dict[str, Run]] = {}
    for run in trials():
        by_trial.setdefault(run.data.tags[schema.TRIAL], {})[run.data.params["step1"]] = run
    assert len(by_trial) == 2 and all(
        set(orders) == {"wanda", "ft"} for orders in by_trial.values()
    )
    for trial in ended.conclusion.trials:
        values = [by_trial[str(trial.number)][first].data for first in ("wanda", "ft")]
        assert values[0].params["ft.lr"] == values[1].params["ft.lr"]
        success, locality = (
            [each.metrics[name] for each in values] for name in ("edit_success", "edit_locality")
        )
        assert trial.values == pytest.approx([abs(success[0] - success[1]), 1 - max(locality)])
    assert len(ended.conclusion.runs) == 2 == len(runs(" and params.split = 'test'"))


def test_what_is_worse_than_half_of_the_others_is_given_up_and_no_query_for_finished_runs_sees_it(
    fresh: Checkpoints,
) -> None:
    asked = {
        "space": "default",
        "sampler": "random",
        "pruner": "median",
        "prune_every": 2,
        "trials": 10,
    }
    ended = runner.run(
        work("ft(steps=8, layers=(3,))", objective="edit_success:max", **asked), fresh
    )
    pruned = [trial for trial in ended.conclusion.trials if trial.state.name == "PRUNED"]
    assert pruned and len(trials()) == 10 - len(pruned)
    assert all(trial.last_step is not None and trial.last_step < 8 for trial in pruned)
    killed = runs(status="KILLED")
    assert {int(run.data.tags[schema.TRIAL]) for run in killed} == {
        trial.number for trial in pruned
    }
    assert all(run.data.tags[schema.PRUNED].startswith("given up after ") for run in killed)
    finished = query.compositions(
        filter=f"tags.`{schema.SWEEP}` = 'mine' and attributes.status = 'FINISHED'"
    )
    assert len(finished) == 10 - len(pruned) + 1
    assert (
        runner.run(
            work("ft(steps=8, layers=(3,))", objective="edit_success:max", **asked), fresh
        ).before
        == 10
    )


@pytest.mark.parametrize("name", ["ga", "gd", "rmu", "ft", "lora"])
def test_a_model_that_is_looked_at_while_it_learns_ends_as_one_that_is_not(name: str) -> None:
    data = dataclasses.replace(few(), base_answers=None)
    given = {"ga": "samples=8", "gd": "samples=8, retain_batch=2", "rmu": "steps=2, batch=2"}.get(
        name, "steps=2"
    )
    (step,) = Composition.parse(f"{name}({given})")
    assert step.reports
    seen: list[int] = []

    def look(reporter: Intervention, done: int, lm: LM) -> None:
        assert reporter is step
        seen.append(done)
        measure(lm, data, ["edit_success", "edit_locality"])

    key = "0123456789abcdef" * 2
    alone = apply(step, LM.load(MODEL), data, key).fingerprint()
    with watched(look):
        assert apply(step, LM.load(MODEL), data, key).fingerprint() == alone
    assert seen == [1, 2]


def test_a_study_with_nothing_that_meets_its_constraints_says_so(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--intervention",
        SPEC,
        "--space",
        "paper",
        "--objective",
        "edit_locality",
        "--name",
        "mine",
    ]
    assert command.main([*arguments, "--constraint", "edit_locality>1"]) == 0
    assert "no trial meets edit_locality>1" in capsys.readouterr().out
    assert runs(" and params.split = 'test'") == [] and root().data.tags[report.SPEC] == ""


def test_a_study_goes_on_with_more_trials_and_its_best_may_be_another(fresh: Checkpoints) -> None:
    asked = {"space": "default", "sampler": "tpe", "objective": "edit_success:max"}
    for count in (3, 8):
        ended = runner.run(work("ft(steps=4)", trials=count, **asked), fresh)
        assert len(trials()) == count == len(ended.conclusion.trials)
        best = {run.info.run_id for run in runs(f" and tags.`{schema.BEST}` = 'true'")}
        (one,) = ended.conclusion.best
        assert best == set(one.user_attrs["runs"]["runs"])
        chosen = {run.info.run_id for run in runs(f" and tags.`{schema.CHOSEN}` = 'true'")}
        assert chosen == best | set(ended.conclusion.runs)


def test_the_run_that_mlflow_run_made_is_the_parent(
    fresh: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = MlflowClient().create_run(store.experiment()).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    runner.run(work(params=(("intervention", SPEC),)), fresh)
    assert root().info.run_id == launched and root().data.params["intervention"] == SPEC


def test_a_dry_run_says_what_would_run_and_runs_nothing(
    local_store: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    arguments = [
        "--intervention",
        "rmu",
        "--space",
        "paper",
        "--objective",
        "edit_locality",
        "--dry_run",
        "true",
    ]
    assert command.main(arguments) == 0
    said = capsys.readouterr().out
    assert ": 75 trials of rmu by grid on space=paper, judged by validation data" in said
    assert "rmu.layer: 12 of 15 left out (6, 7," in said
    assert "then measured once with split=test" in said
    assert (
        MlflowClient().search_runs([store.experiment()]) == []
        and not (tmp_path / "cache" / "studies").exists()
    )


BAD = [
    ([], "give an intervention to tune"),
    (
        ["--intervention", "rmu", "--sampler", "tpee"],
        "sampler must be grid or tpe or nsga2 or random, but got 'tpee'",
    ),
    (
        ["--intervention", "rmu", "--space", "papr"],
        "space must be default or paper, but got 'papr'",
    ),
    (["--intervention", "rmu", "--objective", "wmpd:min"], "no criterion is named 'wmpd'"),
    (
        ["--intervention", "rmu", "--constraint", "edit_success=1"],
        "cannot read the constraint 'edit_success=1'",
    ),
    (["--intervention", "rmu", "--sampler", "grid"], "sampler=grid needs space=paper"),
    (
        ["--intervention", "rmu", "--space", "paper", "--trials", "5"],
        "a grid has as many trials as points",
    ),
    (
        ["--intervention", "rmu", "--trials", "0"],
        "trials must be an integer of at least 1, but got '0'",
    ),
    (
        ["--intervention", "rmu", "--sampler_seed", "x"],
        "sampler_seed must be an integer of at least 0, but got 'x'",
    ),
    (["--intervention", "rmu", "--storage", "sqlite:///x.db"], "SQLite runs points twice"),
    (
        ["--intervention", "rmu", "--pruner", "half"],
        "pruner must be none or median, but got 'half'",
    ),
    (["--intervention", "rmu", "--pruner", "median"], "pruner=median needs one objective"),
    (
        ["--intervention", "wanda", "--pruner", "median", "--objective", "edit_success"],
        "wanda, the last step, reports",
    ),
    (
        ["--intervention", "rmu", "--edit_batch", "5"],
        "edit_batch must be 0 to 4 on the testbed with split=validation",
    ),
    (
        ["--intervention", "rmu(layer=7)"],
        "rmu.layer names layer 7, but the model has layers 0 to 5",
    ),
    (
        ["--intervention", "lora", "--objective", "order_sensitivity:edit_success"],
        "compares the two orders of two",
    ),
    (["--intervention", "rmu", "--name", "it's"], "name must be of letters"),
    (
        ["--intervention", "rmu", "--device", "tpu"],
        "device must be auto or cpu or cuda, but got 'tpu'",
    ),
    (["--interventions", "rmu"], "unknown parameter '--interventions'"),
    (["--intervention", "rmu", "--experiment", ""], "experiment"),
    (["--intervention", "rmu", "--seed", "4294967296"], "seed must be 0 to 4294967295"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_input_is_one_line_status_2_and_no_run(
    arguments: list[str], message: str, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = [] if "--objective" in arguments else ["--objective", "edit_success,edit_locality"]
    assert command.main([*arguments, *usual]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert MlflowClient().search_runs([store.experiment()]) == []


def test_a_name_of_another_space_is_refused_before_anything_runs(
    fresh: Checkpoints,
    applied: Applied,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(fresh.folder))
    runner.run(work(), fresh)
    applied.clear()
    arguments = ["--intervention", SPEC, "--objective", "edit_locality", "--name", "mine"]
    assert command.main(arguments) == 2
    assert (
        "study 'mine' is of space=paper, and this is space=default: give another name"
        in capsys.readouterr().err
    )
    assert command.main([*arguments, "--space", "paper", "--constraint", "edit_success<1"]) == 2
    assert (
        "study 'mine' is of constraint=none, and this is constraint=edit_success<1"
        in capsys.readouterr().err
    )
    assert command.main([*arguments, "--space", "paper", "--sampler_seed", "123456"]) == 2
    assert (
        "study 'mine' is of sampler_seed=0, and this is sampler_seed=123456"
        in capsys.readouterr().err
    )
    with pytest.raises(InvalidInput, match="is of edit_batch=0, and this is edit_batch=1"):
        runner.run(
            work(settings=Settings(split="validation", checkpoints="none", edit_batch=1)), fresh
        )
    assert applied == []


def test_the_project_and_the_command_have_the_same_parameters() -> None:
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    for name, parser in (("tune", command.parser()), ("grid", spec.parser())):
        options = {
            action.dest: action.default for action in parser._actions if action.dest != "help"
        }
        assert {key: one["default"] for key, one in entry[name]["parameters"].items()} == options
        assert all(f"--{key} {{{key}}}" in entry[name]["command"] for key in options)


# in processes of their own


def start(cache: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command on cheap data, a moment for every application."""
    command = [
        sys.executable,
        "-m",
        "tests.sweeps.slow_tune",
        "--intervention",
        SPEC,
        "--name",
        "mine",
    ]
    command += ["--objective", "edit_locality:max,edit_success:max", *arguments]
    environment = os.environ | {"COMPOSABILITY_CACHE": str(cache)}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def wait_for(count: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and len(trials()) < count:
        time.sleep(0.05)


@pytest.mark.full
def test_a_study_killed_with_9_goes_on_in_two_processes_at_once_and_every_point_is_run_once(
    local_store: str, tmp_path: Path
) -> None:
    first = start(tmp_path / "cache", "--space", "paper")
    wait_for(2, first)
    first.kill()
    first.communicate()
    done = len(trials())
    assert 2 <= done < 8
    pair = [start(tmp_path / "cache", "--space", "paper") for _ in range(2)]
    said = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert Counter(run.data.params["ga.lr"] for run in trials()) == Counter(
        map(str, LEARNING_RATES)
    )
    assert runs(status="RUNNING") == runs(status="KILLED") == runs(status="FAILED") == []
    assert root().info.status == "FINISHED" and len(runs(" and params.split = 'test'")) == 1
    applications = sum(err.count("applied ga") for _, err in said)
    assert applications == 8 - done + 1  # and the one on test data: nothing was repeated


@pytest.mark.slow
@pytest.mark.parametrize("space", ["paper", "default"])
def test_four_processes_that_are_killed_again_and_again_lose_and_repeat_nothing(
    local_store: str, tmp_path: Path, space: str
) -> None:
    """Eight points, or 32 trials; every two seconds one of the four is killed with -9, and another started."""
    arguments = ["--space", space, *(["--trials", "32"] if space == "default" else [])]
    many = [start(tmp_path / "cache", *arguments) for _ in range(4)]
    for _ in range(6):
        time.sleep(2)
        victim = many.pop(0)
        victim.kill()
        victim.communicate()
        many.append(start(tmp_path / "cache", *arguments))
    said = [process.communicate(timeout=600) for process in many]
    assert [process.returncode for process in many] == [0] * 4, said
    slots = Counter(run.data.tags[schema.JOB] for run in trials())
    assert set(slots.values()) == {1} and len(slots) == (32 if space == "default" else 8)
    if space == "paper":
        assert {float(run.data.params["ga.lr"]) for run in trials()} == set(LEARNING_RATES)
    assert runs(status="RUNNING") == []
    assert json.loads(
        storage.journal(tmp_path / "cache", "composability", "mine").read_text().splitlines()[0]
    )


@pytest.mark.slow
def test_a_study_in_postgresql_is_served_by_three_processes(
    local_store: str, tmp_path: Path
) -> None:
    if lacking():
        pytest.skip(lacking())
    with postgres(tmp_path / "studies") as uri:
        many = [
            start(tmp_path / f"cache-{i}", "--space", "paper", "--storage", uri) for i in range(3)
        ]
        said = [process.communicate(timeout=300) for process in many]
        assert [process.returncode for process in many] == [0] * 3, "".join(err for _, err in said)
        assert Counter(run.data.params["ga.lr"] for run in trials()) == Counter(
            map(str, LEARNING_RATES)
        )
        assert root().info.status == "FINISHED" and "secret" not in json.dumps(root().data.params)


# with Ray


def on_ray(python: Path, store: str, cache: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command on the testbed, in an environment that has Ray: four workers, the eight learning rates."""
    command = [
        str(python),
        "-m",
        "sweeps.study",
        "--intervention",
        SPEC,
        "--space",
        "paper",
        "--name",
        "mine",
    ]
    own = {
        "MLFLOW_TRACKING_URI": store,
        "COMPOSABILITY_CACHE": str(cache),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    command += ["--workers", "4", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | own,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_four_workers_on_ray_lose_and_repeat_nothing_though_one_is_killed(
    local_store: str, tmp_path: Path
) -> None:
    python = environment("ray")
    process = on_ray(python, local_store, tmp_path / "cache")
    deadline = time.monotonic() + 300
    while process.poll() is None and len(trials()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    victims = subprocess.run(
        ["pgrep", "-f", "ray::_serve"], capture_output=True, text=True
    ).stdout.split()
    assert victims
    os.kill(int(victims[0]), 9)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out + err
    assert Counter(run.data.params["ga.lr"] for run in trials()) == Counter(
        map(str, LEARNING_RATES)
    )
    assert runs(status="RUNNING") == [] and len(runs(" and params.split = 'test'")) == 1
    again = on_ray(python, local_store, tmp_path / "cache")
    out, err = again.communicate(timeout=600)
    assert again.returncode == 0 and len(trials()) == len(LEARNING_RATES), out + err
