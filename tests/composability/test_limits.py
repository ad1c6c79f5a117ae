"""Odd command lines: each is one line of at most 400 characters, status 2, and no run."""

import pytest
from mlflow import MlflowClient

from composability.command import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--seed", "1e9"],
        ["run", "--seed", "\u0663"],  # Python reads it as 3
        ["run", "--seed="],
        ["run", "--seed", "9" * 5000],
        ["run", "--seed", "\ud800"],
        ["run", "--edit-batch", "99999999999"],
        ["run", "--" + "x" * 5000],
        ["run", "--", "--seed"],
        ["run", "ft", "surplus"],
        ["run", "x" * 5000],
        ["run", "\x1b[31m"],
        ["run", "lora(rank=100000000)"],
        ["run", "ft(steps=1000000000000)"],
        ["run", "wanda(samples=100000)"],
        ["run", "--experiment", "a\nb"],
        ["run", "--model", "a/" * 300],
        ["grid", "--preset", "paper", "--seeds", "10000"],
        ["grid", "--interventions", "ft", "--length", "1", "--workers", "\u0663"],
        ["tune", "rmu", "--trials", "1000000000"],
        ["tune", "rmu | gd | ga | rmu", "--space", "paper"],
        ["analyze", "--bounds", "mmlu=nan"],
        ["list", "interventions", "x" * 5000],
    ],
    ids=lambda arguments: " ".join(arguments)[:30].encode("ascii", "replace").decode(),
)
def test_an_odd_command_line_is_one_line(
    arguments: list[str], local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    line = printed.err.removesuffix("\n")
    assert not printed.out and line.startswith("error: ")
    assert line.isprintable() and len(line) <= 400
    client = MlflowClient(tracking_uri=local_store)
    experiment_ids = [experiment.experiment_id for experiment in client.search_experiments()]
    assert not client.search_runs(experiment_ids)
