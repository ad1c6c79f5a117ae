"""What all pruning methods promise: how many weights go, and in which pattern."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interventions.anatomy import block_linears
from interventions.base import Intervention
from interventions.composition import apply
from interventions.compression.magnitude import Magnitude
from interventions.compression.sparsegpt import SparseGPT
from interventions.compression.wanda import Wanda
from interventions.criteria.base import measure
from interventions.data.base import Data
from interventions.errors import InvalidInput
from tests.interventions.compression.reference import (
    KEY,
    PATTERNS,
    shapes,
    tiny_lm,
)


@settings(deadline=None, max_examples=15)
@given(shapes, st.floats(0, 0.99), st.sampled_from([Wanda, Magnitude, SparseGPT]))
def test_pruning_reaches_the_sparsity_asked_for_on_any_shape(
    small: Data, shape: tuple[int, int], sparsity: float, method: Callable[..., Intervention]
) -> None:
    lm = tiny_lm(*shape)
    apply(method(sparsity=sparsity), lm, small, KEY)
    for linear in block_linears(lm.model).values():
        rows, inputs = linear.weight.shape
        zeros = int((linear.weight == 0).sum())
        least = rows * inputs * sparsity - (
            rows if method is Wanda else 2
        )  # rounds down by row; by block or whole
        assert least <= zeros <= rows * inputs * sparsity
    measured = measure(lm, small, ["sparsity"])["sparsity"].value
    narrowest = min(linear.in_features for linear in block_linears(lm.model).values())
    assert sparsity - 1 / narrowest <= measured <= sparsity


@settings(deadline=None, max_examples=9)
@given(shapes, st.sampled_from(sorted(PATTERNS)), st.sampled_from([Wanda, Magnitude, SparseGPT]))
def test_a_pattern_is_exact_on_any_shape(
    small: Data, shape: tuple[int, int], pattern: str, method: Callable[..., Intervention]
) -> None:
    step = method(sparsity=0.5, pattern=pattern)
    lm = apply(step, tiny_lm(*shape), small, KEY)
    assert step.holds(lm)
    n, m = PATTERNS[pattern]
    for linear in block_linears(lm.model).values():
        assert ((linear.weight == 0).unflatten(1, (-1, m)).sum(-1) == n).all()


@pytest.mark.parametrize("method", [Wanda, Magnitude, SparseGPT])
@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_a_pattern_with_another_sparsity_or_width_is_refused(
    method: Callable[..., Intervention], pattern: str
) -> None:
    for sparsity in (0.0, 0.25, 0.49, 0.65):
        with pytest.raises(
            InvalidInput, match=rf"pattern='{pattern}'.* sparsity must be 0.5, but got {sparsity}"
        ):
            method(sparsity=sparsity, pattern=pattern)
    lm = tiny_lm(24, 42)
    before = lm.fingerprint()
    with pytest.raises(
        InvalidInput,
        match=rf"pattern='{pattern}' does not divide the 42 inputs of layer 0.mlp.down_",
    ):
        method(sparsity=0.5, pattern=pattern).check(lm.model)
    assert lm.fingerprint() == before


@pytest.mark.parametrize("method", [Wanda, Magnitude, SparseGPT])
def test_a_sparsity_that_divides_no_row_evenly_holds_right_after_it_was_applied(
    small: Data, method: Callable[..., Intervention]
) -> None:
    """Of 24 inputs .35 is 8.4: Wanda rounds down in every row, and no method may ask for more."""
    step = method(sparsity=0.35)
    lm = apply(step, tiny_lm(24, 40), small, KEY)
    assert step.holds(lm)
    linear = block_linears(lm.model)["0.mlp.up_proj"]
    linear.weight[linear.weight == 0] = 1
    assert not step.holds(lm)


@pytest.mark.parametrize(("pattern", "zeros", "width"), [("2:4", 2, 4), ("4:8", 4, 8)])
def test_a_pattern_holds_only_if_every_part_has_its_zeros(
    pattern: str, zeros: int, width: int
) -> None:
    lm = tiny_lm(24, 40)
    step = Magnitude(pattern=pattern)  # type: ignore[arg-type]
    for linear in block_linears(lm.model).values():
        linear.weight.fill_(1).unflatten(1, (-1, width))[..., :zeros] = 0
    assert step.holds(lm)
    linear.weight[0, zeros - 1] = 1  # one zero too few, in one part of one layer
    assert not step.holds(lm)
