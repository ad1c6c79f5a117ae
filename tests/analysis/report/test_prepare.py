from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from analysis.report.prepare import PreparedAnalysis, check_against_runs, prepare_analysis
from analysis.report.request import AnalysisRequest
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, run
from tracking import schema, store

SWEEP = [
    *curve("ft", "wanda", [0.25, 0.5], [0.9, 0.7], [0.8, 0.6], mmlu=0.5),
    *curve("ft", "wanda", [0.75], [0.5], [0.4], mmlu=0.3),
]


def prepared(runs: list[dict[str, Any]] = SWEEP, **request: Any) -> PreparedAnalysis:
    return check_against_runs(AnalysisRequest(("one", "two"), **request), frame(runs))


def test_all_criteria_are_shown_unless_some_are_requested() -> None:
    assert prepared().criteria == ["edit_success", "mmlu"]
    analysis = prepared(criteria=("mmlu",))
    assert analysis.criteria == ["mmlu"]
    shown = analysis.shown(analysis.points)
    assert set(shown.criterion) == {"mmlu"} and shown.index.tolist() == [0, 1, 2]
    assert list(shown) == list(analysis.points)
    assert set(analysis.points.criterion) == {"edit_success", "mmlu"}  # bounds need the rest


def test_points_out_of_bounds_are_outside() -> None:
    analysis = prepared(bounds={"mmlu": 0.4})
    inside = analysis.points[analysis.points.point.isin(analysis.inside)]
    assert sorted(set(inside.level)) == [0.25, 0.5]
    assert len(prepared().inside) == 3


def test_points_are_computed_with_the_requested_error() -> None:
    def errors(error: str) -> pd.Series:
        points = prepared(error=error).points
        return points[points.criterion == "edit_success"].order_free_error

    assert errors("best").tolist() == pytest.approx([0.1, 0.3, 0.5])
    assert errors("worst").tolist() == pytest.approx([0.2, 0.4, 0.6])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"items": "some"}, "items must be auto or all or none, but got 'some'"),
        ({"error": "median"}, "error must be one of 'best', 'worst', but got 'median'"),
        ({"criteria": ("edit_sucess",)}, "no criterion 'edit_sucess'. Did you mean 'edit_success'"),
        ({"levels": {"sparsity": 0.6}}, "level sparsity=0.6: no run has it; .* 0.25, 0.5, 0.75"),
        ({"bounds": {"mmul": 0.4}}, "no criterion 'mmul'. Did you mean 'mmlu'"),
        (
            {"bounds": {"mmlu": 2.0, "edit_success": 0.1}},
            "no level is within the bounds; mmlu lies in 0.3 to 0.5, edit_success lies in 0.4 to",
        ),
    ],
)
def test_a_request_that_the_runs_cannot_meet_is_refused(
    request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        prepared(**request_)


def test_a_refusal_names_the_experiments() -> None:
    with pytest.raises(InvalidInput, match=r"^experiment one, two: no finished run is a pair"):
        prepared([run("ft", edit_success=0.9)])


def test_a_level_that_only_one_order_has_is_refused() -> None:
    runs = [*SWEEP, run("ft | wanda", level=0.9, edit_success=0.1)]
    message = r"level sparsity=0.9: only ft → wanda has it; levels that both orders have: 0.25"
    with pytest.raises(InvalidInput, match=message):
        prepared(runs, levels={"sparsity": 0.9})


def test_a_level_of_a_strength_that_no_pair_has_is_left_out_with_a_note() -> None:
    checked = prepared(levels={"sparsity": 0.5, "bits": 4.0})
    assert checked.request.levels == {"sparsity": 0.5}
    assert checked.left_out == ("level bits=4: no pair has a strength of this name",)
    with pytest.raises(InvalidInput, match="no pair has a strength named 'bits'"):
        prepared(levels={"bits": 4.0})


def test_runs_of_studies_are_left_out_unless_asked_for(local_store: str) -> None:
    client, experiment_id = MlflowClient(local_store), store.ensure_experiment()
    for trial, specs in ((None, ("ft | rmu", "rmu | ft")), ("3", ("ft | ga", "ga | ft"))):
        for spec in specs:
            run_id = client.create_run(experiment_id).info.run_id
            steps = spec.split(" | ")
            params = {
                "composition": spec, "pair": schema.pair_name(steps), **schema.step_params(steps)
            }  # fmt: skip
            for name, value in params.items():
                client.log_param(run_id, name, value)
            client.log_metric(run_id, "edit_success", 0.5)
            if trial is not None:
                client.set_tag(run_id, schema.TRIAL, trial)
            client.set_terminated(run_id)
    alone = prepare_analysis(AnalysisRequest((store.EXPERIMENT,)))
    assert set(alone.points.partner) == {"rmu"}
    assert alone.left_out == (
        "2 runs of studies (trials, and their final tests): studies=true analyses them, too",
    )
    both = prepare_analysis(AnalysisRequest((store.EXPERIMENT,), studies=True))
    assert set(both.points.partner) == {"rmu", "ga"} and both.left_out == ()


def test_an_experiment_of_studies_alone_is_refused_with_what_to_do(local_store: str) -> None:
    client, experiment_id = MlflowClient(local_store), store.ensure_experiment()
    run_id = client.create_run(experiment_id).info.run_id
    client.log_param(run_id, "composition", "ft")
    client.set_tag(run_id, schema.TRIAL, "0")
    client.set_terminated(run_id)
    with pytest.raises(InvalidInput, match="all of its 1 run are of studies; studies=true"):
        prepare_analysis(AnalysisRequest((store.EXPERIMENT,)))
