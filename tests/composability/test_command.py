"""The command `composability`: what it shows, how fast it answers, how it refuses."""

import json
import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from mlflow import MlflowClient

from analysis.report.hypotheses.presets.names import TITLES
from composability.command import cli, main
from sweeps.grid.presets import PRESETS
from tracking import schema, store

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINTS: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
OTHERS = ["published", "register", "restore", "cache", "list", "setup"]
SUBCOMMANDS = ["run", "plan", "grid", "tune", "analyze", "compare", "findings", *OTHERS]
LISTS = ["interventions", "criteria", "presets"]
HELP = [[], *([name] for name in SUBCOMMANDS), *(["list", kind] for kind in LISTS)]


def command_of(words: list[str]) -> click.Command:
    """Return the click command that words such as ["list", "presets"] name."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return command


def options_of(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def test_the_subcommands_are_those_of_the_house() -> None:
    assert set(cli.commands) == set(SUBCOMMANDS)
    listing = command_of(["list"])
    assert isinstance(listing, click.Group) and set(listing.commands) == set(LISTS)


@pytest.mark.parametrize("words", HELP, ids=lambda words: " ".join(words) or "composability")
def test_help_shows_defaults_and_choices(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for option in options_of(command_of(words)):
        assert option.opts[0] in shown
        if isinstance(option.default, str | float) and option.default is not False:
            assert f"default: {option.default}" in shown, option.opts
        if isinstance(option.type, click.Choice):
            assert "|".join(option.type.choices) in shown.replace(" ", "")


HEAVY = ("torch", "mlflow", "transformers", "pandas", "optuna", "scipy", "numpy")


@pytest.mark.parametrize("words", HELP, ids=lambda words: " ".join(words) or "composability")
def test_help_imports_neither_torch_nor_mlflow(words: list[str]) -> None:
    code = (
        "import sys; from composability.command import main\n"
        f"main({[*words, '--help']!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stderr.strip() == "[]"
    assert ended.stdout.startswith("Usage: composability")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["rum"], "No such command 'rum'"),
        (["run", "--sed", "1"], "No such option '--sed'. (Did you mean one of"),
        (["run", "--seed", "one"], "'one' is not a valid integer"),
        (["run", "--seed", "-1"], "-1 is not in the range"),
        (["run", "--seed", str(2**32)], "is not in the range"),
        (["run", "--device", "gpu"], "'gpu' is not one of 'auto', 'cpu', 'cuda'"),
        (["run", "wnda"], "Did you mean 'wanda'?"),
        (["run", "lora", "--second", "wanda"], "not both"),
        (["grid", "--dry-run", "maybe"], "'maybe' is not a valid boolean"),
        (["grid"], "give interventions or a preset"),
        (["grid", "--preset", "papr"], "'papr' is not one of"),
        (["tune"], "give an intervention to tune"),
        (["tune", "rmu", "--sampler", "bayes"], "'bayes' is not one of"),
        (["tune", "rmu", "--intervention", "ga"], "not both"),
        (["analyze", "--error", "median"], "'median' is not one of"),
        (["restore", "abc"], "Missing argument 'STEP'"),
        (["restore", "abc", "one", "folder"], "'one' is not a valid integer"),
        (["list", "interventions", "wandah"], "Did you mean 'wanda'?"),
        (["list", "criteria", "mmul"], "Did you mean 'mmlu'?"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], line: str, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert line in printed.err
    assert printed.out == ""
    assert len(MlflowClient(local_store).search_runs([store.ensure_experiment()])) == 0


def test_bad_input_under_mlflow_run_ends_the_run_that_it_made(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["run", "--device", "gpu"]) == 2
    ended = client.get_run(run_id)
    assert ended.info.status == "KILLED"
    assert "'gpu' is not one of" in ended.data.tags["mlflow.note.content"]
    assert ended.info.run_name.startswith("rejected: Invalid value for '--device': 'gpu' is not")
    assert len(ended.info.run_name) <= 100


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["run", "magnitude"], "dry run: magnitude"),
        (["grid", "--interventions", "rtn; ft", "--name", "small"], "dry run: small"),
        (["tune", "--intervention", "magnitude", "--name", "tuned"], "dry run: tuned"),
    ],
)
def test_a_dry_run_under_mlflow_run_leaves_no_run_that_looks_like_one(
    words: list[str],
    name: str,
    local_store: str,
    kept_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, experiment_id = MlflowClient(local_store), store.ensure_experiment()
    run_id = client.create_run(experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept_folder))
    # what it prints takes a rehearsal
    monkeypatch.setattr("composability.commands.run.print_plan", lambda *_: None)
    assert main([*words, "--dry-run"]) == 0
    ended = client.get_run(run_id)
    assert (ended.info.run_name, ended.info.status) == (name, "KILLED")
    assert schema.REJECTED in ended.data.tags
    assert len(client.search_runs([experiment_id], store.SOUND_RUNS)) == 0
    assert len(client.search_runs([experiment_id])) == 1


def test_a_run_that_has_ended_is_not_renamed_or_ended_again(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an analysis is logged, and what it was to register is then refused."""
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment(), run_name="analysis").info.run_id
    client.set_terminated(run_id, "FINISHED")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["run", "--device", "gpu"]) == 2
    ended = client.get_run(run_id)
    assert (ended.info.run_name, ended.info.status) == ("analysis", "FINISHED")
    assert schema.REJECTED not in ended.data.tags


