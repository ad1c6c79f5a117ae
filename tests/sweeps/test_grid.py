"""A grid in one process: nothing twice, nothing lost."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from sqlalchemy.exc import OperationalError

from interventions.composition import apply
from interventions.lm import LM
from sweeps import retry
from sweeps.grid import spec as command
from sweeps.grid.runner import CompositionGrid, Incomplete, run
from sweeps.retry import StoreAway
from tracking import query, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import run as run_one

Make = Callable[..., CompositionGrid]


def runs(status: str = "FINISHED") -> list[Run]:
    """The grid's compositions with that status."""
    client = MlflowClient(tracking_uri=store.uri())
    told = f"tags.`{schema.SWEEP}` = 'mine' and attributes.status = '{status}'"
    return list(client.search_runs([store.experiment()], told))


def roots() -> list[Run]:
    client = MlflowClient(tracking_uri=store.uri())
    return list(client.search_runs([store.experiment()], f"tags.`{schema.SWEEP_ROOT}` = 'mine'"))


def results() -> pd.DataFrame:
    """Every composition's criteria, in an order that does not depend on when they ran."""
    frame = query.compositions(
        filter=f"tags.`{schema.SWEEP}` = 'mine' and attributes.status = 'FINISHED'"
    )
    measured = [
        name
        for name in ("edit_success", "edit_locality", "average_bits", "sparsity")
        if name in frame
    ]
    return frame[["composition", "edit_batch", "key", *measured]].sort_values(
        "composition", ignore_index=True
    )


class Applied:
    """Counts the interventions that are applied, and fails where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[str] = []
        self.before: Callable[[str, int], None] = lambda name, count: None

        def noted(step: object, lm: LM, data: object, key: str) -> LM:
            self.keys.append(key)
            self.before(str(step), len(self.keys))
            return apply(step, lm, data, key)  # type: ignore[arg-type]

        monkeypatch.setattr("tracking.chain.apply", noted)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Applied:
    return Applied(monkeypatch)


@pytest.fixture
def fresh(tmp_path: Path) -> Checkpoints:
    """A cache of the test's own."""
    return Checkpoints(tmp_path / "cache")


def test_every_composition_is_one_run_under_one_parent_and_nothing_is_applied_twice(
    grid: Make, fresh: Checkpoints, applied: Applied
) -> None:
    """15 compositions: 4 first steps, 10 second ones, 4 recompressions (Wanda's two levels before FT and GA)."""
    outcome = run(grid(), fresh)
    (root,) = roots()
    assert len(runs()) == 15 == outcome.done
    assert {one.data.tags[schema.PARENT] for one in runs()} == {root.info.run_id}
    assert (root.info.status, root.info.run_name) == ("FINISHED", "mine")
    assert len(applied.keys) == len(set(applied.keys)) == outcome.applied == 4 + 10 + 4
    assert root.data.metrics["sweep/done"] == root.data.metrics["sweep/total"] == 15
    assert root.data.metrics["sweep/applications"] == 18
    names = {one.info.run_name for one in runs()}
    assert {
        "base model",
        "ft(steps=1)",
        "wanda(sparsity=0.5, samples=4) → ft(steps=1) → wanda(sparsity=0.5, samples=4) (again)",
    } <= names
    table = pd.read_csv(
        download_artifacts(run_id=root.info.run_id, artifact_path="compositions.csv")
    )
    assert set(table.run_id) == {one.info.run_id for one in runs()}


def test_a_composition_comes_to_the_same_in_a_grid_and_alone(
    grid: Make, fresh: Checkpoints, tmp_path: Path
) -> None:
    run(grid(), fresh)
    alone = run_one(
        "wanda(samples=4, sparsity=0.75) | ft(steps=1)", cache=Checkpoints(tmp_path / "other")
    )
    one = MlflowClient().get_run(alone).data
    (same,) = [r.data for r in runs() if r.data.params["composition"] == one.params["composition"]]
    assert same.tags[schema.KEY] == one.tags[schema.KEY]
    assert {k: v for k, v in same.params.items() if "checkpoints" not in k} == {
        k: v for k, v in one.params.items() if "checkpoints" not in k
    }
    assert {k: v for k, v in same.metrics.items() if not k.startswith("cost/")} == {
        k: v for k, v in one.metrics.items() if not k.startswith("cost/")
    }
    assert sorted(path.path for path in MlflowClient().list_artifacts(alone)) == [
        "checkpoints",
        "criteria.json",
        "items.parquet",
    ]


def test_the_same_again_runs_nothing(grid: Make, fresh: Checkpoints, applied: Applied) -> None:
    run(grid(), fresh)
    ids = {one.info.run_id for one in runs()}
    applied.keys.clear()
    outcome = run(grid(), fresh)
    assert (outcome.done, outcome.before) == (0, 15)
    assert applied.keys == []
    assert {one.info.run_id for one in runs()} == ids
    assert len(roots()) == 1


