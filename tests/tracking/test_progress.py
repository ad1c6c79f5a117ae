"""What a run shows while it runs."""

import io
from functools import partial
from pathlib import Path

import pytest
from tqdm import tqdm

from tracking.checkpoints.store import Checkpoints
from tracking.run import run


def shown(folder: Path, delay: float, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a run writes that keeps its checkpoints in a folder."""
    bar = io.StringIO()
    monkeypatch.setattr("tracking.run._DELAY", delay)
    monkeypatch.setattr("tracking.run.tqdm", partial(tqdm, file=bar, disable=False, ncols=200))
    cache = Checkpoints(folder)
    run("magnitude", criteria="sparsity,wikitext_ppl", checkpoints="none", cache=cache)
    return bar.getvalue()


@pytest.mark.usefixtures("local_store")
def test_a_bar_says_what_is_applied_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(tmp_path, 0.0, monkeypatch)
    assert "magnitude(sparsity=0.5): " in text
    stages = ("applying magnitude", "measuring wikitext_ppl", "measuring sparsity")
    assert all(stage in text for stage in stages)
    # another run has it all from the cache
    assert "measuring" not in shown(tmp_path, 0.0, monkeypatch)


@pytest.mark.usefixtures("local_store")
def test_a_short_run_shows_no_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(tmp_path, 1e6, monkeypatch) == ""
