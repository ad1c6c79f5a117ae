"""What the command line sets for libraries, reads as its arguments and shows without any."""

import os
import sys

import click
import pytest

from composability.command import _dashed, _refuse, main

VARIABLES = {
    "TQDM_DELAY": "5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "OMP_WAIT_POLICY": "PASSIVE",
}
UNKNOWN = "error: No such command 'rum'. Did you mean 'run'? (see composability --help)\n"

Printed = pytest.CaptureFixture[str]


def test_libraries_are_quiet_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "mine")
    assert main(["rum"]) == 2
    assert {name: os.environ[name] for name in VARIABLES} == dict.fromkeys(VARIABLES, "mine")
    for name in VARIABLES:
        monkeypatch.delenv(name)
    assert main(["rum"]) == 2
    assert {name: os.environ[name] for name in VARIABLES} == VARIABLES
    assert capsys.readouterr().err == UNKNOWN * 2


def test_the_arguments_are_the_processs_own_unless_they_are_given(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setattr(sys, "argv", ["composability", "rum", "--help"])
    assert main() == 2
    assert capsys.readouterr().err == UNKNOWN
    assert main([]) == 2


@pytest.mark.parametrize("words", [[], ["list"]])
def test_a_group_without_a_command_shows_its_help_as_an_error(
    words: list[str], capsys: Printed
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert main([*words, "--help"]) == 0
    assert printed.err == capsys.readouterr().out and printed.out == ""


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--edit_batch", "--edit-batch"),
        ("--data=my_data.yaml", "--data=my_data.yaml"),
        ("-a_b", "-a_b"),
        ("held_out", "held_out"),
        ("a_b=c_d", "a_b=c_d"),
    ],
)
def test_an_options_name_has_dashes_and_nothing_else_is_changed(word: str, expected: str) -> None:
    assert _dashed(word) == expected


@pytest.mark.parametrize("kind", [click.UsageError, click.ClickException, click.FileError])
def test_what_is_wrong_outside_a_command_is_said_without_a_hint(
    kind: type[click.ClickException], capsys: Printed
) -> None:
    error = kind("notes.txt")
    assert _refuse(error) == 2
    assert capsys.readouterr().err == f"error: {error.format_message()}\n"
