"""The command: what it says, and what it refuses before anything runs."""

from pathlib import Path

import pytest

from composability.command import main
from interventions.errors import InvalidInput
from sweeps.study import record
from sweeps.study.runner import run_study
from tests.sweeps.study.conftest import Applied
from tests.sweeps.study.small_study import SPEC, all_runs, final_runs, parent_run, study_spec
from tracking.checkpoints.store import Checkpoints
from tracking.settings import Settings

ROOT = Path(__file__).parents[3]


def options(text: str) -> list[str]:
    """Split ``"intervention=rmu trials=5"`` into the words of a command line."""
    words = []
    for pair in text.split():
        name, _, value = pair.partition("=")
        words += [f"--{name}", value.replace("␣", " ")]
    return words


@pytest.mark.usefixtures("four_rates")
def test_a_study_with_nothing_that_meets_its_constraints_says_so(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--intervention", SPEC, *options("space=paper objective=edit_locality name=mine")]
    assert main(["tune", *words, "--constraint", "edit_locality>1"]) == 0
    assert "no trial meets edit_locality>1" in capsys.readouterr().out
    assert final_runs() == [] and parent_run().data.tags[record.TUNED] == ""


def test_a_dry_run_says_what_would_run_and_runs_nothing(
    local_store: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    words = options("intervention=rmu space=paper objective=edit_locality dry_run=true")
    assert main(["tune", *words]) == 0
    text = capsys.readouterr().out
    assert ": 75 trials of rmu by grid on space=paper, judged by validation data" in text
    assert "rmu.layer: 12 of 15 left out (6, 7," in text
    assert "then measured once with split=test" in text
    assert all_runs() == [] and not (tmp_path / "cache" / "studies").exists()


BAD = [
    ("", "give an intervention to tune"),
    (
        "intervention=rmu sampler=tpee",
        "'tpee' is not one of 'auto', 'grid', 'tpe', 'nsga2', 'random'",
    ),
    ("intervention=rmu space=papr", "'papr' is not one of 'default', 'paper'"),
    ("intervention=rmu objective=wmpd:min", "no criterion is named 'wmpd'"),
    (
        "intervention=rmu constraint=edit_success=1",
        "cannot read the constraint 'edit_success=1'",
    ),
    ("intervention=rmu sampler=grid", "sampler=grid needs space=paper"),
    ("intervention=rmu space=paper trials=5", "a grid has as many trials as points"),
    ("intervention=rmu trials=0", "trials must be an integer of at least 1, but got '0'"),
    (
        "intervention=rmu sampler_seed=x",
        "Invalid value for '--sampler-seed'",
    ),
    ("intervention=rmu storage=sqlite:///x.db", "SQLite runs points twice"),
    ("intervention=rmu pruner=half", "'half' is not one of 'none', 'median'"),
    ("intervention=rmu pruner=median", "pruner=median needs one objective"),
    (
        "intervention=wanda pruner=median objective=edit_success",
        "wanda, the last step, reports",
    ),
    (
        "intervention=rmu edit_batch=5",
        "edit_batch must be 0 to 4 on the testbed with split=validation",
    ),
    (
        "intervention=rmu(layer=7)",
        "rmu.layer names layer 7, but the model has layers 0 to 5",
    ),
    (
        "intervention=lora objective=order_sensitivity:edit_success",
        "compares the two orders of two",
    ),
    ("intervention=rmu name=it's", "name must be of letters"),
    ("intervention=rmu device=tpu", "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
    ("interventions=rmu", "No such option '--interventions'. Did you mean '--intervention'?"),
    ("intervention=rmu experiment=", "experiment"),
    ("intervention=rmu seed=4294967296", "4294967296 is not in the range 0<=x<=4294967295"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_input_is_one_line_status_2_and_no_run(
    text: str, message: str, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    objective = "" if "objective=" in text else " objective=edit_success,edit_locality"
    assert main(["tune", *options(text + objective)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert all_runs() == []


@pytest.mark.usefixtures("four_rates")
def test_a_name_of_another_space_is_refused_before_anything_runs(
    cache: Checkpoints,
    applied: Applied,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(cache.folder))
    run_study(study_spec(), cache)
    applied.steps.clear()
    words = ["--intervention", SPEC, "--objective", "edit_locality", "--name", "mine"]
    for changed, message in (
        ("", "is of space=paper, and this is space=default: give another name"),
        (
            "space=paper constraint=edit_success<1",
            "is of constraint=none, and this is constraint=edit_success<1",
        ),
        (
            "space=paper sampler_seed=123456",
            "is of sampler_seed=0, and this is sampler_seed=123456",
        ),
    ):
        assert main(["tune", *words, *options(changed)]) == 2
        assert f"study 'mine' {message}" in capsys.readouterr().err
    settings = Settings(split="validation", checkpoints="none", edit_batch=1)
    with pytest.raises(InvalidInput, match="is of edit_batch=0, and this is edit_batch=1"):
        run_study(study_spec(settings=settings), cache)
    assert applied.steps == []
