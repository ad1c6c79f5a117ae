"""Quantized models in float32, bfloat16 and float16: saved, loaded, exported and read back."""

from pathlib import Path

import pytest
import torch

from interventions.anatomy import block_linears
from interventions.composition import Composition, apply
from interventions.compression.calibration import Observe, calibrated_blocks, input_statistics
from interventions.compression.gptq import GPTQ
from interventions.criteria.compression import average_bits
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.quantization_grid import load_grids
from tests.interventions.compression.reference import KEY, tiny_lm
from tests.interventions.quantized import random_grids, read_compressed_tensors, read_gptq, rounded

DTYPES = ["float32", "bfloat16", "float16"]
ORDERED = GPTQ(bits=4, group=32, samples=8)
STATIC = GPTQ(bits=4, group=32, samples=8, static_groups=True)


@pytest.fixture(scope="module", params=DTYPES)
def ordered(request: pytest.FixtureRequest, small: Data) -> LM:
    """A model with groups in activation order; no test may change it."""
    return apply(ORDERED, LM.load(MODEL, dtype=request.param), small, KEY)


def is_stored(lm: LM) -> bool:
    """Return whether all weights are the grids' values, rounded to the dtype."""
    for name, matrix in block_linears(lm.model).items():
        grid, weight = lm.grids[name], matrix.weight
        scale, zero = grid.scale, grid.zero
        members = torch.arange(weight.shape[1]) // grid.group
        if grid.input_groups is not None:
            members = grid.input_groups
        steps = (weight.float() / scale[:, members]).round()
        # by hand: one of the three values around it
        around = [(steps + near) * scale[:, members] for near in (-1, 0, 1)]
        is_value = torch.stack([(value.to(weight.dtype) == weight) for value in around]).any(0)
        within = ((steps + zero[:, members] >= -1) & (steps + zero[:, members] <= 16)).all()
        if not bool(is_value.all() & within):
            return False
    return True


def test_weights_are_the_grids_values_as_the_dtype_stores_them(ordered: LM) -> None:
    assert is_stored(ordered) and ORDERED.holds(ordered)
    assert all(grid.scale.dtype is torch.float32 for grid in ordered.grids.values())
    assert any(grid.input_groups is not None for grid in ordered.grids.values())


def test_a_checkpoint_is_on_its_grids_in_whatever_dtype_it_is_loaded(
    ordered: LM, small: Data, tmp_path: Path
) -> None:
    ordered.save(tmp_path)
    bits = average_bits(ordered, small).value
    for dtype in DTYPES:
        loaded = LM.load(tmp_path, dtype=dtype)
        assert ORDERED.holds(loaded), dtype
        # 32 / 32 for scale and zero, nothing for the group of each input
        assert average_bits(loaded, small).value == bits == 4 + 1
    for name, grid in LM.load(tmp_path).grids.items():
        saved = ordered.grids[name].input_groups
        assert grid.input_groups is not None and saved is not None
        assert torch.equal(grid.input_groups, saved)


def test_grids_are_where_the_weights_are(small: Data, tmp_path: Path) -> None:
    """On the meta device, as on a GPU, tensors of the CPU are refused."""
    apply(GPTQ(bits=4, group=8, samples=4), tiny_lm(32, 48), small, KEY).save(tmp_path)
    loaded = LM.load(tmp_path, device="meta")
    for name, matrix in block_linears(loaded.model).items():
        grid = loaded.grids[name]
        assert matrix.weight.is_meta
        assert grid.nearest(matrix.weight).shape == matrix.weight.shape
        assert grid.scale.is_meta and grid.zero.is_meta
        assert grid.input_groups is not None and grid.input_groups.is_meta
    assert all(grid.scale.device.type == "cpu" for grid in load_grids(tmp_path).values())


def test_an_edit_takes_a_model_off_its_grids_and_recompression_brings_it_back(
    ordered: LM, small: Data, tmp_path: Path
) -> None:
    ordered.save(tmp_path)
    dtype = str(ordered.model.dtype).removeprefix("torch.")
    edited = LM.load(tmp_path, dtype=dtype)
    with torch.no_grad():
        block_linears(edited.model)["1.mlp.down_proj"].weight[:, 3] += 0.02
    assert not ORDERED.holds(edited)
    composition = Composition([ORDERED])
    (again,) = composition.recompression(edited, "auto")
    before = {name: m.weight.clone() for name, m in block_linears(edited.model).items()}
    apply(again, edited, small, KEY)
    assert ORDERED.holds(edited) and not composition.recompression(edited, "auto")
    changed = {
        name
        for name, m in block_linears(edited.model).items()
        if not torch.equal(m.weight, before[name])
    }
    assert changed == {"1.mlp.down_proj"}


