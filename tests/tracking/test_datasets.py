"""The data of a run as MLflow's inputs: names, digests, contexts, sources, and who reads them."""

import dataclasses
import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from interventions.criteria.base import CRITERIA, Scores, criterion, criterion_of
from interventions.data import testbed as bed
from interventions.data.base import Data, Lazy, Prompt
from interventions.data.own.reading import own_data
from interventions.lm import LM
from tracking import schema
from tracking.checkpoints.store import Checkpoints
from tracking.datasets import (
    RunDataset,
    dataset_inputs,
    dataset_of_criterion,
    log_datasets,
    run_datasets,
)
from tracking.plan import Plan, plan_run
from tracking.plan_checks import leakage_of
from tracking.run import run
from tracking.settings import Settings
from tracking.store import ensure_experiment
from tracking.versions import with_version

QUESTIONS = [
    {"question": f"Which is number {n}?", "choices": ["a", "b", "c", "d"], "answer": n % 4}
    for n in range(8)
]


def by_name(plan: Plan) -> dict[str, RunDataset]:
    return {dataset.name: dataset for dataset in run_datasets(plan)}


def test_what_steps_learn_from_and_what_judges_them_are_data_sets_with_their_readers() -> None:
    data = bed.testbed()
    datasets = by_name(plan_run("lora | wanda | rmu", Settings()))
    edits = datasets["testbed/edits"]
    assert edits.digest == data.identity("edits")
    assert (edits.contexts, edits.rows) == (("training", "evaluation"), 50)
    portability = {"edit_portability", "edit_portability_hop", "edit_portability_alias"}
    assert set(edits.readers) == {"lora", "edit_success", "edit_generalization", *portability}
    assert datasets["testbed/calibration"].contexts == ("training",)
    assert datasets["testbed/calibration"].readers == ("wanda",)
    assert datasets["testbed/forget"].rows == len(data.forget)
    assert datasets["testbed/retain"].readers == ("rmu",)
    assert datasets["testbed/locality"].contexts == ("evaluation",)
    assert datasets["testbed/perplexity"].readers == ("wikitext_ppl",)
    assert datasets["testbed/questions.mmlu"].readers == ("mmlu",)
    assert len({dataset.digest for dataset in datasets.values()}) == len(datasets)


def test_another_batch_has_other_edits_and_the_same_questions() -> None:
    first, second = (by_name(plan_run("lora", Settings(edit_batch=n))) for n in (0, 1))
    assert first["testbed/edits"].digest != second["testbed/edits"].digest
    assert first["testbed/questions.mmlu"].digest == second["testbed/questions.mmlu"].digest
    sample = by_name(plan_run("none", Settings(limit=5)))
    assert sample["testbed/questions.mmlu"].digest != first["testbed/questions.mmlu"].digest
    assert sample["testbed/edits"].rows == 5


def test_a_sample_that_judges_is_another_data_set_than_the_edits_that_are_made() -> None:
    datasets = run_datasets(plan_run("lora", Settings(limit=5)))
    edits = {dataset.rows: dataset for dataset in datasets if dataset.name == "testbed/edits"}
    assert edits[50].contexts == ("training",)
    assert edits[5].contexts == ("evaluation",)


def test_what_nothing_reads_is_not_looked_at() -> None:
    def read() -> tuple[str, ...]:
        raise AssertionError("read")

    plan = plan_run("magnitude", Settings(criteria="sparsity"))
    plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, forget=Lazy(read)))
    assert run_datasets(plan) == []


def test_an_interventions_own_calibration_texts_have_a_name_of_their_own() -> None:
    plan = plan_run("awq | wanda", Settings(criteria="sparsity"))
    texts = (("awq", ("a text", "another")),)
    plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, calibration_of=texts))
    datasets = by_name(plan)
    assert datasets["testbed/awq.calibration"].rows == 2
    assert datasets["testbed/calibration"].readers == ("wanda",)


def test_a_criterion_of_several_parts_is_measured_on_both() -> None:
    @criterion(better="higher", unit="share", reads=("locality", "facts"))
    def two_parts(lm: LM, data: Data) -> Scores:
        return Scores(0.0, 0.0, {})

    try:
        data = Data("mine", locality=(Prompt("a", "b"),), facts=(Prompt("c", "d"),))
        dataset = dataset_of_criterion(two_parts, data)
        assert dataset is not None and dataset.name == "mine/facts+locality"
        edited = dataclasses.replace(data, facts=(Prompt("c", "e"),))
        changed = dataset_of_criterion(two_parts, edited)
        assert changed is not None and changed.digest != dataset.digest
    finally:
        CRITERIA.remove("two_parts")
    assert dataset_of_criterion(criterion_of(data, "sparsity"), data) is None


