"""The command `python -m analysis`, on runs of our own: a small grid on the testbed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from analysis.__main__ import main, parser
from analysis.inference import intervals
from analysis.metrics import composability as co
from tracking import plugin, query, schema, store

pytestmark = pytest.mark.full  # making the grid takes over ten seconds

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = (
    "intervention", "partner", "criterion", "level", "forward", "backward", "order_free_error", "order_sensitivity",
)  # fmt: skip


def analyses(uri: str) -> list[mlflow.entities.Run]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(store.REPORTS)
    return list(client.search_runs([found.experiment_id])) if found else []


@pytest.fixture(scope="module")
def analysed(grid_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the command wrote."""
    output = tmp_path_factory.mktemp("analysed") / "made" / "here"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", grid_uri)
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        assert main(["--experiment", "composability", "--output", str(output)]) == 0
    return output


def test_every_artifact_is_made(analysed: Path, grid_uri: str) -> None:
    tables = {
        f"tables/table{number}.{kind}" for number in (2, 8, 9, 10) for kind in ("md", "csv", "tex")
    }
    figures = {
        f"figures/{name}.{kind}"
        for name in ("figure2", "perplexity-editing", "order-sensitivity")
        for kind in ("png", "html")
    }
    expected = (
        {"composability.csv", "areas.csv", "wins.csv", "order.csv", "report.html"}
        | tables
        | figures
    )
    made = {str(path.relative_to(analysed)) for path in analysed.rglob("*") if path.is_file()}
    assert made == expected
    (run,) = analyses(grid_uri)
    logged = Path(
        mlflow.artifacts.download_artifacts(run_id=run.info.run_id, tracking_uri=grid_uri)
    )
    assert {
        str(path.relative_to(logged)) for path in logged.rglob("*") if path.is_file()
    } == expected


def test_the_analysis_is_a_run_among_the_reports_with_the_findings_as_its_note(
    analysed: Path, grid_uri: str
) -> None:
    (run,) = analyses(grid_uri)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "analysis of composability")
    assert run.data.params["experiment"] == "composability"
    assert "1 pair of 2 interventions, 3 points" in run.data.tags[schema.NOTE]


def test_composability_csv_has_a_row_per_criterion_and_level(
    analysed: Path, grid: pd.DataFrame
) -> None:
    """Checked against the runs themselves."""
    table = pd.read_csv(analysed / "composability.csv")
    assert tuple(table.columns[:8]) == COLUMNS
    assert len(table) == 3 * 11  # levels, criteria
    runs = grid.set_index("composition")
    row = table[(table.criterion == "edit_success") & (table.level == 0.75)].iloc[0]
    forward = runs.edit_success["ft(steps=10) | wanda(sparsity=0.75, samples=16)"]
    backward = runs.edit_success["wanda(sparsity=0.75, samples=16) | ft(steps=10)"]
    assert (row.forward, row.backward) == (forward, backward)
    assert row.order_free_error == pytest.approx(1 - max(forward, backward))
    assert row.order_sensitivity == pytest.approx(abs(forward - backward))
    assert set(row.forward_runs.split()) | set(row.backward_runs.split()) <= set(grid.run_id)


def test_intervals_of_single_runs_are_over_items(analysed: Path) -> None:
    table = pd.read_csv(analysed / "composability.csv").set_index("criterion")
    assert set(table.over["mmlu"]) == {"items"}
    assert set(table.units["mmlu"]) == {100}  # the validation split's questions
    assert (table.order_free_error_low["mmlu"] <= table.order_free_error["mmlu"]).all()
    assert table.gain_low["wikitext_ppl"].isna().all()  # not a mean of its items


def test_areas_and_wins_and_the_order_are_in_files_of_their_own(analysed: Path) -> None:
    areas = pd.read_csv(analysed / "areas.csv")
    assert set(areas.levels) == {"0.25 0.5 0.75"}
    assert len(areas) == 11
    (order,) = pd.read_csv(analysed / "order.csv").to_dict("records")
    assert {order["intervention"], order["partner"]} == {"ft", "wanda"}
    assert "on average over sparsity 0.25, 0.5, 0.75" in order["words"]
    assert {"group", "method", "wins", "ties", "comparisons", "over"} <= set(
        pd.read_csv(analysed / "wins.csv").columns
    )


