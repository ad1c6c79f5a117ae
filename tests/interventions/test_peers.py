"""Our GPTQ, AWQ, Wanda and SparseGPT against other people's, each in an environment of its own (tests/peers)."""

import functools
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from interventions.compression import backends
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.peers import CHECKOUT, environment

PERPLEXITY = 0.02
OUTPUT_ERROR = 0.25  # perplexity alone would pass rounding to nearest at 4 bits, whose output error is 2.9 times GPTQ's


@functools.cache
def compared(backend: str, method: str, **settings: float) -> dict[str, Any]:
    """What tests.peers.compare finds; timed once, without warming up."""
    options = [f"--{name}={value}" for name, value in settings.items()]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [
            str(environment(backend)),
            "-m",
            "tests.peers.compare",
            f"--backend={backend}",
            f"--method={method}",
        ]
        subprocess.run(
            [*command, *options, "--repeats=0", f"--out={out}"], cwd=CHECKOUT, check=True
        )
        figures: dict[str, Any] = json.loads(out.read_text())
    own, peer = figures["own"], figures["peer"]
    print(
        f"{method} {settings}, own / {backend}: perplexity {own['wikitext_ppl']:.4f} / {peer['wikitext_ppl']:.4f}"
        f" (base {figures['base_ppl']:.4f}), {own['seconds']:.1f} / {peer['seconds']:.1f} s, output error"
        f" {own['block_errors'][-1]:.4f} / {peer['block_errors'][-1]:.4f}, equal masks {figures['equal_mask']:.4f}"
    )
    return figures


def close(figures: dict[str, Any]) -> bool:
    """Perplexity within 2 %, no much larger error of the model's outputs, and both have the property they promise."""
    alike = abs(figures["ratio_ppl"] - 1) < PERPLEXITY and figures["ratio_error"] < 1 + OUTPUT_ERROR
    return alike and figures["own"]["holds"] and figures["peer"]["holds"]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("backend", ["gptqmodel", "llmcompressor"])
def test_gptq_is_as_good_as_a_peers(backend: str, bits: int) -> None:
    assert close(compared(backend, "gptq", bits=bits, group=64))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "bits"), [("autoawq", 4), ("llmcompressor", 3), ("llmcompressor", 4)]
)
def test_awq_is_as_good_as_a_peers(backend: str, bits: int) -> None:
    assert close(compared(backend, "awq", bits=bits, group=64))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
def test_pruning_is_as_good_as_a_peers(method: str) -> None:
    assert close(compared("llmcompressor", method, sparsity=0.5))


def test_a_backend_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for backend in ("gptqmodel", "autoawq", "llmcompressor"):
        with pytest.raises(
            InvalidInput, match=rf"pip install 'composable-interventions\[{backend}\]'"
        ):
            backends.require(backend)


def test_backends_refuse_what_they_cannot_do(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "require", lambda backend: None)
    with pytest.raises(InvalidInput, match="4 bits in groups only, but got bits=3, group=64"):
        backends.autoawq(lm, small.calibration, bits=3, group=64)
    with pytest.raises(InvalidInput, match=r"knows groups of -1, 16, 32, .*, but got 24"):
        backends.gptqmodel(
            lm, small.calibration, bits=4, group=24, symmetric=False, act_order=False, damp=0.01
        )