def test_an_unexpected_error_is_printed_without_the_stores_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("lost connection to http://ada:s3cret@host:5000")

    monkeypatch.setattr("tracking.published.import_rows", fail)
    assert main(["published"]) == 1
    shown = capsys.readouterr().err
    assert "RuntimeError: lost connection to http://ada:***@host:5000" in shown
    assert "s3cret" not in shown


def test_underscores_and_dashes_name_one_option(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--edit_batch", "--edit-batch"):
        assert main(["run", "--device", "cpu", option, "x"]) == 2
        assert "'--edit-batch'" in capsys.readouterr().err


def test_no_subcommand_shows_the_help() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "composability"], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "Usage: composability" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("entry", "subcommand"),
    [
        ("main", "run"),
        ("grid", "grid"),
        ("tune", "tune"),
        ("analyze", "analyze"),
        ("published", "published"),
    ],
)
def test_mlprojects_entry_points_call_the_commands_with_their_defaults(
    entry: str, subcommand: str
) -> None:
    parameters: dict[str, Any] = ENTRY_POINTS[entry].get("parameters", {})
    words = shlex.split(ENTRY_POINTS[entry]["command"])
    assert words[:4] == ["python", "-m", "composability", subcommand]
    options = {option.name: option for option in options_of(command_of([subcommand]))}
    assert set(parameters) == set(options)
    for name, parameter in parameters.items():
        default = options[name].default
        shown = str(default).lower() if isinstance(default, bool) else f"{default}"
        assert parameter["default"] == shown.removesuffix(".0"), name
    expected = [[f"--{name.replace('_', '-')}", f"{{{name}}}"] for name in parameters]
    pairs = [words[start : start + 2] for start in range(4, len(words), 2)]
    assert sorted(pairs) == sorted(expected)


def test_the_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "quick: ft; ga; wanda(sparsity=[0.5, 0.75])" in lines
    assert [line.partition(":")[0] for line in lines] == [*PRESETS, *TITLES]
    name, title = next(iter(TITLES.items()))
    assert f"{name}: tests the finding: {title}" in lines


def test_criteria_are_listed_with_direction_and_chance(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "criteria", "wmdp"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("wmdp") and "lower" in shown and "0.25" in shown


@pytest.mark.full
def test_the_command_runs_a_composition_and_says_where(
    local_store: str, kept_folder: Path, tmp_path: Path
) -> None:
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": local_store,
        "COMPOSABILITY_CACHE": str(kept_folder),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "composability", "run", "magnitude(sparsity=0.5) | rtn"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    (run,) = MlflowClient(local_store).search_runs([store.ensure_experiment()])
    assert f"run {run.info.run_id} in sqlite://" in ended.stdout
    assert ended.stdout.splitlines()[1].startswith("base model")
    assert 'composability run "rtn(bits=3) | magnitude(sparsity=0.5)"' in ended.stdout
    assert run.data.params["composition"] == "magnitude(sparsity=0.5) | rtn(bits=3)"
    assert (
        json.loads(run.data.tags["composability_machine.interventions"])["rtn"]["category"]
        == "compression"
    )


def test_a_warning_is_one_line_without_a_place_in_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = warnings.formatwarning

    def warn(*arguments: object, **options: object) -> int:
        # pytest keeps warnings from being written: ask for the text alone
        text = "two\nlines of postgresql://ada:s3cret@host/runs"
        print(warnings.formatwarning(text, UserWarning, "file.py", 1), file=sys.stderr, end="")
        return 0

    monkeypatch.setattr(cli, "main", warn)
    assert main(["run"]) == 0
    expected = "warning: two lines of postgresql://ada:***@host/runs\n"
    assert capsys.readouterr().err == expected
    assert warnings.formatwarning is before
