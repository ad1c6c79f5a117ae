"""AWQ on small models of many families: which layers are scaled, and that the function stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from interventions.compression.awq import AWQ
from interventions.compression.calibration import Inputs
from interventions.feeders import Feeder
from interventions.lm import LM
from interventions.step_metrics import recorded_metrics
from tests.anatomies.texts import sentences, tiny_data
from tests.anatomies.zoo import ANATOMIES, build

# the share of the layers that can be scaled; the others read a GELU (bloom, gpt-neox, gpt2, mpt and
# the MLPs of gpt-j, phi, starcoder2), what a residual reads too (falcon), a latent (deepseek-v3),
# 1 + up (gpt-oss), or have no norm before them (olmo2, opt-350m)
SCALED = {
    "bloom": 3 / 4,
    "cohere2": 1.0,
    "deepseek-v3": 37 / 40,
    "falcon": 1 / 2,
    "gemma1": 1.0,
    "gemma2": 1.0,
    "gemma3": 1.0,
    "gemma3-text": 1.0,
    "gpt-j": 5 / 6,
    "gpt-neox": 3 / 4,
    "gpt-oss": 2 / 3,
    "gpt2": 3 / 4,
    "llama": 1.0,
    "mistral": 1.0,
    "mixtral": 1.0,
    "mpt": 3 / 4,
    "olmo2": 2 / 7,
    "opt": 1.0,
    "opt-350m": 1 / 3,
    "phi": 5 / 6,
    "phi3": 1.0,
    "qwen2": 1.0,
    "qwen2-window": 1.0,
    "qwen3": 1.0,
    "qwen3-moe": 1.0,
    "starcoder2": 5 / 6,
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anatomies")


def logits(lm: LM) -> Tensor:
    encoded = lm.encode(sentences(6, seed=3))
    with torch.inference_mode():
        return lm.model(**encoded).logits[encoded["attention_mask"].bool()]


def some_scale(step: AWQ, fed: Sequence[tuple[Tensor, Inputs]], feeder: Feeder) -> Tensor:
    return feeder.shared(torch.linspace(0.5, 2.0, fed[0][0].shape[1]))


@pytest.mark.filterwarnings("ignore:calibration:UserWarning")  # experts that see few tokens
@pytest.mark.parametrize("name", sorted(ANATOMIES))
def test_scales_move_into_what_comes_before_and_the_function_stays(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the scale, without rounding nothing of the model's function may change."""
    monkeypatch.setattr(LM, "quantize", lambda *given: None)
    monkeypatch.setattr(AWQ, "search", some_scale)
    lm = LM.load(build(name, folder))
    before = logits(lm)
    with recorded_metrics() as metrics:
        AWQ(bits=3, group=-1, samples=8).apply(lm, tiny_data())
    assert (logits(lm) - before).norm() < 1e-3 * before.norm()
    assert metrics == {"awq/scaled": pytest.approx(SCALED[name], abs=1e-3)}
