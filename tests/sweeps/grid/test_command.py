"""The command of a grid: what it prints, what it refuses, and what it leaves in the store."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from composability.command import main
from sweeps.grid import command
from sweeps.grid.command import run_command
from sweeps.grid.spec import GridRequest
from tests.sweeps.grid.conftest import Applied
from tests.sweeps.grid.recorded import composition_runs, parent_runs, results
from tracking import schema, store

ROOT = Path(__file__).parents[3]


def test_seeds_and_batches_of_edits_share_what_does_not_depend_on_them(
    local_store: str, applied: Applied
) -> None:
    arguments = [
        "--interventions",
        "ft(steps=1); wanda(samples=4)",
        "--edit_batches",
        "2",
        "--name",
        "mine",
    ]
    assert main(["grid", *arguments]) == 0
    assert len(composition_runs()) == 2 * 5
    # once: Wanda alone; for each batch: FT, Wanda after FT, FT after Wanda, and Wanda again
    assert len(applied.keys) == len(set(applied.keys)) == 1 + 2 * 4
    assert {
        (run.data.params["edit_batch"], run.data.params["composition"])
        for run in composition_runs()
    } == {(batch, composition) for batch in "01" for composition in results().composition}


def test_a_dry_run_says_what_and_how_long_and_runs_nothing(
    local_store: str, applied: Applied, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--interventions", "ft(steps=1); wanda(samples=4)", "--name", "mine"]
    assert main(["grid", *arguments, "--dry_run", "true"]) == 0
    printed = capsys.readouterr().out
    assert "mine: 5 runs, 0 of them finished" in printed
    assert "  wanda(sparsity=0.5, samples=4) → ft(steps=1)\n" in printed
    assert "5 to do: 4 applications with shared prefixes, 6 one by one" in printed
    assert "time: not known" in printed
    assert applied.keys == [] and parent_runs() == []
    assert main(["grid", *arguments]) == 0
    assert "mine: 5 runs finished" in capsys.readouterr().out
    assert main(["grid", *arguments, "--dry_run", "true"]) == 0
    assert "mine: 5 runs, 5 of them finished" in capsys.readouterr().out
    assert main(["grid", "--interventions", "ft(steps=1); ga(samples=4)", "--dry_run", "true"]) == 0
    assert "time: about 0 h 1 min by 5 earlier runs, but for ga" in capsys.readouterr().out


@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_a_grid_of_another_version_of_the_testbed_is_not_gone_on_with(
    local_store: str, applied: Applied, capsys: pytest.CaptureFixture[str], dry_run: str
) -> None:
    client = MlflowClient()
    tags = {schema.SWEEP_ROOT: "quick"}
    parent_id = client.create_run(store.ensure_experiment(), tags=tags).info.run_id
    for name in ("model", "data"):
        client.log_param(parent_id, name, "testbed")
    client.set_terminated(parent_id)
    arguments = ["--preset", "quick", "--dry_run", dry_run]
    assert main(["grid", *arguments]) == 2
    error = capsys.readouterr().err
    assert "'quick' has runs of model=testbed@1, and this is model=testbed@3" in error
    assert "give this one another name" in error and error.count("\n") == 1
    assert applied.keys == [] and composition_runs() == []


def test_from_python_a_grid_is_run_unless_a_dry_run_is_asked_for(
    local_store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names: list[str] = []
    monkeypatch.setattr(command, "run_grid", lambda grid: names.append(grid.name))
    monkeypatch.setattr(command, "describe_result", lambda result: "what it came to")
    request = GridRequest(interventions="ft(steps=1)", length=1, name="mine")
    run_command(request)
    assert names == ["mine"] and capsys.readouterr().out == "what it came to\n"
    run_command(request, dry_run=True)
    assert names == ["mine"] and "mine: 1 run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give interventions or a preset (paper, quick), one of the two"),
        (["--preset", "paper", "--interventions", "ft"], "one of the two"),
        (["--preset", "papr"], "'papr' is not one of 'none', 'paper', 'quick'"),
        (["--interventions", "ft; ft"], "ft is named twice"),
        (["--interventions", "wanda(sparsity=[])"], "empty list"),
        (
            ["--interventions", "ft"],
            "no composition of 2 of these interventions: with pairs=across, no two steps of one",
        ),
        (["--interventions", "ft"], "the longest has 1"),
        (["--interventions", "ft(layers=9); wanda"], "ft.layers names layer 9"),
        (["--preset", "quick", "--length", "2..1"], "length must be"),
        (["--preset", "quick", "--pairs", "some"], "'some' is not one of 'across', 'all'"),
        (["--preset", "quick", "--edit_batches", "21"], "edit_batch must be 0 to 19"),
        (["--preset", "quick", "--seeds", "none"], "seeds must be"),
        (
            ["--preset", "quick", "--dry_run", "maybe"],
            "'maybe' is not a valid boolean",
        ),
        (["--preset", "quick", "--name", "it's"], "name must be of letters"),
        (["--preset", "quick", "--workers", "0"], "0 is not in the range x>=1"),
        (["--preset", "quick", "--gpus", "-1"], "-1.0 is not in the range x>=0"),
        (["--preset", "quick", "--model", "./not/there"], "is not a folder"),
        (
            ["--preset", "quick", "--checkpoints", "some"],
            "'some' is not one of 'all', 'last', 'changed', 'none'",
        ),
        (["--presets", "quick"], "No such option '--presets'. (Did you mean one of: '--preset'"),
        (["--preset", "quick", "--seed", "3"], "No such option '--seed'. Did you mean '--seeds'?"),
        (
            ["--preset", "quick", "--seeds", "4294967296,0"],
            "seed must be an integer from 0 to 4294967295, but got 4294967296",
        ),
        (
            ["--preset", "quick", "--seeds", "99999999999"],
            "seeds must be how many (3, up to 10000)",
        ),
        (["--preset", "quick", "--length", "0..99999999999"], "length must be a number or a range"),
        (["--preset", "quick", "--gpus", "nan"], "gpus at least 0, but got '1' and 'nan'"),
        (["--preset", "quick", "--split", "nope"], "'nope' is not one of 'test', 'validation'"),
        (
            ["--preset", "quick", "--split", "validation", "--edit_batches", "10"],
            "edit_batch must be 0 to 4",
        ),
        (["--preset"], "Option '--preset' requires an argument"),
    ],
)
def test_bad_input_is_one_line_status_2_and_no_run(
    arguments: list[str], message: str, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grid", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert MlflowClient().search_runs([store.ensure_experiment()]) == []


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:9", "postgresql://someone:secret@127.0.0.1:9/mlflow"],
    ids=["server", "postgres"],
)
def test_a_store_that_cannot_be_reached_is_one_line_before_anything_runs(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(["grid", "--preset", "quick"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the store ") and error.count("\n") == 1
    assert "cannot be reached" in error and "secret" not in error


def test_a_grid_is_judged_by_the_split_asked_for(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--interventions", "wanda(samples=4)", "--length", "1", "--name", "mine"]
    assert main(["grid", *arguments, "--split", "validation"]) == 0
    assert [run.data.params["split"] for run in composition_runs()] == ["validation"]
    assert main(["grid", *arguments]) == 0
    assert sorted(run.data.params["split"] for run in composition_runs()) == ["test", "validation"]
    (parent,) = parent_runs()
    assert (parent.data.params["split"], parent.data.tags[schema.ASKED_AGAIN]) == (
        "validation",
        "split=test",
    )


@pytest.mark.slow
def test_a_grid_killed_with_9_goes_on(local_store: str, tmp_path: Path) -> None:
    """The whole command in a process of its own, on the real testbed."""
    arguments = ["--interventions", "ft(steps=2); wanda(samples=8)", "--name", "mine"]
    command_line = [sys.executable, "-m", "composability", "grid", *arguments]
    environment = os.environ | {"COMPOSABILITY_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(command_line, cwd=ROOT, env=environment)
    while process.poll() is None and len(composition_runs()) < 2:
        time.sleep(0.2)
    process.kill()
    process.wait()
    assert 2 <= len(composition_runs()) < 5
    subprocess.run(command_line, cwd=ROOT, env=environment, check=True)
    assert (
        len(composition_runs())
        == len({run.data.params["composition"] for run in composition_runs()})
        == 5
    )
    assert composition_runs("RUNNING") == [] == composition_runs("KILLED")
    assert [parent.info.status for parent in parent_runs()] == ["FINISHED"]


@pytest.mark.slow
@pytest.mark.full
def test_the_users_command_runs_a_grid_in_the_experiment_asked_for(
    local_store: str, tmp_path: Path
) -> None:
    """`mlflow run . -e grid -P …`: the run that MLflow makes is the parent."""
    parameters = [
        "-P",
        "interventions=wanda(samples=4, sparsity=[0.5, 0.75])",
        "-P",
        "length=1",
        "-P",
        "experiment=other",
    ]
    command_line = [
        str(Path(sys.executable).with_name("mlflow")),
        "run",
        ".",
        "-e",
        "grid",
        "--env-manager",
        "local",
    ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"COMPOSABILITY_CACHE": str(tmp_path / "cache"), "PATH": path}
    process = subprocess.run(
        [*command_line, *parameters],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    runs = MlflowClient(local_store).search_runs([store.ensure_experiment("other")])
    (parent,) = [run for run in runs if schema.SWEEP_ROOT in run.data.tags]
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name.startswith("grid-")
    runs.remove(parent)
    assert {run.info.run_name for run in runs} == {
        "wanda(sparsity=0.5, samples=4)",
        "wanda(sparsity=0.75, samples=4)",
    }
    assert {run.data.tags[schema.PARENT] for run in runs} == {parent.info.run_id}
