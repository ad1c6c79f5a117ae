"""HQQ against a reference in float64, and what its real zeros mean for what comes before and after.

Reference: ``tests.anatomies.methods``, from the paper and the authors' code.
"""

import itertools
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from interventions.anatomy import block_linears
from interventions.composition import Composition, apply
from interventions.compression.hqq import HQQ
from interventions.compression.rtn import RTN
from interventions.compression.wanda import Wanda
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.packed_formats import FORMATS
from interventions.quantization_grid import ROWS
from tests.anatomies import methods
from tests.anatomies.zoo import ANATOMIES
from tests.interventions.compression.reference import KEY, distinct_per_group, tokenizer

FAMILIES = ("llama", "gpt2", "opt", "mixtral")


def small_model(family: str) -> LM:
    """A small model of a family; GPT-2's matrices are stored as (in, out)."""
    return LM(ANATOMIES[family].model().eval().requires_grad_(False), tokenizer())


def check_is_the_reference(step: HQQ, weight: Tensor, result: Tensor) -> float:
    """Check integers and values of all groups but those with a tie; return the share of these."""
    fields = {key: getattr(step, key) for key in ("norm", "beta", "kappa", "iterations")}
    scale, zero, from_a_tie = methods.hqq_grid(weight, step.bits, step.group, **fields)
    w, ours = weight.double().reshape(-1, step.group), result.double().reshape(-1, step.group)
    integers = (w * scale + zero).round().clamp(0, 2**step.bits - 1)
    decided = (from_a_tie > 1e-4).squeeze(1)
    assert torch.equal((ours * scale + zero).round()[decided], integers[decided])
    torch.testing.assert_close(
        ours[decided], ((integers - zero) / scale)[decided], atol=1e-4, rtol=1e-4
    )
    # a tie that goes the other way moves the zero by 1 / group of a step in each pass
    assert float(((ours - (integers - zero) / scale) * scale).abs().max()) < 1.5
    return 1 - float(decided.double().mean())


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("family", FAMILIES)
def test_integers_and_weights_are_the_references_on_every_family(
    family: str, bits: int, small: Data
) -> None:
    lm, step = small_model(family), HQQ(bits=bits, group=32)
    before = {name: m.weight.clone() for name, m in block_linears(lm.model).items()}
    apply(step, lm, small, KEY)
    for name, matrix in block_linears(lm.model).items():
        assert check_is_the_reference(step, before[name], matrix.weight) < 0.25, name


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weights_of_the_testbed_are_the_references(lm: LM, small: Data, bits: int) -> None:
    names = ("0.self_attn.k_proj", "3.mlp.down_proj", "5.mlp.up_proj")
    before = {name: block_linears(lm.model)[name].weight.clone() for name in names}
    step = HQQ(bits=bits)
    apply(step, lm, small, KEY)
    for name in names:
        ties = check_is_the_reference(step, before[name], block_linears(lm.model)[name].weight)
        assert ties < 0.5, name


@pytest.mark.parametrize(
    "step",
    [
        HQQ(bits=2, group=16, iterations=0),
        HQQ(bits=2, group=16, iterations=1),
        HQQ(bits=2, group=16, iterations=2),
        HQQ(bits=3, group=16, norm=1.0, beta=20.0),
        HQQ(bits=3, group=16, norm=0.4, kappa=1.5),
        HQQ(bits=4, group=16, beta=1.0, kappa=1.0, iterations=100),
    ],
    ids=str,
)
def test_every_hyperparameter_means_what_it_means_in_the_reference(step: HQQ) -> None:
    """Weights of a real size, so that outliers are told from rounding, in more rows than a part."""
    weight = torch.randn(ROWS + 40, 64, generator=torch.Generator().manual_seed(1)) * 2
    check_is_the_reference(step, weight, step.fitted(weight).nearest(weight))


@pytest.mark.parametrize(("seed", "bits", "passes"), [(0, 2, 6), (0, 3, 2), (1, 3, 24), (2, 8, 4)])
def test_passes_end_where_the_layers_error_falls_no_longer_with_the_zeros_of_the_last(
    seed: int, bits: int, passes: int
) -> None:
    """After as many passes as in the reference: more change nothing, and the last changed them."""
    weight = torch.randn(2, 64, generator=torch.Generator().manual_seed(seed))
    zeros = [HQQ(bits=bits, iterations=count).fitted(weight).zero for count in range(passes + 20)]
    changes = [not torch.equal(a, b) for a, b in itertools.pairwise(zeros)]
    assert changes == [number < passes for number in range(passes + 19)]
    _, reference, _ = methods.hqq_grid(weight, bits, 64, iterations=passes + 20)
    torch.testing.assert_close(zeros[-1].double(), reference, atol=1e-4, rtol=0)