def test_the_recompressed_order_is_the_backward_one(grid: pd.DataFrame) -> None:
    points = co.point(grid, ["sparsity"])
    assert points.backward.tolist() == pytest.approx([0.25, 0.5, 0.75], abs=0.01)
    assert (grid.recompressed.fillna("none") != "none").sum() == 3


def test_own_and_published_results_stand_side_by_side(
    grid: pd.DataFrame, published: pd.DataFrame
) -> None:
    both = pd.concat([grid, published], ignore_index=True)
    contexts = co.point(both).context.unique()
    assert len(contexts) == 2
    assert any("data=testbed" in context for context in contexts)


def test_items_of_the_grid_agree_with_its_criteria(grid: pd.DataFrame) -> None:
    scores = query.items(grid, ["mmlu", "edit_success"])
    means = scores.groupby(["run_id", "criterion"]).score.mean().unstack()
    runs = grid.set_index("run_id")
    for name in ("mmlu", "edit_success"):
        pd.testing.assert_series_equal(
            means[name].sort_index(), runs[name].sort_index(), check_names=False
        )
    assert intervals.intervals(grid, co.point(grid, ["mmlu"]), scores).over.eq("items").all()


# parameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--experiment", "nope"],
            r"no experiment is named 'nope' .* there are: Default, composability",
        ),
        (["--experiment", "composability,nope"], "no experiment is named 'nope'"),
        (["--experiment", " , "], "experiment must name at least one, but got ' , '"),
        (
            ["--experiment", "Default"],
            "experiment Default: no finished run is a pair of interventions; there are: none",
        ),
        (["--criteria", "edit_sucess"], "no criterion 'edit_sucess'. Did you mean 'edit_success'"),
        (
            ["--levels", "sparsity=0.6"],
            "level sparsity=0.6: no run has it; levels that both orders have: 0.25, 0.5, 0.75",
        ),
        (["--levels", "0.25"], "levels must be written like sparsity=0.25,bits=4, but got '0.25'"),
        (
            ["--bounds", "mmlu>0.4"],
            "bounds must be written like mmlu=0.4,wikitext_ppl=8, but got 'mmlu>0.4'",
        ),
        (["--bounds", "mmul=0.4"], "no criterion 'mmul'. Did you mean 'mmlu'"),
        (["--bounds", "mmlu=2"], "no level is within the bounds; mmlu lies in .* to "),
        (["--error", "median"], "error must be best or worst, but got 'median'"),
        (["--items", "some"], "items must be auto or all or none, but got 'some'"),
        (["--output", __file__], "output must be a folder, but .* is a file"),
        (["--experimnt", "x"], "unknown parameter '--experimnt'; valid: "),
        (["--experiment"], "expected one argument"),
    ],
)
def test_bad_input_is_one_line_status_2_and_no_run(
    arguments: list[str], message: str, grid: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(analyses(store.uri()))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert pd.Series([error]).str.contains(message).item(), error
    assert error.count("\n") == 1
    assert len(analyses(store.uri())) == before


def test_a_level_that_only_one_order_has_is_refused(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient(local_store)
    for spec, level in (("ft | wanda", "0.25"), ("wanda | ft", "0.25"), ("ft | wanda", "0.5")):
        run = client.create_run(store.experiment())
        params = {"composition": spec, "pair": "ft + wanda", "wanda.sparsity": level}
        params |= {f"step{i}": name for i, name in enumerate(spec.split(" | "), start=1)}
        for key, value in params.items():
            client.log_param(run.info.run_id, key, value)
        client.log_metric(run.info.run_id, "mmlu", 0.5)
        client.set_terminated(run.info.run_id)
    assert main(["--levels", "sparsity=0.5"]) == 2
    assert (
        "level sparsity=0.5: only ft → wanda has it; levels that both orders have: 0.25"
        in capsys.readouterr().err
    )


def test_criteria_bounds_and_error_are_as_asked(grid: pd.DataFrame, tmp_path: Path) -> None:
    asked = [
        "--criteria",
        "edit_success",
        "--bounds",
        "mmlu=0.9",
        "--error",
        "worst",
        "--items",
        "none",
    ]
    assert main([*asked, "--output", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "composability.csv")
    assert set(table.criterion) == {"edit_success"}
    assert table.order_free_error.tolist() == pytest.approx(
        (1 - table[["forward", "backward"]].min(axis=1)).tolist()
    )
    assert table.over.isna().all()
    within = co.within(co.point(grid), {"mmlu": 0.9}).level.unique()
    assert table[table.within_bounds].level.tolist() == sorted(within)


def test_a_criterion_without_a_good_direction_can_be_analysed_alone(
    grid: pd.DataFrame, tmp_path: Path
) -> None:
    assert main(["--criteria", "sparsity", "--items", "none", "--output", str(tmp_path)]) == 0
    assert pd.read_csv(tmp_path / "composability.csv").order_free_error.isna().all()


# under `mlflow run`


def test_a_launched_analysis_adopts_the_launchers_run(
    grid: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(store.uri())
    run_id = client.create_run(store.experiment(store.REPORTS)).info.run_id
    client.log_param(run_id, "experiment", "'composability'")  # quoted, as the launcher does
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["--items", "none", "--criteria", "edit_success"]) == 0
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["experiment"] == "'composability'"
    assert "report.html" in {artifact.path for artifact in client.list_artifacts(run_id)}


def test_bad_input_fails_the_launchers_run_with_the_line_as_note(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.experiment(store.REPORTS)).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["--experiment", "nope"]) == 2
    run = client.get_run(run_id)
    assert run.info.status == "FAILED"
    assert "no experiment is named 'nope'" in run.data.tags[schema.NOTE]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-e", "analyze", "-P", "experiment=nope,other"], ["-P", "experiment=nope", "-e", "published"],
        ["--entry-point", "analyze"], ["--entry-point=analyze", "-Pexperiment=nope"], ["-eanalyze"],
    ],
)  # fmt: skip
def test_launches_that_read_log_among_the_reports_and_make_no_experiment_of_what_they_read(
    arguments: list[str], local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(ROOT), *arguments])
    made = plugin.CheckoutExperiment().get_experiment_id()
    client = MlflowClient(local_store)
    assert client.get_experiment(made).name == store.REPORTS
    assert {e.name for e in client.search_experiments()} == {"Default", "composability", "reports"}