def test_a_grid_of_that_name_with_more_in_it_goes_on(
    grid: Make, fresh: Checkpoints, applied: Applied
) -> None:
    run(grid("ft(steps=1); ga(samples=4)"), fresh)
    assert len(runs()) == 5
    outcome = run(grid(), fresh)
    assert (outcome.before, outcome.done) == (5, 10)
    assert len(applied.keys) == len(set(applied.keys)) == 4 + 10 + 4


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(
    grid: Make, fresh: Checkpoints, applied: Applied, capsys: pytest.CaptureFixture[str]
) -> None:
    def unlucky(name: str, count: int) -> None:
        if name.startswith("ga") and len(applied.keys) > 1 and applied.keys[-1] in broken:
            raise RuntimeError("out of luck")

    (job,) = [
        job for job in grid().jobs if [step.name for step in job.plan.composition] == ["ft", "ga"]
    ]
    broken, applied.before = {job.plan.keys[-1]}, unlucky
    with pytest.raises(
        Incomplete, match=r"1 of 15 failed; .*\n  ft\(steps=1\) → ga\(samples=4\): out of luck"
    ):
        run(grid(), fresh)
    (failed,) = runs("FAILED")
    assert failed.data.tags[schema.NOTE] == "out of luck"
    assert len(runs()) == 14
    assert roots()[0].info.status == "FAILED"
    broken.clear()
    outcome = run(grid(), fresh)
    assert (outcome.before, outcome.done) == (14, 1)
    assert len(runs()) == 15 and runs("FAILED") == []
    assert roots()[0].info.status == "FINISHED"


