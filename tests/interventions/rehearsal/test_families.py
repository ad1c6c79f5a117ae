"""Rehearsals of other families than Llama: as they are run, or not known."""

import warnings
from pathlib import Path

import pytest
import torch

from interventions.base import make
from interventions.composition import apply
from interventions.data import testbed as testbed_module
from interventions.live_memory import live_memory
from interventions.lm import LM, skeleton
from interventions.rehearsal.meta import Takes
from interventions.rehearsal.speed import H100
from interventions.rehearsal.steps import Stage, Unknown
from interventions.tokenizer import load_tokenizer
from tests.anatomies import zoo

STEPS = {
    "ga": make("ga", samples=8, last_layers=2, max_tokens=16),
    "wanda": make("wanda", samples=6),
}


@pytest.mark.parametrize(
    ("family", "name"), [("gpt2", "ga"), ("phi3", "ga"), ("gemma2", "wanda"), ("opt", "ga")]
)
def test_the_peak_is_as_rehearsed(family: str, name: str, tmp_path: Path) -> None:
    folder, data, step = zoo.build(family, tmp_path), testbed_module.testbed(), STEPS[name]
    stage = Stage(skeleton(folder), load_tokenizer(folder), torch.float32, H100)
    takes = stage.step(step, data)
    assert isinstance(takes, Takes), takes
    lm = LM.load(folder)
    with live_memory(lm.model) as memory:
        before = memory.current_bytes
        apply(step, lm, data, "0" * 32)
    assert takes.peak_bytes - before == pytest.approx(memory.peak_bytes - before, rel=0.15)


def test_where_a_router_chooses_experts_nothing_is_claimed(tmp_path: Path) -> None:
    """Which tokens an expert gets is a value."""
    folder = zoo.build("mixtral", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stage = Stage(skeleton(folder), load_tokenizer(folder), torch.float32, H100)
        takes = stage.step(STEPS["ga"], testbed_module.testbed())
    assert isinstance(takes, Unknown) and takes.reason.startswith("it cannot be rehearsed")
    assert isinstance(stage.step(make("magnitude"), testbed_module.testbed()), Takes)
