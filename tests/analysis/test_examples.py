"""The README's example and the notebook, run as they stand."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]


def test_the_readmes_example_runs_in_five_lines(
    published_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", published_uri)
    section = (ROOT / "README.md").read_text().partition("\n## Analysis\n")[2]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example is not None
    assert sum(bool(line.strip()) for line in example[1].splitlines()) == 5
    exec(example[1], {})
    printed = capsys.readouterr().out
    assert "order_free_error" in printed
    assert "Wanda → FT is better by" in printed


@pytest.mark.full
def test_the_notebook_runs_and_shows_its_figure(
    published_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a kernel of its own, on a copy of the published store."""
    copy = shutil.copy(published_uri.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    notebook = nbformat.read(ROOT / "examples" / "composability.ipynb", as_version=4)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("FT → GPTQ is better by" in output.get("text", "") for output in outputs)
    assert not [
        path for path in tmp_path.iterdir() if path.name != "mlflow.db"
    ]  # it leaves nothing behind