@pytest.mark.parametrize("at", [1, 6, 13])
def test_an_interrupted_grid_goes_on_and_ends_as_an_undisturbed_one(
    grid: Make, tmp_path: Path, applied: Applied, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    def interrupt(name: str, count: int) -> None:
        if count == at:
            raise KeyboardInterrupt

    run(grid(), Checkpoints(tmp_path / "undisturbed"))
    expected = results()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/second.db")
    store.experiment()
    applied.keys.clear()
    applied.before, cache = interrupt, Checkpoints(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        run(grid(), cache)
    (killed,) = runs("KILLED")
    assert roots()[0].info.status == "KILLED"
    done = len(runs())
    outcome = run(grid(), cache)
    assert outcome.before == done and len(runs()) == 15
    assert runs("KILLED") == [] and runs("RUNNING") == []
    assert MlflowClient(store.uri()).get_run(killed.info.run_id).info.lifecycle_stage == "deleted"
    pd.testing.assert_frame_equal(results(), expected)


def test_live_checkpoints_are_only_those_on_the_way(
    grid: Make, tmp_path: Path, applied: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room for others, never more than those of the steps before, and the one that is being written."""
    kept, most = Checkpoints(tmp_path / "cache", limit_gib=0), [0]

    def count(name: str, applied: int) -> None:
        most[0] = max(most[0], sum(one.name in kept for one in kept.folder.iterdir()))

    applied.before = count
    outcome = run(grid(lengths=(0, 1, 2, 3)), kept)
    assert 1 <= most[0] <= 3
    assert outcome.applied == len(set(applied.keys))


def test_checkpoints_of_leaves_are_not_kept(grid: Make, fresh: Checkpoints) -> None:
    made = grid()
    run(made, fresh)
    prefixes = {key for job in made.jobs for key in job.prefixes[1:]}
    assert {one.name for one in fresh.folder.iterdir() if one.name in fresh} == prefixes


def test_a_damaged_checkpoint_is_computed_again_with_a_warning(
    grid: Make, fresh: Checkpoints, applied: Applied
) -> None:
    run(grid("ft(steps=1); ga(samples=4)"), fresh)
    expected = results()
    (ft,) = {job.plan.keys[1] for job in grid("ft(steps=1)", lengths=(1,)).jobs}
    weights = fresh.path(ft) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for one in runs():
        MlflowClient().delete_run(one.info.run_id)
    for scores in (fresh.folder / "scores").iterdir():
        scores.unlink()
    with pytest.warns(UserWarning, match=f"checkpoint {ft} is damaged .*computed again"):
        run(grid("ft(steps=1); ga(samples=4)"), fresh)
    pd.testing.assert_frame_equal(results(), expected)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAITS", (0.0, 0.0, 0.0))


@pytest.mark.parametrize("request_", ["create_run", "log_batch", "log_artifacts", "set_terminated"])
@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_away_for_a_while_costs_no_run(
    grid: Make, fresh: Checkpoints, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    own, calls = getattr(MlflowClient, request_), [0]

    def away(self: MlflowClient, *args: object, **kwargs: object) -> object:
        calls[0] += 1
        if 8 <= calls[0] <= 9:
            raise OperationalError("select 1", {}, Exception("connection refused"))
        return own(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, request_, away)
    outcome = run(grid("ft(steps=1); ga(samples=4); wanda(samples=4)"), fresh)
    assert outcome.done == 10 and not outcome.failed
    assert len(runs()) == len({one.data.params["composition"] for one in runs()}) == 10
    assert runs("RUNNING") == [] == runs("FAILED")


@pytest.mark.usefixtures("impatient")
def test_a_store_that_stays_away_ends_the_grid_and_it_goes_on_later(
    grid: Make, fresh: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, calls = MlflowClient.create_run, [0]

    def away(self: MlflowClient, *args: object, **kwargs: object) -> object:
        calls[0] += 1
        if calls[0] > 4:
            raise OperationalError("select 1", {}, Exception("connection refused"))
        return own(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", away)
        with pytest.raises(StoreAway, match="connection refused"):
            run(grid(), fresh)
    outcome = run(grid(), fresh)
    assert outcome.before == 3 and len(runs()) == 15


def test_only_errors_of_the_store_are_waited_out() -> None:
    with pytest.raises(ZeroDivisionError):
        retry.patiently(lambda: 1 // 0)
    assert not retry.is_away(RuntimeError("connection refused"))
    assert retry.is_away(OperationalError("select 1", {}, Exception("database is locked")))


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
    assert command.main(arguments) == 0
    assert len(runs()) == 2 * 5
    # Wanda alone is computed once; FT, Wanda after FT, FT after Wanda and Wanda again for each batch
    assert len(applied.keys) == len(set(applied.keys)) == 1 + 2 * 4
    assert {(one.data.params["edit_batch"], one.data.params["composition"]) for one in runs()} == {
        (batch, composition) for batch in "01" for composition in results().composition
    }


def test_a_dry_run_says_what_and_how_long_and_runs_nothing(
    local_store: str, applied: Applied, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--interventions", "ft(steps=1); wanda(samples=4)", "--name", "mine"]
    assert command.main([*arguments, "--dry_run", "true"]) == 0
    said = capsys.readouterr().out
    assert "mine: 5 runs, 0 of them finished" in said
    assert "  wanda(sparsity=0.5, samples=4) → ft(steps=1)\n" in said
    assert "5 to do: 4 applications with shared prefixes, 6 one by one" in said
    assert "time: not known" in said
    assert applied.keys == [] and roots() == []
    assert command.main(arguments) == 0
    assert "mine: 5 runs finished" in capsys.readouterr().out
    assert command.main([*arguments, "--dry_run", "true"]) == 0
    assert "mine: 5 runs, 5 of them finished" in capsys.readouterr().out
    assert command.main(["--interventions", "ft(steps=1); ga(samples=4)", "--dry_run", "true"]) == 0
    assert "time: about 0 h 1 min by 5 earlier runs, but for ga" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give interventions or a preset (paper, quick), one of the two"),
        (["--preset", "paper", "--interventions", "ft"], "one of the two"),
        (["--preset", "papr"], "no preset is named 'papr'"),
        (["--interventions", "ft; ft"], "ft is named twice"),
        (["--interventions", "wanda(sparsity=[])"], "empty list"),
        (
            ["--interventions", "ft"],
            "no composition of 2 of these interventions: with pairs=across, no two steps of one",
        ),
        (["--interventions", "ft"], "the longest has 1"),
        (["--interventions", "ft(layers=9); wanda"], "ft.layers names layer 9"),
        (["--preset", "quick", "--length", "2..1"], "length must be"),
        (["--preset", "quick", "--pairs", "some"], "pairs must be across or all, but got 'some'"),
        (["--preset", "quick", "--edit_batches", "11"], "edit_batch must be 0 to 9"),
        (["--preset", "quick", "--seeds", "none"], "seeds must be"),
        (
            ["--preset", "quick", "--dry_run", "maybe"],
            "dry_run must be true or false, but got 'maybe'",
        ),
        (["--preset", "quick", "--name", "it's"], "name must be of letters"),
        (["--preset", "quick", "--workers", "0"], "workers must be at least 1"),
        (["--preset", "quick", "--gpus", "-1"], "gpus at least 0, but got '1' and '-1'"),
        (["--preset", "quick", "--model", "./not/there"], "is not a folder"),
        (
            ["--preset", "quick", "--checkpoints", "some"],
            "checkpoints must be all or last or changed or none",
        ),
        (["--presets", "quick"], "unknown parameter '--presets'"),
        (["--preset", "quick", "--seed", "3"], "unknown parameter '--seed'"),
        (
            ["--preset", "quick", "--seeds", "4294967296,0"],
            "seed must be 0 to 4294967295, but got 4294967296",
        ),
        (
            ["--preset", "quick", "--seeds", "99999999999"],
            "seeds must be how many (3, up to 10000)",
        ),
        (["--preset", "quick", "--length", "0..99999999999"], "length must be a number or a range"),
        (["--preset", "quick", "--gpus", "nan"], "gpus at least 0, but got '1' and 'nan'"),
        (["--preset", "quick", "--split", "nope"], "split must be test or validation"),
        (
            ["--preset", "quick", "--split", "validation", "--edit_batches", "10"],
            "edit_batch must be 0 to 4",
        ),
        (["--preset"], "expected one argument"),
    ],
)
def test_bad_input_is_one_line_status_2_and_no_run(
    arguments: list[str], message: str, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert MlflowClient().search_runs([store.experiment()]) == []


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:9", "postgresql://someone:secret@127.0.0.1:9/mlflow"],
    ids=["server", "postgres"],
)
def test_a_store_that_cannot_be_reached_is_one_line_before_anything_runs(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert command.main(["--preset", "quick"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the store ") and error.count("\n") == 1
    assert "cannot be reached" in error and "secret" not in error


def test_a_grid_is_judged_by_the_split_asked_for(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--interventions", "wanda(samples=4)", "--length", "1", "--name", "mine"]
    assert command.main([*arguments, "--split", "validation"]) == 0
    assert [one.data.params["split"] for one in runs()] == ["validation"]
    assert command.main(arguments) == 0
    assert sorted(one.data.params["split"] for one in runs()) == ["test", "validation"]
    (root,) = roots()
    assert (root.data.params["split"], root.data.tags[schema.ASKED_AGAIN]) == (
        "validation",
        "split=test",
    )


def test_a_grid_that_is_being_run_is_not_run_twice(
    grid: Make, fresh: Checkpoints, applied: Applied
) -> None:
    def second(name: str, count: int) -> None:
        if count == 1:
            with pytest.raises(
                ValueError, match=r"'mine' is being run on this machine: wait for it"
            ):
                run(grid(), fresh)
            with pytest.raises(
                ValueError, match=rf"'mine' is being run by process {os.getpid()} on "
            ):
                run(grid(), Checkpoints(fresh.folder.with_name("elsewhere")))

    applied.before = second
    run(grid("ft(steps=1); ga(samples=4)"), fresh)
    assert len(runs()) == 5


def test_the_run_that_mlflow_run_made_is_the_parent_and_the_next_is_under_it(
    grid: Make, fresh: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(store.uri())
    first, second = (client.create_run(store.experiment()).info.run_id for _ in range(2))
    monkeypatch.setenv("MLFLOW_RUN_ID", first)
    run(grid("ft(steps=1); ga(samples=4)"), fresh)
    monkeypatch.setenv("MLFLOW_RUN_ID", second)
    run(grid(), fresh)
    (root,) = roots()
    assert root.info.run_id == first
    assert client.get_run(second).data.tags[schema.PARENT] == first
    assert {one.data.tags[schema.PARENT] for one in runs()} == {first}
    assert len(runs()) == 15


@pytest.mark.full
def test_a_grid_killed_with_9_goes_on(local_store: str, tmp_path: Path) -> None:
    """The whole command in a process of its own, on the real testbed."""
    arguments = ["--interventions", "ft(steps=2); wanda(samples=8)", "--name", "mine"]
    command_line = [sys.executable, "-m", "sweeps.grid", *arguments]
    environment = os.environ | {"COMPOSABILITY_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(command_line, cwd=Path(__file__).parents[2], env=environment)
    while process.poll() is None and len(runs()) < 2:
        time.sleep(0.2)
    process.kill()
    process.wait()
    assert 2 <= len(runs()) < 5
    subprocess.run(command_line, cwd=Path(__file__).parents[2], env=environment, check=True)
    assert len(runs()) == len({one.data.params["composition"] for one in runs()}) == 5
    assert runs("RUNNING") == [] == runs("KILLED")
    assert [root.info.status for root in roots()] == ["FINISHED"]


@pytest.mark.full
def test_the_users_command_runs_a_grid_in_the_experiment_asked_for(
    local_store: str, tmp_path: Path
) -> None:
    """`mlflow run . -e grid -P …`: the run that MLflow makes is the parent."""
    given = [
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
    done = subprocess.run(
        [*command_line, *given],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = MlflowClient(local_store).search_runs([store.experiment("other")])
    (root,) = [run for run in found if schema.SWEEP_ROOT in run.data.tags]
    assert root.info.status == "FINISHED"
    assert root.info.run_name.startswith("grid-")
    assert {run.info.run_name for run in found if run is not root} == {
        "wanda(sparsity=0.5, samples=4)",
        "wanda(sparsity=0.75, samples=4)",
    }
    assert {run.data.tags[schema.PARENT] for run in found if run is not root} == {root.info.run_id}
