"""How perplexity's windows are set: checked, recorded if they are not the usual ones, restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from interventions.criteria.base import CRITERIA
from interventions.errors import InvalidInput
from tracking import query
from tracking.checkpoints.restore import load_checkpoint
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext, plan_run
from tracking.run import run
from tracking.settings import Settings


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stride": -1}, "stride must be .* but got -1"),
        ({"stride": True}, "stride must be .* but got True"),
        ({"stride": "8"}, "stride must be .* but got '8'"),
        ({"stride": 65}, "stride must be 0 .* at most 64, .* but got 65: tokens between two"),
        ({"stride": 33, "window": 32}, "at most 32, the tokens of a window, but got 33"),
        ({"tail": "dorp"}, "tail must be keep or drop, but got 'dorp'"),
    ],
)
def test_windows_that_cannot_be_are_refused_before_anything_is_loaded(
    changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        plan_run("none", Settings(**changed))


def test_another_stride_or_tail_has_other_scores_and_the_same_checkpoints() -> None:
    perplexity = CRITERIA.get("wikitext_ppl")
    settings: dict[str, dict[str, Any]] = {
        "usual": {}, "stride": {"stride": 16}, "tail": {"tail": "drop"}, "none": {"stride": 64},
    }  # fmt: skip
    plans = {text: plan_run("magnitude", Settings(**changed)) for text, changed in settings.items()}
    assert len({tuple(plan.keys) for plan in plans.values()}) == 1
    identities = {text: perplexity.identity(plan.data) for text, plan in plans.items()}
    assert identities["usual"] == identities["none"]
    assert identities["stride"] != identities["usual"] != identities["tail"]


def test_the_data_of_usual_windows_are_those_that_there_were() -> None:
    """They know the hashes of their parts."""
    context = RunContext(Settings(window=64))
    assert context.data is context._run_data._own
    assert RunContext(Settings(stride=8)).data.stride == 8


def test_a_run_says_its_windows_where_they_are_not_the_usual_ones_and_is_restored(
    local_store: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"criteria": "wikitext_ppl", "limit": 8, "cache": checkpoints}
    usual = run("magnitude", **options)
    other = run("magnitude", stride=8, window=16, tail="drop", checkpoints="last", **options)
    params = {id: MlflowClient().get_run(id).data.params for id in (usual, other)}
    assert {"stride", "tail"} & set(params[usual]) == set()
    assert (params[other]["stride"], params[other]["tail"]) == ("8", "drop")
    rows = query.compositions().set_index("run_id")
    said = rows.loc[[usual, other], ["stride", "tail"]]
    assert said.to_numpy().tolist() == [[0, "keep"], [8, "drop"]]
    assert rows.wikitext_ppl[usual] != rows.wikitext_ppl[other]
    assert (load_checkpoint(other, 1, tmp_path / "whole", checkpoints) / "config.json").exists()
