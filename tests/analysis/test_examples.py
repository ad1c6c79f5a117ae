"""The documentation's example of an analysis and the notebook, run as they stand."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
# the tutorial's example reads the runs that it makes, as tests/test_docs_commands.py does
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.stem != "tutorial"),
]


def analysis_examples() -> list[str]:
    """Return the documented Python that reads runs and asks for an order to choose."""
    blocks = []
    for page in PAGES:
        blocks += re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return [block for block in blocks if "compositions(" in block and "recommend(" in block]


def test_the_documented_example_runs_in_five_lines(
    published_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", published_uri)
    (example,) = analysis_examples()
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 5
    exec(example, {})
    printed = capsys.readouterr().out
    assert "order_free_error" in printed
    assert "As printed, Wanda → FT is ahead by" in printed


@pytest.mark.full
def test_the_notebook_runs_and_shows_its_figure(
    published_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a kernel of its own, on a copy of the published store."""
    copy = shutil.copy(published_uri.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    notebook = nbformat.read(ROOT / "examples" / "composability.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("As printed, FT → GPTQ is ahead by" in output.get("text", "") for output in outputs)
    left_behind = [path for path in tmp_path.iterdir() if path.name != "mlflow.db"]
    assert not left_behind


def outputs_of(name: str, folder: Path) -> str:
    """Execute a notebook in a kernel and a folder of its own; return all that it printed."""
    notebook = nbformat.read(ROOT / "examples" / name, as_version=4)

    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs
    )


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path


@pytest.mark.slow
def test_the_notebook_of_a_first_composition_says_what_became_of_the_edit(
    empty_folder: Path,
) -> None:
    printed = outputs_of("first_composition.ipynb", empty_folder)
    assert "the edit survived wanda(sparsity=0.5)" in printed
    assert "other order, wanda(sparsity=0.5) | lora" in printed
    assert "Which order of LoRA and Wanda is better cannot be told from these runs" in printed


@pytest.mark.slow
def test_the_notebook_of_own_data_compares_both_orders(empty_folder: Path) -> None:
    printed = outputs_of("own_data.ipynb", empty_folder)
    assert "edits row 1: field 'subject' is missing" in printed
    assert "7 runs" not in printed and "order_free_error" in printed


@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda p: p.stem
)
def test_no_outputs_are_committed(notebook: Path) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