def gathered_by(observe: Observe) -> dict[str, list[torch.Tensor]]:
    gathered: dict[str, list[torch.Tensor]] = {}
    observe(lambda name, inputs: gathered.setdefault(name, []).append(inputs.clone()))
    return gathered


def test_hessians_are_float32_whatever_the_models_dtype(small: Data) -> None:
    """Summed in float32, of the inputs as the model has them."""
    for dtype in DTYPES:
        lm = LM.load(MODEL, dtype=dtype)
        _, observe = next(calibrated_blocks(lm, small.calibration[:4]))
        gathered = gathered_by(observe)
        for name, inputs in input_statistics(observe).items():
            x = torch.cat(gathered[name])
            assert x.dtype is getattr(torch, dtype) and inputs.gram.dtype is torch.float32
            expected = x.double().T @ x.double() / len(x)
            assert (inputs.gram - expected).norm() < 1e-5 * expected.norm()


def test_dynamic_groups_are_exported_as_gptq_with_the_group_of_each_input(
    ordered: LM, tmp_path: Path
) -> None:
    largest = ordered.export(tmp_path / "packed", format="gptq")
    difference = 0.0
    for name in ("0.self_attn.k_proj", "2.mlp.gate_proj", "5.mlp.down_proj"):
        weight = block_linears(ordered.model)[name].weight
        read = read_gptq(tmp_path / "packed", f"model.layers.{name}", 4, 32, symmetric=False)
        # half a step of float16 in the scale, and what the model's dtype rounds
        rounding = torch.finfo(torch.float16).eps / 2 + torch.finfo(weight.dtype).eps
        assert torch.allclose(read, weight.float(), rtol=rounding, atol=1e-7)
        stored = read.to(weight.dtype).float()
        difference = max(difference, float((stored - weight.float()).abs().max()))
    # another scale may round to the number beside the weight
    weights = [matrix.weight for matrix in block_linears(ordered.model).values()]
    assert 0 < difference <= largest < 2 * rounding * max(w.abs().max() for w in weights)
    config = (tmp_path / "packed" / "config.json").read_text()
    assert '"desc_act": true' in config


def test_compressed_tensors_refuses_dynamic_groups_and_names_what_it_takes(
    ordered: LM, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"gptq\(static_groups=True\).*format='gptq'") as refusal:
        ordered.export(tmp_path / "packed")
    assert len(str(refusal.value)) <= 400 and "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_read_back_is_what_was_exported(dtype: str, small: Data, tmp_path: Path) -> None:
    static = apply(STATIC, LM.load(MODEL, dtype=dtype), small, KEY)
    assert static.export(tmp_path / "packed") == 0
    for name in ("0.self_attn.k_proj", "2.mlp.gate_proj", "5.mlp.down_proj"):
        read = read_compressed_tensors(tmp_path / "packed", f"model.layers.{name}", 4, 32, False)
        weight = block_linears(static.model)[name].weight
        assert torch.equal(read.to(weight.dtype), weight)


def test_an_integer_whose_value_is_not_the_nearest_to_its_weight_is_exported(
    tmp_path: Path,
) -> None:
    """At 8 bits bfloat16 stores some values nearer to another than to themselves."""
    lm = random_grids(LM.load(MODEL, dtype="bfloat16"), 8, 32, symmetric=False)
    name = "3.mlp.up_proj"
    weight, grid = block_linears(lm.model)[name].weight, lm.grids[name]
    nearest = grid.values(grid.integers(weight)).to(torch.bfloat16)
    assert not torch.equal(nearest, weight)
    assert lm.export(tmp_path / "packed") == 0
    read = read_compressed_tensors(tmp_path / "packed", f"model.layers.{name}", 8, 32, False)
    assert torch.equal(read.to(torch.bfloat16), weight)


def test_loaded_in_another_dtype_the_difference_to_the_export_is_named(tmp_path: Path) -> None:
    rounded(LM.load(MODEL, dtype="bfloat16"), 4, 32, symmetric=False).save(tmp_path / "saved")
    lm = LM.load(tmp_path / "saved")
    largest = lm.export(tmp_path / "packed")
    assert 0 < largest < 2**-8 * max(m.weight.abs().max() for m in block_linears(lm.model).values())
