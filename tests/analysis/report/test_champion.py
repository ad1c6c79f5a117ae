"""Which run `analyze --register` registers: that of the order which a test says is better."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.inference.recommend import advise
from analysis.report.answer import PairTest
from analysis.report.champion import RecommendedRun, _tags, recommended_run
from analysis.report.prepare import check_against_runs
from analysis.report.request import AnalysisRequest, read_analysis_request
from interventions.errors import InvalidInput
from tests.analysis.report.findings.sentences import replicated
from tests.analysis.synthetic import frame
from tracking import schema

Rows = list[dict[str, Any]]
DIFFERS = replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.5})
ALIKE = replicated("lora", "wanda", {0.5: 0.7}, {0.5: 0.699})


def champion(runs: Rows, pair: str = "", **request: Any) -> RecommendedRun:
    prepared = check_against_runs(AnalysisRequest(("made up",), **request), frame(runs))
    advice = advise(prepared.runs, prepared.points, prepared.titles, bounds=prepared.request.bounds)
    return recommended_run(prepared, advice, pair)


def test_the_first_batch_of_the_better_order_is_registered_with_its_interval() -> None:
    chosen = champion(DIFFERS)
    (run,) = [row for row in DIFFERS if row["run_id"] == chosen.run_id]
    assert run["composition"].startswith("ft | wanda")
    batches = {row["edit_batch"] for row in DIFFERS if row["composition"] == run["composition"]}
    assert run["edit_batch"] == min(batches)
    assert chosen.tags[schema.RECOMMENDED] == "ft → wanda"
    assert float(chosen.tags[schema.GAIN]) == pytest.approx(0.4, abs=0.01)
    low, high = chosen.tags[schema.GAIN_INTERVAL].partition(",")[0].split(" to ")
    assert float(low) < 0.4 < float(high)
    assert chosen.tags[schema.GAIN_INTERVAL].endswith("95 % over edit batches")
    assert float(chosen.tags[schema.GAIN_P].partition(",")[0]) < 0.05
    assert champion(DIFFERS[::-1]).run_id == chosen.run_id


@pytest.mark.parametrize(
    ("low", "high", "has_interval"),
    [(0.1, 0.3, True), (math.nan, 0.3, False), (0.1, math.inf, False)],
)
def test_only_an_interval_with_both_ends_is_a_tag(
    low: float, high: float, has_interval: bool
) -> None:
    advice: Any = SimpleNamespace(score=0.2, low=low, high=high, p_holm=0.01, basis="seeds")
    tags = _tags("ft → wanda", advice, PairTest(factor=2.0, p=0.001))
    assert (schema.GAIN_INTERVAL in tags) == has_interval
    assert (tags[schema.GAIN], tags[schema.GAIN_P]) == ("0.2", "0.02, corrected over all pairs")


def test_an_order_that_no_test_supports_is_not_registered() -> None:
    with pytest.raises(InvalidInput, match=r"no test says which order of lora \+ wanda is better"):
        champion(ALIKE)


def test_of_several_pairs_one_must_be_named() -> None:
    runs = [*DIFFERS, *ALIKE]
    with pytest.raises(InvalidInput, match=r"of a pair there are 2; analysed: ft \+ wanda, lora"):
        champion(runs)
    assert champion(runs, "ft + wanda").run_id == champion(DIFFERS).run_id
    with pytest.raises(InvalidInput, match=r"of the pair 'ft \+ rtn' there are 0"):
        champion(runs, "ft + rtn")


def test_a_level_at_which_the_other_order_is_ahead_is_not_registered() -> None:
    """On average FT first is better by far, and at sparsity 0.25 it is a little worse."""
    runs = replicated("ft", "wanda", {0.25: 0.69, 0.5: 0.95}, {0.25: 0.7, 0.5: 0.4})
    with pytest.raises(InvalidInput, match=r"but not at sparsity 0.25: nothing was registered"):
        champion(runs, levels={"sparsity": 0.25})
    chosen = champion(runs, levels={"sparsity": 0.5})
    (run,) = [row for row in runs if row["run_id"] == chosen.run_id]
    assert run["wanda.sparsity"] == 0.5


def test_the_command_line_names_a_model_or_a_pair_and_a_model() -> None:
    def read(text: str) -> tuple[str, str]:
        request = read_analysis_request("made up", ui="http://host:1", register=text)
        return request.champion_pair, request.champion

    assert read("none") == ("", "")
    assert read("edited and pruned") == ("", "edited and pruned")
    assert read("wanda + lora: pruned") == ("lora + wanda", "pruned")
    for text in ("lora + wanda:", "lora: pruned", "a + b + c: pruned", " "):
        with pytest.raises(InvalidInput, match="register must be"):
            read(text)