def test_mlproject_has_the_command_lines_options_and_defaults() -> None:
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["analyze"]
    defaults = {name: parameter["default"] for name, parameter in entry["parameters"].items()}
    options = {action.dest: action.default for action in parser()._actions if action.dest != "help"}
    assert defaults == options
    assert shlex.split(entry["command"])[3:] == [
        word for name in defaults for word in (f"--{name}", f"{{{name}}}")
    ]


def test_the_analysis_loads_no_torch(grid_uri: str, tmp_path: Path) -> None:
    """import-linter sees our own modules; this sees what libraries import on their own."""
    code = (
        "import sys; from analysis.__main__ import main; import analysis; analysis.recommend;"
        " assert main(['--items', 'none', '--criteria', 'edit_success']) == 0;"
        " assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": grid_uri}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)


@pytest.mark.slow
def test_the_users_commands_work_as_written(tmp_path: Path) -> None:
    """`mlflow run . -e published`, twice, and `-e analyze`, from another folder, without pyenv on PATH."""
    from tracking import setup

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "MLFLOW_ENV_ROOT": str(tmp_path / "envs"),
        "MLFLOW_TRACKING_URI": uri,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
        setup.register(Path(sys.prefix))

    def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("mlflow")), "run", str(ROOT), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    for added in (311, 0):
        done = launch("-e", "published")
        assert done.returncode == 0, done.stderr
        assert f"{added} runs added to experiment 'published'" in done.stdout
    done = launch(
        "-e", "analyze", "-P", "experiment=published", "-P", f"output={tmp_path / 'files'}"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "files" / "report.html").exists()
    wrong = launch("-e", "analyze", "-P", "experiment=typo")
    assert wrong.returncode != 0
    assert "no experiment is named 'typo'" in wrong.stderr and "Traceback" not in wrong.stderr
    client = MlflowClient(uri)
    assert {e.name for e in client.search_experiments()} == {"Default", "published", "reports"}
    found = [(run.info.run_name, run.info.status) for run in analyses(uri)]
    imported = ("import of the paper's rows", "FINISHED")
    assert found[1:] == [("analysis of published", "FINISHED"), imported, imported]
    assert found[0][1] == "FAILED"
