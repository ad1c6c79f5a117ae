"""What is tried of a model's padding: which rows, how precisely, and when two passes are alike."""

import math
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from interventions import padding


class Model:
    """What can be known of in the table of models that were tried."""

    dtype = torch.float32


Trial = tuple[int, int, float]


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """The lengths of each pair of rows that is tried, and the tolerance; all are alike."""
    noted: list[Trial] = []

    def tried(lm: object, short: list[int], long: list[int], tolerance: float) -> bool:
        noted.append((len(short), len(long), tolerance))
        return True

    monkeypatch.setattr(padding, "_pads", tried)
    return noted


def tried_on(*lengths: int) -> bool:
    lm: Any = SimpleNamespace(model=Model())
    return padding.pads_harmlessly(lm, [[7] * length for length in lengths])


def test_the_shortest_and_the_longest_row_are_tried_cut_so_that_one_is_shorter(
    trials: list[Trial],
) -> None:
    assert tried_on(5, 3, 9, 4) and tried_on(300, 400) and tried_on(2, 257)
    assert trials == [(3, 9, 1e-3), (255, 256, 1e-3), (2, 256, 1e-3)]


def test_rows_of_one_length_need_no_padding_and_no_trial(trials: list[Trial]) -> None:
    assert tried_on(4, 4, 4) and not trials


def test_a_model_that_computes_in_its_own_precision_only_is_compared_less_strictly(
    trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(model: object) -> None:
        raise TypeError("expected BFloat16")

    monkeypatch.setattr(padding, "precise_passes", fails)
    assert tried_on(3, 9)
    assert trials == [(3, 9, 5e-2)]


def test_only_less_precision_than_float32_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = nullcontext()
    monkeypatch.setattr(padding, "float32_passes", lambda model, weights: raised)
    model: Any = Model()
    precision = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        model.dtype = dtype
        precision[dtype] = padding.precise_passes(model) is raised
    assert list(precision.values()) == [False, False, True, True]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_counts_as_0(odd: float) -> None:
    assert padding.alike(torch.tensor([[odd, 5.0]]), torch.tensor([[0.0, 5.0]]))
    assert not padding.alike(torch.tensor([[odd, 5.0]]), torch.tensor([[1.0, 5.0]]))


def test_the_greatest_difference_is_a_thousandth_of_what_is_predicted_row_by_row() -> None:
    """Both rows are 4 away from their mean in each entry: of norm sqrt(32)."""
    expected = torch.tensor([[1.0, 9.0], [9.0, 1.0]])
    assert padding.alike(expected + torch.tensor([[7.0], [-3.0]]), expected)
    assert padding.alike(expected + torch.tensor([[-0.0039, 0.0039], [0.0, 0.0]]), expected)
    assert not padding.alike(expected + torch.tensor([[0.0, 0.0], [-0.0041, 0.0041]]), expected)
