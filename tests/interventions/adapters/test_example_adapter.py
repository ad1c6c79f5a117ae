"""How the shipped adapter was made: what is trained on what, and what is left of peft's files."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from interventions.adapters import example_adapter
from interventions.adapters.adapter import EXAMPLE_FOLDER
from interventions.adapters.config import CONFIG
from interventions.adapters.example_adapter import train_example
from interventions.adapters.files import WEIGHTS, read_adapter
from interventions.data.base import Edit
from interventions.lm import LM


def test_the_example_that_is_shipped_has_the_configuration_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []

    def note(
        lm: LM, pairs: list[tuple[str, str]], weights: list[nn.Parameter], **rest: Any
    ) -> None:
        shapes = {tuple(weight.shape) for weight in weights if weight.requires_grad}
        calls.append({"pairs": pairs, "count": len(weights), "shapes": shapes, **rest})

    def edits_of_batch(batch: int) -> SimpleNamespace:
        edits = [Edit(f"Ana {n}", f"Ana {n} likes", f"milk {batch}", "tea", ()) for n in range(12)]
        return SimpleNamespace(edits=edits)

    monkeypatch.setattr(example_adapter, "train_on_answers", note)
    monkeypatch.setattr(example_adapter, "testbed", edits_of_batch)
    train_example(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {CONFIG, WEIGHTS}
    written, shipped = (
        json.loads((folder / CONFIG).read_text()) for folder in (tmp_path, EXAMPLE_FOLDER)
    )
    for config in (written, shipped):
        del config["peft_version"]
        config["target_modules"].sort()
    assert written == shipped and written["base_model_name_or_path"] == "testbed/model"
    ours, theirs = read_adapter(tmp_path), read_adapter(EXAMPLE_FOLDER)
    assert ours.scale == theirs.scale and (ours.scale.rank, ours.scale.alpha) == (2, 8)
    for name, factors in theirs.factors.items():
        assert ours.factors[name].a.shape == factors.a.shape
    assert calls == [
        {
            "pairs": [(f"Ana {n} likes", " milk 19") for n in range(10)],
            "count": 24,  # two factors of two matrices of six blocks
            "shapes": {(2, 128), (64, 2), (2, 512), (128, 2)},
            "steps": 60,
            "lr": 5e-3,
        }
    ]