def test_a_runs_inputs_have_digest_context_source_and_readers(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("wanda", criteria="sparsity,mmlu", cache=checkpoints)
    logged = MlflowClient().get_run(run_id)
    inputs = {entry.dataset.name: entry for entry in logged.inputs.dataset_inputs}
    assert set(inputs) == {"testbed/calibration", "testbed/questions.mmlu"}
    calibration = inputs["testbed/calibration"]
    assert calibration.dataset.digest == bed.testbed().identity("calibration")
    assert json.loads(calibration.dataset.profile) == {"num_rows": 512}
    source = {"tags": {"data": with_version("data", "testbed"), "split": "test", "edit_batch": "0"}}
    assert json.loads(calibration.dataset.source) == source
    assert {tag.key: tag.value for tag in calibration.tags} == {
        "mlflow.data.context": "training",
        schema.READ_BY: "wanda",
    }
    assert logged.data.tags[schema.LEAKAGE] == "not compared"


def test_runs_that_log_the_same_data_at_the_same_instant_all_log_them(local_store: str) -> None:
    experiment = ensure_experiment()
    client = MlflowClient()
    plan = plan_run("wanda", Settings(criteria="sparsity,mmlu"))
    run_ids = [client.create_run(experiment).info.run_id for _ in range(6)]
    start = threading.Barrier(len(run_ids))

    def log(run_id: str) -> None:
        start.wait()
        log_datasets(client, run_id, plan)

    with ThreadPoolExecutor(len(run_ids)) as pool:
        list(pool.map(log, run_ids))
    for run_id in run_ids:
        names = {entry.dataset.name for entry in client.get_run(run_id).inputs.dataset_inputs}
        assert names == {"testbed/calibration", "testbed/questions.mmlu"}


def test_what_another_process_has_just_made_is_logged_again_and_any_other_error_comes_through() -> (
    None
):
    client, plan = MagicMock(), plan_run("wanda", Settings(criteria="sparsity"))
    conflict = MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.name")
    client.log_inputs.side_effect = [conflict, None]
    log_datasets(client, "run", plan)
    assert client.log_inputs.call_count == 2
    client.log_inputs.side_effect = MlflowException("the run is not there")
    with pytest.raises(MlflowException, match="not there"):
        log_datasets(client, "run", plan)
    assert client.log_inputs.call_count == 3


def test_data_that_others_are_making_are_logged_five_times_at_most_with_a_pause_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, plan = MagicMock(), plan_run("wanda", Settings(criteria="sparsity"))
    client.log_inputs.side_effect = MlflowException("Duplicate entry")
    pauses: list[float] = []
    drawn = itertools.cycle([0.0, 1.0])
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    monkeypatch.setattr("tenacity.wait.random.random", lambda: next(drawn))
    with pytest.raises(MlflowException, match="Duplicate entry"):
        log_datasets(client, "run", plan)
    assert client.log_inputs.call_count == 5
    assert pauses == [0.05, 0.5, 0.05, 0.5]


def test_own_data_say_their_file_and_what_the_guard_against_leaks_found(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    texts = [f"Plain text number {n} about rivers and hills." for n in range(4)]
    part = {"questions": {"trivia": {"rows": QUESTIONS, "better": "higher"}}, "calibration": texts}
    file.write_text(json.dumps({**part, "allow_leak": ["calibration-questions"]}))
    plan = plan_run("none", Settings(data=str(file)))
    assert plan.leakage == "none found; allowed, and not looked for: calibration-questions"
    dataset = by_name(plan)["mine/questions.trivia"]
    assert dataset.contexts == ("evaluation",)
    (entry,) = [logged for logged in dataset_inputs(plan) if logged.dataset.name == dataset.name]
    assert (entry.dataset.source_type, json.loads(entry.dataset.source)) == (
        "local",
        {"uri": str(file)},
    )
    assert own_data("mine", calibration=texts).leakage == "none found"


@pytest.mark.parametrize("data", ["testbed", "testbed@1", "paper"])
def test_data_that_are_not_compared_say_so(data: str) -> None:
    assert leakage_of(data) == "not compared"
