"""The page on comparing in MLflow's UI: its commands, run one after another as they are printed."""

import re
import shlex
from pathlib import Path

import pytest
from mlflow import MlflowClient

from composability.command import main
from tests.checkouts import ROOT
from tests.tracking.test_saved_views import saved_state
from tracking import store

PAGE = (ROOT / "docs" / "howto" / "compare.md").read_text()


def commands() -> list[list[str]]:
    printed = re.findall(r"^composability .+$", PAGE, re.MULTILINE)
    return [shlex.split(line)[1:] for line in printed]


def test_the_page_shows_every_picture_that_the_script_makes() -> None:
    shown = set(re.findall(r"\(\.\./images/([\w-]+\.png)\)", PAGE))
    assert shown == {path.name for path in (ROOT / "docs" / "images").glob("ui-*.png")}


@pytest.mark.slow
def test_the_commands_lead_to_charts_of_both_orders(
    local_store: str,
    kept_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept_folder))
    *runs, compare, serve = commands()
    assert [words[0] for words in (*runs, compare, serve)] == ["run", "run", "compare", "setup"]
    for words in runs:
        assert main([*words, "--checkpoints", "none"]) == 0
    capsys.readouterr()
    assert main(compare) == 0
    printed = capsys.readouterr().out
    key = re.findall(r"^both orders in charts: \S+viewStateShareKey=(\S+)$", printed, re.MULTILINE)
    experiment = MlflowClient().get_experiment(store.ensure_experiment())
    view = saved_state(experiment.tags[f"mlflow.sharedViewState.{key[0]}"])
    run_ids = [run.info.run_id for run in MlflowClient().search_runs([experiment.experiment_id])]
    assert len(run_ids) == 2 and all(run_id in view["searchFilter"] for run_id in run_ids)
    assert main([word for word in serve if word != "--serve"]) == 0
    assert "viewStateShareKey=criteria" in capsys.readouterr().out
