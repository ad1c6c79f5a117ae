"""A criterion that fails loses no other: the run goes on, says it, and is not taken for whole."""

import dataclasses
from pathlib import Path

import pytest
from mlflow import MlflowClient

from composability.command import main
from interventions.criteria import references
from interventions.criteria.base import CRITERIA, Criterion, Scores
from interventions.data.base import Data
from interventions.lm import LM
from interventions.quantization_grid import share_of_zeros
from sweeps.failures import Incomplete
from sweeps.grid.run import grid
from tracking import failures, query, schema
from tracking.checkpoints.store import Checkpoints
from tracking.own_code import track
from tracking.run import run


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two criteria; one fails on a pruned model as long as the list has a reason in it."""
    reasons = ["two\nlines"]

    def measure(lm: LM, data: Data) -> Scores:
        zeros = max(share_of_zeros(weight) for weight in lm.model.parameters() if weight.dim() > 1)
        if reasons and zeros > 0.2:
            raise RuntimeError(reasons[0])
        return Scores(1.0, 0.0, {"0": 1.0})

    sparsity = CRITERIA.get("sparsity")
    broken = Criterion("fragile", "higher", "share", 1, frozenset(), measure)
    monkeypatch.setattr(CRITERIA, "_entries", {"fragile": broken, "sparsity": sparsity})
    return reasons


def test_the_others_are_measured_and_the_run_says_what_failed(
    fragile: list[str], local_store: str, checkpoints: Checkpoints
) -> None:
    with pytest.warns(UserWarning, match="criterion fragile failed after step 1, and the rest"):
        run_id = run("magnitude", checkpoints="none", cache=checkpoints)
    logged = MlflowClient().get_run(run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics["sparsity"] == pytest.approx(0.5, abs=0.01)
    expected = {1: {"fragile": "RuntimeError: two lines"}}
    assert failures.from_tag(logged.data.tags) == expected
    assert failures.of_run(run_id) == [
        "criterion fragile failed after step 1: RuntimeError: two lines"
    ]


def test_the_base_models_value_is_not_taken_for_the_last(
    fragile: list[str], local_store: str, checkpoints: Checkpoints
) -> None:
    with pytest.warns(UserWarning, match="fragile failed"):
        run_id = run("magnitude", checkpoints="none", cache=checkpoints)
    run_of_store = MlflowClient().get_run(run_id)
    assert run_of_store.data.metrics["fragile"] == 1.0  # of step 0
    assert "fragile" not in failures.final_metrics(run_of_store)
    row = query.compositions().iloc[0]
    assert "fragile" not in row and "stderr/fragile" not in row and row.sparsity > 0.4


def test_a_run_of_which_nothing_can_be_measured_fails(
    fragile: list[str], local_store: str, checkpoints: Checkpoints
) -> None:
    with pytest.raises(RuntimeError, match="two"):
        run("magnitude", criteria="fragile", checkpoints="none", cache=checkpoints)
    assert query.compositions().iloc[0].status == "FAILED"


def test_the_command_ends_with_status_1_and_a_line(
    fragile: list[str],
    local_store: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    with pytest.warns(UserWarning, match="fragile failed"):
        assert main(["run", "magnitude", "--checkpoints", "none"]) == 1
    printed = capsys.readouterr()
    assert "run " in printed.out
    assert "error: criterion fragile failed after step 1: RuntimeError: two lines" in printed.err
    assert main(["run", "none", "--checkpoints", "none"]) == 0


def test_a_grid_says_which_and_tries_again_with_the_other_scores_at_hand(
    fragile: list[str], local_store: str, checkpoints: Checkpoints
) -> None:
    call = {"length": "0..1", "name": "small", "cache": checkpoints}
    with (
        pytest.warns(UserWarning, match="fragile failed"),
        pytest.raises(Incomplete, match=r"1 of 2 failed(?s:.*)criterion fragile failed after st"),
    ):
        grid("magnitude", **call)  # type: ignore[arg-type]
    fragile.clear()
    result = grid("magnitude", **call)  # type: ignore[arg-type]
    assert (result.runs, result.finished_before, result.finished_now) == (2, 1, 1)
    runs = query.compositions()
    assert len(runs) == 2 and list(runs.fragile) == [1.0, 1.0]


def test_where_the_base_model_does_not_answer_the_other_criteria_are_measured(
    local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(lm: LM, data: Data) -> tuple[str, ...]:
        raise MemoryError

    answering = [
        dataclasses.replace(reference, answers=broken) for reference in references.REFERENCES
    ]
    monkeypatch.setattr(references, "REFERENCES", answering)
    names = ("edit_preservation", "sparsity")
    monkeypatch.setattr(CRITERIA, "_entries", {name: CRITERIA.get(name) for name in names})
    with (
        pytest.warns(UserWarning, match="the answers of the base model failed: MemoryError"),
        pytest.warns(UserWarning, match="edit_preservation failed after step 0"),
    ):
        run_id = run("none", checkpoints="none", cache=Checkpoints(tmp_path / "cache"))
    assert MlflowClient().get_run(run_id).data.metrics["sparsity"] == 0.0


@pytest.mark.parametrize("text", ["", "[]", "x", '{"a": {}}', '{"1": 2}', "[" * 10**5])
def test_somebodys_own_tag_is_no_failure(text: str) -> None:
    assert failures.from_tag({schema.FAILED_CRITERIA: text}) == {}


def test_a_long_tag_says_which_failed_if_not_why() -> None:
    many = {1: {f"criterion_{number}": "x" * 150 for number in range(100)}}
    tag = failures.failures_tag(many)
    assert len(tag) < 8000  # MLflow's limit
    assert set(failures.from_tag({schema.FAILED_CRITERIA: tag})[1]) == set(many[1])


def test_own_code_says_what_failed_after_which_of_its_steps(
    fragile: list[str], local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    with (
        pytest.warns(UserWarning, match="criterion fragile failed after step 2, and the rest"),
        track(lm.model, lm.tokenizer, cache=checkpoints, criteria="all", limit=20) as composition,
    ):
        composition.apply("rtn(bits=8)")
        composition.apply("magnitude(sparsity=0.5)")
    assert failures.of_run(composition.run_id) == [
        "criterion fragile failed after step 2: RuntimeError: two lines"
    ]


def test_own_code_of_which_nothing_can_be_measured_fails(
    fragile: list[str], local_store: str, lm: LM, checkpoints: Checkpoints
) -> None:
    options = {"criteria": "fragile", "checkpoints": "none", "cache": checkpoints}
    with (
        pytest.raises(RuntimeError, match="two"),
        track(lm.model, lm.tokenizer, **options) as composition,  # type: ignore[arg-type]
    ):
        composition.apply("magnitude(sparsity=0.5)")
    assert MlflowClient().get_run(composition.run_id).info.status == "FAILED"