def test_the_error_that_ends_the_passes_is_of_all_rows() -> None:
    """The rows of the last part are of one value each, whose error is 0 from the first pass on."""
    weight = torch.randn(ROWS + 8, 64, generator=torch.Generator().manual_seed(3))
    weight[ROWS:] = 0.5
    zeros = [HQQ(bits=2, iterations=count).fitted(weight).zero for count in (2, 3, 20)]
    assert not torch.equal(zeros[0], zeros[1]) and not torch.equal(zeros[1], zeros[2])
    weight[:ROWS], weight[ROWS:] = (
        0.5,
        torch.randn(8, 64, generator=torch.Generator().manual_seed(3)),
    )
    zeros = [HQQ(bits=2, iterations=count).fitted(weight).zero for count in (2, 3)]
    assert not torch.equal(zeros[0], zeros[1])


def test_a_group_that_divides_no_layer_is_refused_before_anything_changes(lm: LM) -> None:
    HQQ().check(lm.model)
    with pytest.raises(InvalidInput, match=r"^hqq\.group is 48, which does not divide the 128"):
        HQQ(group=48).check(lm.model)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_error_that_is_kept_low_is_below_that_of_the_range_alone(lm: LM, bits: int) -> None:
    """Without a pass the grid is the range's: rounding to nearest with a real zero."""
    for name, matrix in block_linears(lm.model).items():
        errors = []
        for step in (HQQ(bits=bits), HQQ(bits=bits, iterations=0)):
            change = step.fitted(matrix.weight).nearest(matrix.weight) - matrix.weight
            errors.append(float(change.double().abs().pow(step.norm).sum()))
        assert errors[0] < errors[1], name


def test_without_a_pass_the_grid_spans_exactly_the_groups_range() -> None:
    weight = torch.tensor([[2.0, 2.3, 2.6, 3.5, -1.0, -1.0, 0.5, 0.0]])
    grid = HQQ(bits=2, group=4, iterations=0).fitted(weight)
    expected = torch.tensor([[2.0, 2.5, 2.5, 3.5, -1.0, -1.0, 0.5, 0.0]])
    torch.testing.assert_close(grid.nearest(weight), expected)


def test_groups_of_one_value_and_of_zeros_are_kept_as_they_are() -> None:
    weight = torch.cat([torch.full((1, 8), 0.37), torch.zeros(1, 8), torch.full((1, 8), -5.0)], 1)
    step = HQQ(bits=3, group=8)
    grid = step.fitted(weight)
    assert bool(torch.isfinite(grid.scale).all() and torch.isfinite(grid.zero).all())
    torch.testing.assert_close(grid.nearest(weight), weight)
    assert torch.equal(step.fitted(weight[:, :8]).nearest(weight[:, :8]), weight[:, :8])


def test_narrow_groups_have_the_bounds_of_the_authors_code() -> None:
    """A range below 1e-4 is one value; at 8 bits a range of .01 has steps of 5e-5, not of 4e-5."""
    narrow = torch.linspace(1.0, 1.00009, 16)[None]
    grid = HQQ(bits=8, group=16).fitted(narrow)
    assert grid.scale.item() == 1 and len(set(grid.nearest(narrow).flatten().tolist())) == 1
    fine = torch.linspace(0.001, 0.0099, 16)[None]
    assert HQQ(bits=8, group=16).fitted(fine).scale.item() == pytest.approx(5e-5)


def test_a_group_is_one_value_up_to_a_range_of_a_ten_thousandth() -> None:
    bound = torch.tensor(1e-4)
    ranges = torch.stack([bound.nextafter(bound - 1), bound, bound.nextafter(bound + 1)])
    weight = torch.stack([torch.zeros(3), ranges], 1)
    scale = HQQ(bits=2, group=2, iterations=0).fitted(weight).scale
    assert scale.flatten().tolist() == [1.0, 1.0, pytest.approx(5e-5)]


