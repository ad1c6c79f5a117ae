"""Our GPTQ, AWQ, Wanda and SparseGPT against other people's, each in an environment of its own."""

import functools
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from interventions.anatomy import block_linears, blocks
from interventions.composition import Composition
from interventions.compression.backends import autoawq, gptqmodel, llmcompressor
from interventions.compression.backends.installed import require
from interventions.compression.backends.llmcompressor import signed_grids
from interventions.compression.backends.transfer import bring_back, saved_copy, token_ids
from interventions.compression.quantization import fit_grid
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.interventions.merging.branches import small_lm
from tests.peers import CHECKOUT, environment

PERPLEXITY = 0.02


# perplexity alone would pass rounding to nearest at 4 bits, whose output error is 2.9 times GPTQ's
OUTPUT_ERROR = 0.25


@functools.cache
def compared(backend: str, method: str, **settings: float) -> dict[str, Any]:
    """Return the figures of tests.peers.compare; timed once, without warming up."""
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
    ours, theirs = figures["own"], figures["peer"]
    print(
        f"{method} {settings}, own / {backend}:"
        f" perplexity {ours['wikitext_ppl']:.4f} / {theirs['wikitext_ppl']:.4f}"
        f" (base {figures['base_ppl']:.4f}),"
        f" {ours['seconds']:.1f} / {theirs['seconds']:.1f} s,"
        f" output error {ours['block_errors'][-1]:.4f} / {theirs['block_errors'][-1]:.4f},"
        f" equal masks {figures['equal_mask']:.4f}"
    )
    return figures


def close(figures: dict[str, Any]) -> bool:
    """Return whether perplexities are within 2 %, errors of outputs alike, and promises held."""
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
            require(backend)


def test_backends_refuse_what_they_cannot_do(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (autoawq, gptqmodel):
        monkeypatch.setattr(module, "require", lambda backend: None)
    with pytest.raises(InvalidInput, match="4 bits in groups only, but got bits=3, group=64"):
        autoawq.awq(lm, small.calibration, bits=3, group=64)
    with pytest.raises(InvalidInput, match=r"knows groups of -1, 16, 32, .*, but got 24"):
        gptqmodel.gptq(
            lm,
            small.calibration,
            bits=4,
            group=24,
            symmetric=False,
            act_order=False,
            static_groups=True,
            true_sequential=True,
            damp=0.01,
        )
    for options in ("", ", static_groups=True", ", true_sequential=False"):
        with pytest.raises(InvalidInput, match="static_groups=True, true_sequential=False"):
            Composition.parse(f"gptq(backend='llmcompressor'{options})")
    Composition.parse("gptq(backend='llmcompressor', static_groups=True, true_sequential=False)")


def test_llm_compressors_signed_grids_become_unsigned_ones(lm: LM) -> None:
    """It adds scales and zero points to the blocks' own parameters; symmetric grids have none."""
    scale = torch.tensor([[0.5, 0.25]]).expand(128, 2)
    names = list(block_linears(lm.model))
    weights = {f"{name}.weight_scale": scale for name in names}
    weights |= {f"{names[0]}.weight_zero_point": torch.full((128, 2), -3, dtype=torch.int8)}
    grids = signed_grids(lm.model, weights, bits=3)
    assert list(grids) == names
    widths = {name: matrix.in_features for name, matrix in block_linears(lm.model).items()}
    assert {name: grid.group for name, grid in grids.items()} == {
        name: width // 2 for name, width in widths.items()
    }
    assert torch.equal(grids[names[0]].scale, scale)
    assert [grids[name].zero.unique().tolist() for name in names[:2]] == [[1.0], [4.0]]


def test_weights_come_back_rounded_to_their_grids(lm: LM) -> None:
    """A layer with a grid is rounded, a weight without one is copied, all others stay."""
    before = {name: weight.clone() for name, weight in blocks(lm.model).named_parameters()}
    weights = {
        name: before[name] + 0.01
        for name in ("0.mlp.up_proj.weight", "0.input_layernorm.weight", "1.mlp.up_proj.weight")
    }
    grids = {"0.mlp.up_proj": fit_grid(weights["0.mlp.up_proj.weight"], 3, 64, symmetric=True)}
    assert bring_back(lm, weights, grids) is lm
    after = dict(blocks(lm.model).named_parameters())
    rounded = grids["0.mlp.up_proj"].nearest(weights["0.mlp.up_proj.weight"])
    expected = before | weights | {"0.mlp.up_proj.weight": rounded}
    assert all(torch.equal(after[name], weight) for name, weight in expected.items())
    assert set(lm.grids) == {"0.mlp.up_proj"}
    assert lm.on_grid("0.mlp.up_proj", after["0.mlp.up_proj.weight"], 3, 64)


def test_a_backend_gets_a_copy_of_the_model_and_texts_without_padding(lm: LM, small: Data) -> None:
    with saved_copy(lm) as folder:
        assert LM.load(folder).fingerprint() == lm.fingerprint()
    assert not folder.exists()
    ids = token_ids(lm, small.calibration)
    texts = [lm.tokenizer.decode(text_ids, skip_special_tokens=True) for text_ids in ids]
    assert texts == list(small.calibration)
    assert len(set(map(len, ids))) > 1


@pytest.mark.parametrize(
    ("backend", "run", "fields"),
    [
        ("autoawq", autoawq.awq, ["bits", "group"]),
        (
            "gptqmodel",
            gptqmodel.gptq,
            ["bits", "group", "symmetric", "act_order", "static_groups", "true_sequential", "damp"],
        ),
        ("llmcompressor", llmcompressor.compress, ["method"]),
    ],
)
def test_a_backend_that_is_not_installed_is_not_run(
    backend: str, run: Callable[..., LM], fields: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=rf"interventions\[{backend}\]"):
        run(cast(Any, SimpleNamespace(model=None)), ["a text"], **dict.fromkeys(fields, 0))


def test_a_backend_needs_a_model_of_linear_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    linear, convolutional = (small_lm(family).model for family in ("llama", "gpt2"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    require("autoawq", linear)
    require("autoawq", "no module")
    with pytest.raises(InvalidInput, match=r"^backend='autoawq' knows linear layers only"):
        require("autoawq", convolutional)
