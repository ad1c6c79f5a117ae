"""Outliers and zeros that are counted, with stand-ins for models of a few weights."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.compression import allocation
from interventions.compression.allocation import block_sparsities, is_allocated, outlier_shares
from interventions.compression.magnitude import Magnitude
from interventions.compression.sparsegpt import SparseGPT
from interventions.compression.wanda import Wanda

Matrices = list[list[Tensor]]


def model_of(matrices: Matrices, monkeypatch: pytest.MonkeyPatch, device: str = "cpu") -> Any:
    """A model whose blocks have these matrices."""
    monkeypatch.setattr(allocation, "blocks", lambda model: matrices)
    monkeypatch.setattr(
        allocation,
        "linears",
        lambda block: [(str(i), SimpleNamespace(weight=w)) for i, w in enumerate(block)],
    )
    return SimpleNamespace(model=None, device=torch.device(device))


def test_an_outlier_is_above_so_many_times_the_mean_of_its_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Scores of 1, 1, 1, 5 and of 2, 2, 2, 2: their mean is 2, so that 5 is 2.5 times it."""
    block = [torch.tensor([[1.0, -1.0], [1.0, -5.0]]), torch.tensor([[1.0, 4.0, 2.0, -0.5]])]
    norms = {"0": torch.ones(2), "1": torch.tensor([2.0, 0.5, 1.0, 4.0])}
    lm = model_of([block], monkeypatch)
    monkeypatch.setattr(allocation, "calibrated_blocks", lambda lm, texts: [(block, "observe")])
    monkeypatch.setattr(allocation, "input_norms", lambda observe, unseen: norms)
    monkeypatch.setattr(allocation, "ROWS", 1)
    shares = {
        threshold: float(outlier_shares(lm, [], threshold)[0])
        for threshold in (2.5, 2.49, 1.0, 0.99, 0.5, 0.49)
    }
    assert shares == {2.5: 0, 2.49: 0.125, 1.0: 0.125, 0.99: 0.625, 0.5: 0.625, 0.49: 1}


def zeros(out: int, inputs: int, count: int) -> Tensor:
    weight = torch.ones(out * inputs)
    weight[:count] = 0
    return weight.view(out, inputs)


@pytest.mark.parametrize(
    ("counts", "is_held"), [((4, 8), True), ((4, 7), False), ((2, 10), True), ((1, 11), False)]
)
def test_zeros_are_counted_over_all_blocks_and_each_matrix_has_its_least(
    counts: tuple[int, int], is_held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2 x 10 weights and 2 x 10, 16 in all; of each at least .2; a weight a row is forgiven."""
    lm = model_of([[zeros(2, 10, counts[0])], [zeros(2, 10, counts[1])]], monkeypatch)
    assert is_allocated(lm, 0.4, 0.1) is is_held


def test_in_a_rehearsal_and_without_owl_every_block_loses_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrices: Matrices = [[torch.ones(2, 2)], [torch.ones(2, 2)], [torch.ones(4, 2)]]
    monkeypatch.setattr(
        allocation, "outlier_shares", lambda lm, texts, threshold: torch.tensor([0.0, 0.5, 1.0])
    )
    owl = Wanda(sparsity=0.5, allocation="owl", allocation_range=0.1)
    assert block_sparsities(model_of(matrices, monkeypatch, "meta"), [], owl) == [0.5] * 3
    lm = model_of(matrices, monkeypatch)
    assert block_sparsities(lm, [], Wanda(sparsity=0.25)) == [0.25] * 3
    # of what stays 0, .1 and .2 more: by weight .125 more on average
    expected = [0.625, 0.525, 0.425]
    assert block_sparsities(lm, [], owl) == pytest.approx(expected)


@pytest.mark.parametrize("method", [Magnitude, Wanda, SparseGPT])
def test_what_is_measured_goes_by_how_the_shares_were_allocated(
    method: type[Magnitude | Wanda | SparseGPT], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{method.__module__}.is_allocated", lambda *measured: measured)
    monkeypatch.setattr(f"{method.__module__}.is_pruned", lambda *measured: measured)
    lm: Any = "lm"
    owl = method(sparsity=0.5, allocation="owl", allocation_range=0.125)
    answers: list[Any] = [owl.holds(lm), method(sparsity=0.5, pattern="2:4").holds(lm)]
    assert answers == [("lm", 0.5, 0.125), ("lm", 0.5, "2:4")]


def test_magnitude_runs_blocks_one_by_one_to_allocate_only(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[object] = []
    module = "interventions.compression.magnitude"
    monkeypatch.setattr(f"{module}.block_linears", lambda model: {})
    monkeypatch.setattr(f"{module}.check_one_by_one", checked.append)
    models: list[Any] = ["uniform", "owl"]
    Magnitude(sparsity=0.5).check(models[0])
    Magnitude(sparsity=0.5, allocation="owl").check(models[1])
    assert checked == ["owl"]