def test_passes_end_at_an_error_that_is_that_of_the_pass_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors, penalties = iter([3.0, 2.0, 1.5, 1.5, 1.0]), []

    def updated(
        step: HQQ, grouped: Tensor, scale: Tensor, zero: Tensor, beta: float
    ) -> tuple[Tensor, Tensor]:
        penalties.append(beta)
        return zero + 1, torch.tensor(next(errors))

    monkeypatch.setattr(HQQ, "_updated", updated)
    weight = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    grid = HQQ(bits=2, group=4, beta=8.0, kappa=2.0, iterations=5).fitted(weight)
    assert penalties == [8.0, 16.0, 32.0, 64.0]
    assert grid.zero.tolist() == [[4.0]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_checkpoint_is_on_its_grids_when_it_is_loaded_in_any_dtype(
    small: Data, tmp_path: Path, dtype: str
) -> None:
    step = HQQ(bits=3)
    lm = apply(step, LM.load(MODEL, dtype=dtype), small, KEY)
    assert step.holds(lm)
    assert {str(m.weight.dtype) for m in block_linears(lm.model).values()} == {f"torch.{dtype}"}
    assert {grid.scale.dtype for grid in lm.grids.values()} == {torch.float32}
    assert {grid.zero.dtype for grid in lm.grids.values()} == {torch.float32}
    lm.save(tmp_path)
    for loaded_as in (dtype, "float32"):
        loaded = LM.load(tmp_path, dtype=loaded_as)
        assert step.holds(loaded)
        before = loaded.fingerprint()
        assert apply(step, loaded, small, KEY).fingerprint() == before


def test_twice_is_exactly_as_once(lm: LM, small: Data) -> None:
    before = apply(HQQ(), lm, small, KEY).fingerprint()
    assert apply(HQQ(), lm, small, KEY).fingerprint() == before
    assert apply(HQQ(bits=4), lm, small, KEY).fingerprint() == before  # on a coarser grid already


@pytest.mark.parametrize("text", ["wanda | hqq", "hqq | wanda", "wanda(pattern='2:4') | hqq"])
def test_pruned_and_quantized_in_either_order_both_hold(lm: LM, small: Data, text: str) -> None:
    composition = Composition.parse(text)
    for step in composition:
        lm = apply(step, lm, small, KEY)
    assert all(step.holds(lm) for step in composition)
    for name, matrix in block_linears(lm.model).items():
        assert float((matrix.weight == 0).double().mean()) == pytest.approx(0.5, abs=0.01)
        assert distinct_per_group(matrix.weight, 64) <= 2**3 + 1  # the grid's values, and 0
        assert lm.pruned(name, matrix.weight) == pytest.approx(0.5, abs=0.01)


def test_the_weights_that_wanda_leaves_are_those_of_the_grid(lm: LM, small: Data) -> None:
    apply(HQQ(), lm, small, KEY)
    quantized = {name: m.weight.clone() for name, m in block_linears(lm.model).items()}
    assert not any(bool((weight == 0).any()) for weight in quantized.values())
    apply(Wanda(), lm, small, KEY)
    for name, matrix in block_linears(lm.model).items():
        stays = matrix.weight != 0
        assert torch.equal(matrix.weight[stays], quantized[name][stays])


@pytest.mark.parametrize("policy", ["auto", "paper", "never"])
def test_it_is_applied_again_where_weights_have_left_their_grids(
    lm: LM, small: Data, policy: Literal["auto", "paper", "never"]
) -> None:
    composition = Composition.parse("hqq | ft")
    apply(HQQ(), lm, small, KEY)
    unchanged = () if policy != "paper" else (HQQ(),)
    assert tuple(composition.recompression(lm, policy)) == unchanged
    block_linears(lm.model)["2.mlp.down_proj"].weight[3, 5] += 0.01
    assert not HQQ().holds(lm)
    again = composition.recompression(lm, policy)
    assert tuple(again) == (() if policy == "never" else (HQQ(),))
    for step in again:
        assert step.holds(apply(step, lm, small, KEY))


def test_layers_on_an_integer_grid_of_that_width_are_left_and_the_other_way_round(
    lm: LM, small: Data
) -> None:
    before = apply(RTN(bits=3, group=64), lm, small, KEY).fingerprint()
    assert apply(HQQ(bits=3), lm, small, KEY).fingerprint() == before
    other = apply(HQQ(bits=3), LM.load(MODEL), small, KEY)
    before = other.fingerprint()
    assert apply(RTN(bits=3, group=64), other, small, KEY).fingerprint() == before


@pytest.mark.parametrize("format", FORMATS)
def test_packed_forms_are_refused_in_one_line_and_nothing_is_written(
    lm: LM, small: Data, tmp_path: Path, format: str
) -> None:
    apply(HQQ(bits=4), lm, small, KEY)
    with pytest.raises(
        InvalidInput, match=r"0\.self_attn\.q_proj has real zeros, as of hqq"
    ) as info:
        lm.export(tmp_path / "packed", format=format)
    assert "\n" not in str(info.value) and not list(tmp_path.iterdir())
    lm.save(tmp_path / "dense")
    assert LM.load(tmp_path / "dense").fingerprint() == lm.fingerprint()


def test_an_update_gives_the_next_zeros_and_the_mean_change_before_it() -> None:
    """Rounded to 0, 0, 1, 3; of the changes 1/2 and 1/4, .3586 and .05 count as outliers'."""
    grouped = torch.tensor([[[0.0, 0.5, 1.25, 3.0]]])
    step = HQQ(bits=2, norm=0.5)
    zeros, error = step._updated(grouped, torch.ones(1, 1), torch.zeros(1, 1), 10.0)
    outliers = 0.5 - 0.5**-0.5 / 10 + 0.25 - 0.25**-0.5 / 10
    assert zeros.tolist() == [[pytest.approx((4 - (4.75 - outliers)) / 4)]]
    assert error.item() == 0.75 / 4
