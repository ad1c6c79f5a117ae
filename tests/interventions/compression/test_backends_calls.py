"""What the backends are told, and what is made of what they return: with stand-ins for them."""

import os
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interventions.anatomy import block_linears, blocks
from interventions.compression.backends import autoawq, gptqmodel, llmcompressor
from interventions.compression.quantization import fit_grid
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM

Told = dict[str, Any]


def module(name: str, monkeypatch: pytest.MonkeyPatch, **names: Any) -> types.ModuleType:
    """Make a module of these names that can be imported."""
    stand_in = types.ModuleType(name)
    vars(stand_in).update(names)
    monkeypatch.setitem(sys.modules, name, stand_in)
    return stand_in


def noting(told: Told, key: str) -> Callable[..., Any]:
    """Return what notes the arguments that it is called with, and returns them."""

    def note(*args: Any, **kwargs: Any) -> Any:
        told[key] = kwargs if not args else (args, kwargs)
        return kwargs

    return note


def unset(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset a variable of the environment that the code will set; at the end it is as it was."""
    monkeypatch.setenv(variable, "")
    monkeypatch.delenv(variable)


@pytest.fixture
def gptq_model(monkeypatch: pytest.MonkeyPatch) -> Told:
    """A GPTQModel that adds .01 to every weight, and rounds nothing."""
    told: Told = {}
    processor = module("gptqmodel.looper.gptq_processor", monkeypatch, pack_module=None)
    loop = module("gptqmodel.looper.loop_processor", monkeypatch, _PROJECT_LOG_DIR="logs")

    class Peer:
        def __init__(self, folder: str) -> None:
            self.model = LM.load(Path(folder)).model

        @classmethod
        def load(cls, folder: str, config: Any, **options: Any) -> "Peer":
            told.update(config=config, options=options)
            return cls(folder)

        def prepare_dataset(self, rows: Any, calibration_data_min_length: int = 10) -> None:
            told["shortest"] = calibration_data_min_length

        def quantize(self, rows: Any, **options: Any) -> None:
            self.prepare_dataset(rows)
            told.update(rows=rows, logs=loop._PROJECT_LOG_DIR, **options)
            layers = {name: m for name, m in self.model.named_modules() if isinstance(m, nn.Linear)}
            prefix = next(name for name, m in self.model.named_modules() if m is blocks(self.model))
            for inner in block_linears(self.model):
                layer = layers[f"{prefix}.{inner}"]
                layer.weight.data += 0.01
                grid = fit_grid(layer.weight, 4, 64, symmetric=False)
                order = torch.arange(layer.in_features) // 64
                pack: Any = processor.pack_module
                pack(f"{prefix}.{inner}", layers, grid.scale, grid.zero, order, quant_linear=None)

    module(
        "gptqmodel",
        monkeypatch,
        BACKEND=types.SimpleNamespace(GPTQ_TORCH="torch"),
        GPTQModel=Peer,
        QuantizeConfig=lambda **settings: settings,
    )
    module("gptqmodel.looper", monkeypatch, gptq_processor=processor, loop_processor=loop)
    monkeypatch.setattr(gptqmodel, "require", lambda backend: None)
    unset("GPTQMODEL_CPU_WORKERS", monkeypatch)
    return told


def added(lm: LM) -> dict[str, Tensor]:
    """Return the matrices of the blocks, .01 added."""
    return {name: m.weight.detach().clone() + 0.01 for name, m in block_linears(lm.model).items()}


def test_gptqmodel_gets_the_settings_all_texts_and_no_trust(
    lm: LM, small: Data, gptq_model: Told
) -> None:
    weights = added(lm)
    settings: Mapping[str, Any] = {
        "symmetric": True, "act_order": False, "static_groups": True, "true_sequential": False,
    }  # fmt: skip
    texts = small.calibration[:3]
    assert gptqmodel.gptq(lm, texts, bits=4, group=64, damp=0.02, **settings) is lm
    assert gptq_model["config"] == {
        "bits": 4, "group_size": 64, "sym": True, "desc_act": False, "static_groups": True,
        "true_sequential": False, "act_group_aware": False, "damp_percent": 0.02, "device": "cpu",
        "offload_to_disk": False,
    }  # fmt: skip
    assert gptq_model["options"] == {"dtype": lm.model.dtype, "trust_remote_code": False}
    assert gptq_model["rows"] == [{"input_ids": lm.tokenizer.encode(text)} for text in texts]
    assert (gptq_model["shortest"], gptq_model["batch_size"]) == (0, 32)
    assert gptq_model["backend"] == "torch"
    # what it writes goes into a folder that is gone
    assert gptq_model["logs"] != "logs" and not Path(gptq_model["logs"]).exists()
    for name, matrix in block_linears(lm.model).items():
        grid = fit_grid(weights[name], 4, 64, symmetric=False)
        assert torch.allclose(matrix.weight, grid.nearest(weights[name]))
        assert lm.on_grid(name, matrix.weight, 4, 64)


def test_gptqmodel_works_with_as_many_threads_as_torch_unless_told(
    lm: LM, small: Data, gptq_model: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dict.fromkeys(("symmetric", "act_order", "static_groups", "true_sequential"), False)
    for already, expected in ((None, str(torch.get_num_threads())), ("7", "7")):
        if already:
            monkeypatch.setenv("GPTQMODEL_CPU_WORKERS", already)
        else:
            unset("GPTQMODEL_CPU_WORKERS", monkeypatch)
        gptqmodel.gptq(lm, small.calibration[:1], bits=4, group=64, damp=0.01, **settings)
        assert os.environ["GPTQMODEL_CPU_WORKERS"] == expected


@pytest.fixture
def auto_awq(monkeypatch: pytest.MonkeyPatch) -> Told:
    """An AutoAWQ that adds .01 to every weight of the blocks; ``told["extra"]`` is one more."""
    told: Told = {"extra": {}}

    class Quantizer:
        def pseudo_quantize_tensor(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            grid = fit_grid(weight, 4, 64, symmetric=False)
            return weight, grid.scale, grid.zero

        def _compute_best_scale(self, x: Any, w: Any, mean: Any, layer: nn.Module) -> Any:
            before = layer.state_dict()
            with torch.no_grad():
                layer.weight.zero_()  # type: ignore[operator]
            return before["weight"]

    class Peer:
        @classmethod
        def from_pretrained(cls, folder: str, **options: Any) -> "Peer":
            told["options"] = options
            peer = cls()
            peer.model, peer.quantizer = LM.load(Path(folder)).model, Quantizer()  # type: ignore[attr-defined]
            return peer

        def quantize(self, tokenizer: Any, config: Any, **options: Any) -> None:
            told.update(config=config, quantizing=options)
            for matrix in block_linears(self.model).values():  # type: ignore[attr-defined]
                matrix.weight.data += 0.01
            for name, weight in told["extra"].items():
                blocks(self.model).register_parameter(name, weight)  # type: ignore[attr-defined]

    module("awq", monkeypatch, AutoAWQForCausalLM=Peer)
    module("awq.quantize", monkeypatch)
    module("awq.quantize.quantizer", monkeypatch, AwqQuantizer=Quantizer)
    monkeypatch.setattr(autoawq, "require", lambda backend: None)
    return told


def test_autoawq_gets_every_text_whole_and_no_trust(lm: LM, small: Data, auto_awq: Told) -> None:
    weights, texts = added(lm), small.calibration[:3]
    autoawq.awq(lm, texts, bits=4, group=64)
    assert auto_awq["options"] == {
        "torch_dtype": lm.model.dtype, "device_map": "cpu", "trust_remote_code": False,
        "safetensors": True,
    }  # fmt: skip
    assert auto_awq["config"] == {
        "zero_point": True, "q_group_size": 64, "w_bit": 4, "version": "GEMM",
    }  # fmt: skip
    tokens = [lm.tokenizer.encode(text) for text in texts]
    quantizing = auto_awq["quantizing"]
    sound = quantizing.pop("quantizer_cls")()
    assert quantizing == {
        "calib_data": tokens, "export_compatible": True, "max_calib_samples": 3,
        "max_calib_seq_len": max(map(len, tokens)),
    }  # fmt: skip
    for name, matrix in block_linears(lm.model).items():
        grid = fit_grid(weights[name], 4, 64, symmetric=False)
        assert torch.allclose(matrix.weight, grid.nearest(weights[name]))
    # after its search it has the weights as they were
    layer = nn.Linear(2, 2)
    kept = layer.weight.detach().clone()
    assert torch.equal(sound._compute_best_scale(None, None, None, layer), kept)


def test_scales_that_autoawq_adds_outside_the_weights_are_refused(
    lm: LM, small: Data, auto_awq: Told
) -> None:
    auto_awq["extra"] = {"scales": nn.Parameter(torch.ones(1))}
    with pytest.raises(InvalidInput, match=r"adds scales to .* that no weight can take"):
        autoawq.awq(lm, small.calibration[:1], bits=4, group=64)


@pytest.fixture
def llm_compressor(monkeypatch: pytest.MonkeyPatch) -> Told:
    """An llm-compressor that notes its recipe, and adds .01 to every weight of the blocks."""
    told: Told = {}
    modifiers = "llmcompressor.modifiers"

    def oneshot(model: nn.Module, **options: Any) -> None:
        told.update(options, rows=list(options["dataset"]))
        torch.zeros(1).pin_memory()  # as its AWQ does; without a GPU PyTorch raises
        for name, matrix in block_linears(model).items():
            matrix.weight.data += 0.01
            inner = blocks(model).get_submodule(name)
            inner.register_parameter("weight_scale", nn.Parameter(matrix.weight.new_ones(1, 2)))

    module("llmcompressor", monkeypatch, oneshot=oneshot)
    module(modifiers, monkeypatch)
    module(f"{modifiers}.gptq", monkeypatch, GPTQModifier=noting(told, "gptq"))
    module(
        f"{modifiers}.pruning",
        monkeypatch,
        SparseGPTModifier=noting(told, "sparsegpt"),
        WandaPruningModifier=noting(told, "wanda"),
    )
    module(f"{modifiers}.quantization", monkeypatch, QuantizationModifier=noting(told, "grid"))
    module(f"{modifiers}.transform", monkeypatch)
    module(f"{modifiers}.transform.awq", monkeypatch, AWQModifier=noting(told, "awq"))
    monkeypatch.setattr(llmcompressor, "require", lambda backend: None)
    unset("LLM_COMPRESSOR_LOG_LEVEL", monkeypatch)
    return told


def test_llm_compressor_prunes_the_blocks_alone_and_all_rows_come(
    lm: LM, small: Data, llm_compressor: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_COMPRESSOR_LOG_LEVEL", "INFO")
    weights, texts = added(lm), small.calibration[:2]
    llmcompressor.compress(lm, texts, method="wanda", sparsity=0.5)
    outside = {"sparsity": 0.5, "ignore": ["re:lm_head"]}
    assert llm_compressor["wanda"] == {**outside, "mask_structure": "0:0"}
    rows = [row["input_ids"].tolist() for row in llm_compressor["rows"]]
    assert rows == [[lm.tokenizer.encode(text)] for text in texts]
    assert llm_compressor["clear_sparse_session"] is True
    assert os.environ["LLM_COMPRESSOR_LOG_LEVEL"] == "INFO"
    for name, matrix in block_linears(lm.model).items():
        assert torch.allclose(matrix.weight, weights[name])
    assert not lm.grids
    llmcompressor.compress(lm, texts, method="sparsegpt", sparsity=0.5, pattern="2:4")
    assert llm_compressor["sparsegpt"] == {
        **outside, "mask_structure": "2:4", "dampening_frac": 0.01,
    }  # fmt: skip
    llmcompressor.compress(lm, texts, method="sparsegpt", sparsity=0.5, damp=0.1)
    assert llm_compressor["sparsegpt"]["dampening_frac"] == 0.1


def test_llm_compressor_quantizes_by_group_or_row(
    lm: LM, small: Data, llm_compressor: Told
) -> None:
    texts, settings = small.calibration[:1], {"bits": 4, "symmetric": False}
    llmcompressor.compress(lm, texts, method="gptq", group=64, act_order=False, **settings)
    told = llm_compressor["gptq"]
    weights = {"num_bits": 4, "type": "int", "symmetric": False}
    in_groups = {**weights, "strategy": "group", "group_size": 64}
    assert told["config_groups"] == {"group_0": {"targets": ["Linear"], "weights": in_groups}}
    assert (told["ignore"], told["actorder"]) == (["re:lm_head"], None)
    assert told["dampening_frac"] == 0.01
    assert set(lm.grids) == set(block_linears(lm.model))
    llmcompressor.compress(lm, texts, method="gptq", group=-1, damp=0.1, **settings)
    told = llm_compressor["gptq"]
    assert told["config_groups"]["group_0"]["weights"] == {**weights, "strategy": "channel"}
    assert (told["actorder"], told["dampening_frac"]) == ("static", 0.1)
    llm_compressor.pop("gptq")
    llmcompressor.compress(lm, texts, method="awq", group=64, **settings)
    assert llm_compressor["grid"]["ignore"] == ["re:lm_head"]
    assert "awq" in llm_compressor and "gptq" not in llm_compressor
    assert os.environ["LLM_COMPRESSOR_LOG_LEVEL"] == "ERROR"
    if not torch.cuda.is_available():
        # what was put in its place for the while is away again
        with pytest.raises(RuntimeError):
            torch.zeros(1).pin_memory()
