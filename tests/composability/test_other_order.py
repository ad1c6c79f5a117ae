"""The command that a run prints for its other order is one that runs it."""

import shlex

import pytest

from composability.command import main


@pytest.mark.usefixtures("local_store")
def test_the_printed_command_runs_the_other_order_with_the_same_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--criteria", "average_bits", "--seed", "3", "--experiment", "an experiment"]
    assert main(["run", "magnitude(sparsity=0.6) | rtn(bits=4)", *options]) == 0
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if "has not run" in line]
    words = shlex.split(line.partition(": ")[2])
    assert words[:3] == ["composability", "run", "rtn(bits=4) | magnitude(sparsity=0.6)"]
    assert main(words[1:]) == 0
    # however wide the terminal is
    printed = " ".join(capsys.readouterr().out.split())
    assert "other order, magnitude(sparsity=0.6) | rtn(bits=4) (run " in printed
