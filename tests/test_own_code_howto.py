"""The page on somebody's own code: its snippet runs as it is printed."""

import re
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

PAGE = Path(__file__).resolve().parents[1] / "docs" / "howto" / "own-code.md"


@pytest.mark.full
def test_the_snippet_logs_both_steps(
    local_store: str, kept_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(kept_folder))
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(snippet, PAGE.name, "exec"), names)
    logged = MlflowClient().get_run(names["composition"].run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.params["composition"] == ("magnitude(sparsity=0.3) | forget_faster(lr=0.01)")
    assert {"mmlu", "wmdp", "sparsity"} <= set(logged.data.metrics)
