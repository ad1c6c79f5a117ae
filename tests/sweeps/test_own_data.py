"""Grids and studies on data of somebody's own, with chosen criteria and a sample."""

from pathlib import Path
from typing import Any

import pytest

from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from sweeps.grid.run import grid
from sweeps.grid.spec import GridRequest
from sweeps.study.final_test import final_split
from sweeps.study.request import read_study_request
from sweeps.study.spec import StudySpec
from tests.interventions.data.own.parts import edit, question, question_set
from tests.tracking.own_data import YAML, write
from tracking import query
from tracking.checkpoints.store import Checkpoints

STONES = [question(number) for number in range(10)]
PARTS: dict[str, Any] = {
    "edits": [edit(number) for number in range(6)],
    "questions": {"stones": question_set(*STONES)},
    "calibration": ["A lighthouse was built by hand."],
    "validation": 0.5,
    "defaults": "testbed",
}


def test_a_grid_has_the_batches_and_criteria_of_the_data(
    tmp_path: Path, local_store: str, checkpoints: Checkpoints
) -> None:
    path = write(tmp_path / "data")
    call: dict[str, Any] = {
        "length": "0..1", "edit_batches": 2, "data": str(path), "criteria": "stones,edit_success",
        "limit": 4, "cache": checkpoints,
    }  # fmt: skip
    result = grid("magnitude", **call)
    assert result.runs == 4  # success is that of the batch
    runs = query.compositions()
    measured = runs[runs.sweep != ""]
    assert set(measured.limit) == {4} and set(measured.criteria) == {"stones,edit_success"}
    assert "wikitext_ppl" not in runs and runs.stones.notna().sum() == 4
    items = query.items(measured, ["stones"]).groupby("run_id").size()
    assert set(items) == {4}
    assert grid("magnitude", **call).finished_now == 0
    assert grid("magnitude", **{**call, "limit": 5}).finished_now == 4


def test_equal_jobs_are_those_of_equal_criteria_samples_and_content(tmp_path: Path) -> None:
    path = write(tmp_path / "data")
    other = write(tmp_path / "other", YAML.replace("first: 5", "first: 6"))
    requests = [
        {"data": str(path)},
        {"data": str(path), "limit": 3},
        {"data": str(path), "criteria": "stones"},
        {"data": str(other)},
    ]
    ids = [GridRequest("rtn", length=1, **each).checked().jobs[0].id for each in requests]  # type: ignore[arg-type]
    assert len(set(ids)) == len(ids)
    again = GridRequest("rtn", length=1, data=str(write(tmp_path / "moved"))).checked()
    assert again.jobs[0].id == ids[0]


def test_a_data_set_of_python_makes_a_grid() -> None:
    data = own_data("rivers", **{**PARTS, "batch": 2})
    request = GridRequest("magnitude", length=1, edit_batches=2, data=data).checked()
    assert len(request.jobs) == 2 and request.params["data"] == str(data)


NO_EDITS = own_data("stones", **{key: value for key, value in PARTS.items() if key != "edits"})


def study(**changed: Any) -> StudySpec:
    values = {"data": own_data("rivers", **PARTS), "objective": "stones", **changed}
    return StudySpec(read_study_request("magnitude", **values))


def test_a_study_is_judged_by_the_data_of_validation() -> None:
    spec = study()
    (objective,) = spec.objectives
    assert (objective.criterion, objective.direction) == ("stones", "maximize")
    assert len(spec.context.data.questions.sets[0].questions) == 5
    assert spec.about()["data"].startswith("rivers@")
    names = {study(limit=2).request.name, study(criteria="stones").request.name, spec.request.name}
    assert len(names) == 3
    assert final_split(spec.request.settings.data) == "test"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"criteria": "sparsity"}, "stones judges the trials, so it must be among criteria='spar"),
        ({"objective": "edit_success", "data": NO_EDITS}, "edit_success is measured on edits, of"),
        ({"objective": "stnes"}, "no criterion is named 'stnes'. Did you mean 'stones'"),
        ({"constraint": "edit_success>0.5", "data": NO_EDITS}, "edit_success is measured on edits"),
        ({"limit": -1}, "limit must be an integer of at least 0, but got -1"),
        ({"data": own_data(edits=[edit(0)], defaults="testbed")}, "nothing for split=validation"),
    ],
)
def test_a_study_that_cannot_be_judged_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        study(**changed)
