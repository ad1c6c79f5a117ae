"""The commands that write runs ask the store before they import what takes seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.full
@pytest.mark.parametrize(
    "words",
    [["run", "magnitude"], ["grid", "--interventions", "magnitude"], ["tune", "magnitude"]],
    ids=lambda words: str(words[0]),
)
def test_a_store_that_is_away_is_said_before_torch_is_imported(words: list[str]) -> None:
    code = (
        "import sys; from composability.command import main\n"
        f"status = main({words!r})\n"
        "print(status, [name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.stdout.split(maxsplit=1) == ["2", "[]\n"]
    assert ended.stderr.startswith("error: the store http://127.0.0.1:9 cannot be reached")
    assert ended.stderr.count("\n") == 1
