"""Runs on data of somebody's own: what they measure, how they are keyed, and what they record."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from composability.command import main
from interventions.composition import Composition
from interventions.data.own.reading import own_data, read_data_set
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.interventions.data.own.parts import edit, question, question_set
from tests.tracking.own_data import YAML, write
from tracking import query, schema
from tracking.catalogue import Catalogue
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan, RunContext, plan_run
from tracking.run import run
from tracking.settings import Settings, defaults_profile


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return write(tmp_path / "data")


def plan_of(spec: str, data: object, **settings: object) -> Plan:
    return plan_run(spec, Settings(data=str(data), **settings))  # type: ignore[arg-type]


def test_a_run_measures_what_there_is_data_for(ours: Path) -> None:
    names = [each.name for each in plan_of("wanda", ours).criteria]
    assert names == [
        "average_bits", "edit_generalization", "edit_locality", "edit_preservation",
        "edit_success", "sparsity", "wikitext_ppl", "stones", "secrets",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "missing"),
    [
        ("memit", "statistics"),
        ("rmu", "forget and retain"),
        ("ga", "forget"),
        ("lora | gd", "forget and retain"),
    ],
)
def test_a_step_that_lacks_its_part_is_refused_before_weights_are_loaded(
    ours: Path, step: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LM, "load", None)
    with pytest.raises(InvalidInput, match=rf"learns from {missing}, of which the data 'ours' ha"):
        plan_of(step, ours)


@pytest.mark.parametrize("step", ["wanda", "sparsegpt", "gptq", "awq", "ft", "lora", "memit"])
def test_without_its_data_no_step_runs(step: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("defaults: testbed\nperplexity: [a text of some words]")
    with pytest.raises(InvalidInput, match=f"{step} learns from"):
        plan_of(step, path)
    assert plan_of("magnitude | rtn", path).keys


def test_a_moved_file_has_the_same_keys_and_changed_content_others(
    ours: Path, tmp_path: Path
) -> None:
    spec = "ft(steps=2) | wanda"
    before = plan_of(spec, ours)
    moved = plan_of(spec, write(tmp_path / "moved"))
    assert moved.keys == before.keys and str(moved.settings.data) == str(before.settings.data)
    calibration = ours.parent / "calibration.txt"
    calibration.write_text(calibration.read_text() + "\n\nOne more text.")
    other_texts = plan_of(spec, ours)
    assert other_texts.keys[:2] == before.keys[:2] and other_texts.keys[2] != before.keys[2]
    edits = ours.parent / "edits.jsonl"
    edits.write_text(edits.read_text().replace("River 0", "River 10"))
    assert plan_of(spec, ours).keys[1] != before.keys[1]
    assert plan_of(spec, ours, edit_batch=1).keys[1] != plan_of(spec, ours).keys[1]


def test_hyperparameters_have_the_defaults_that_the_data_name(ours: Path, tmp_path: Path) -> None:
    assert defaults_profile(str(ours)) == "testbed"
    assert Composition.parse("wanda", "testbed") == plan_of("wanda", ours).composition
    full_scale = write(tmp_path / "large", YAML.replace("defaults: testbed", ""))
    assert defaults_profile(str(full_scale)) == "paper"
    plan = plan_of("wanda", full_scale)
    assert plan.composition == Composition.parse("wanda", "paper")
    assert plan.spec() == "wanda(sparsity=0.25)"


def test_an_answer_that_is_none_to_the_tokenizer_is_refused(tmp_path: Path) -> None:
    pad = "<pad>"  # a special token, which stands for no text
    data = own_data(edits=[edit(0), edit(1, target=pad)], defaults="testbed")
    with pytest.raises(
        InvalidInput, match="the target of edit 2, '<pad>', is nothing to the token"
    ):
        plan_run("ft", Settings(data=data))


@pytest.mark.parametrize("data", ["ours.yml2", "papr", "ours@0123456789ab", "missing.yaml"])
def test_what_is_no_data_is_refused_in_one_line(data: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="data"):
        RunContext(Settings(data=data))


def test_a_run_records_name_digest_and_file_and_its_sets_as_criteria(
    ours: Path, local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("magnitude", data=str(ours), checkpoints="none", cache=checkpoints)
    logged = MlflowClient().get_run(run_id).data
    assert logged.params["data"] == str(read_data_set(ours)) and "ours@" in logged.params["data"]
    assert logged.params["data_from"] == str(ours)
    runs = query.compositions()
    facts = Catalogue.from_runs(runs).criteria
    assert (facts["stones"].better, facts["stones"].title, facts["stones"].chance) == (
        "higher", "Stones", 0.25,
    )  # fmt: skip
    assert (facts["secrets"].better, facts["secrets"].category) == ("lower", "unlearning")
    assert 0 <= runs.iloc[0].stones <= 1
    items = query.items(runs, ["stones", "secrets"]).criterion.value_counts()
    assert dict(items) == {"stones": 20, "secrets": 5}


def test_a_data_set_of_python_is_run_as_a_file_is(
    ours: Path, local_store: str, checkpoints: Checkpoints
) -> None:
    data = own_data("rivers", edits=[edit(number) for number in range(3)], defaults="testbed")
    run_id = run("magnitude", data=data, checkpoints="none", cache=checkpoints)
    params = MlflowClient().get_run(run_id).data.params
    assert params["data"] == str(data) and "data_from" not in params
    with pytest.raises(InvalidInput, match=r"the data 'rivers@.*', which Python made"):
        load_checkpoint(run_id, 1)


def test_a_checkpoint_is_restored_from_the_file_while_it_is_the_same(
    ours: Path, local_store: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    run_id = run("wanda", data=str(ours), checkpoints="none", cache=checkpoints)
    folder = load_checkpoint(run_id, 1, tmp_path / "restored", Checkpoints(tmp_path / "empty"))
    assert (folder / "model.safetensors").exists()
    calibration = ours.parent / "calibration.txt"
    calibration.write_text(calibration.read_text() + "\n\nOne more text.")
    with pytest.raises(InvalidInput, match="model, data or versions are others now"):
        load_checkpoint(run_id, 1, tmp_path / "again", Checkpoints(tmp_path / "empty too"))
    shutil.rmtree(ours.parent)
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        load_checkpoint(run_id, 1, tmp_path / "again", checkpoints)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--criteria", "stnes"], "Did you mean 'stones'"),
        (["--criteria", "stones,stones"], "names 'stones' twice"),
        (["--criteria", "mmlu"], "mmlu is measured on questions.mmlu, of which the data 'ours'"),
        (["--edit-batch", "2"], "edit_batch must be 0 to 1 on ours"),
        (["--split", "validation"], "have nothing for split=validation"),
    ],
)
def test_the_command_refuses_what_the_data_cannot_do(
    ours: Path, local_store: str, capsys: pytest.CaptureFixture[str], options: list[str],
    message: str,
) -> None:  # fmt: skip
    assert main(["run", "magnitude", "--data", str(ours), *options]) == 2
    line = capsys.readouterr().err
    assert message in line and line.count("\n") == 1 and len(line) <= 400


def test_a_leak_is_refused_by_the_command(
    ours: Path, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ours.write_text(YAML + "retain: ['which colour has STONE 3?']")
    assert main(["run", "magnitude", "--data", str(ours)]) == 2
    assert "leak retain-questions" in capsys.readouterr().err
    assert not MlflowClient().search_experiments(filter_string=f"name = '{schema.SWEEP}'")


@pytest.mark.parametrize("name", ["all", "none", "seed", "model", "level", "status", "step1"])
def test_a_set_may_not_be_called_as_a_column_of_runs(name: str) -> None:
    sets = {name: question_set(question())}
    with pytest.raises(InvalidInput, match=f"no set of questions can be called {name}"):
        plan_run("none", Settings(data=own_data(questions=sets, defaults="testbed")))
