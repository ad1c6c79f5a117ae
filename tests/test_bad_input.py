"""Whatever bad input is drawn, it is refused in one line, and nothing is made."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from composability.command import main
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.quality import bad_input
from tests.quality.plain_words import ROOT
from tracking import schema, store

MOST_CHARACTERS = 400
Attempt = Callable[[], str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the store, the cache, the home and all temporary files would be."""
    for name in ("work", "home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MPLCONFIGDIR", tempfile.gettempdir())  # what libraries keep is not ours
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}")

    def load(*arguments: object, **options: object) -> LM:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(LM, "load", load)
    return tmp_path


def contents(folder: Path) -> list[str]:
    """Return all that is in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def check_refusal(line: str, status: object, described: str) -> None:
    assert status == 2, described
    assert line.endswith("\n") and line.count("\n") == 1, f"{described}: {line[:300]!r}"
    assert line.startswith("error: ") and len(line) <= MOST_CHARACTERS, (
        f"{described}: {line[:300]!r}"
    )
    assert line[:-1].isprintable(), f"{described}: {line[:300]!r}"


def refuse_lines(
    seed: int, count: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """Try command lines; return those that were not refused as they should be."""
    before = contents(folder)
    failed = []
    for arguments in itertools.islice(bad_input.command_lines(random.Random(seed)), count):
        described = f"seed {seed}: {[word[:60] for word in arguments[:9]]!r}"
        try:
            status = main(arguments)
            check_refusal(capsys.readouterr().err, status, described)
            made = set(contents(folder)) - set(before)
            assert not made, f"{described}: made {sorted(made)[:5]}"
        except BaseException as error:
            capsys.readouterr()
            before = contents(folder)
            failed.append(f"{described}\n      {type(error).__name__}: {error}"[:1000])
    return failed


def refuse_calls(seed: int, count: int, folder: Path) -> list[str]:
    """Try calls of the public functions; return those that were not refused as they should be."""
    before = contents(folder)
    failed = []
    for call in itertools.islice(bad_input.calls(random.Random(seed)), count):
        name, function, positional, named = call
        described = f"seed {seed}: {name}(*{_text(positional)}, **{_text(named)})"
        try:
            with pytest.raises((InvalidInput, TypeError)) as raised:
                function(*positional, **named)
            message = str(raised.value)
            unknown = "unexpected keyword argument" in message and name in message
            described_type = f"{raised.type}: {message[:500]}"
            assert issubclass(raised.type, InvalidInput) or unknown, described_type
            assert len(message) <= MOST_CHARACTERS and message.isprintable(), message[:1000]
            made = set(contents(folder)) - set(before)
            assert not made, f"made {sorted(made)[:5]}"
        except BaseException as error:
            before = contents(folder)
            failed.append(f"{described}\n      {type(error).__name__}: {error}"[:1000])
    return failed


def _text(value: object) -> str:
    try:
        return repr(value)[:300]
    except Exception:
        return "something without a text"


def test_every_option_of_free_text_has_bad_texts() -> None:
    options = bad_input.free_text_options() - bad_input.ANY_TEXT_IS_VALID
    assert options == set(bad_input.TEXTS)


def test_a_hundred_bad_inputs_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = refuse_lines(12, 70, place, capsys) + refuse_calls(12, 30, place)
    assert not failed, "\n\n".join([f"{len(failed)} of 100", *failed])


@pytest.mark.slow
@pytest.mark.parametrize("seed", (101, 202, 303))
def test_a_thousand_bad_inputs_are_refused(
    seed: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = refuse_lines(seed, 700, place, capsys) + refuse_calls(seed, 300, place)
    assert not failed, "\n\n".join([f"{len(failed)} of 1000", *failed])


@pytest.fixture
def launched(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A run such as `mlflow run` makes, which the process that it starts is to end."""
    (place / "store").mkdir()
    store.prepare_database()
    client = MlflowClient(tracking_uri=store.uri())
    run = client.create_run(client.create_experiment("launched"))
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    yield run.info.run_id
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
def test_twenty_bad_command_lines_end_as_processes(place: Path, launched: str) -> None:
    client = MlflowClient(tracking_uri=store.uri())
    before = contents(place)
    # an argument of a process holds no NUL, and no more characters than the system allows
    lines = (
        words
        for words in bad_input.command_lines(random.Random(7))
        if "\0" not in "".join(words) and "\ud800" not in "".join(words)
        if sum(map(len, words)) < 60_000
    )
    for arguments in itertools.islice(lines, 20):
        client.set_terminated(launched, "RUNNING")
        client.delete_tag(launched, schema.REJECTED) if _is_rejected(client, launched) else None
        ended = subprocess.run(
            [sys.executable, "-m", "composability", *arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        described = repr(arguments)[:1000]
        check_refusal(ended.stderr, ended.returncode, described)
        assert _is_rejected(client, launched), described
        assert client.get_run(launched).info.status == "KILLED", described
        experiments = client.search_experiments()
        assert {found.name for found in experiments} == {"Default", "launched"}, described
        runs = client.search_runs([found.experiment_id for found in experiments])
        assert [run.info.run_id for run in runs] == [launched], described
        assert contents(place) == before, described


def _is_rejected(client: MlflowClient, run_id: str) -> bool:
    return schema.REJECTED in client.get_run(run_id).data.tags
