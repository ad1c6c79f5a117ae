"""Operators that were called alike return tensors alike, and others do not."""

from typing import Any

import pytest
import torch

from interventions.rehearsal.outputs import Outputs, tensors_in

aten = torch.ops.aten


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def calls() -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    column = meta(4, 3).T
    return [
        (aten.mm.default, (meta(2, 3), meta(3, 4)), {}),
        (aten.mm.default, (meta(3, 2).T.t().t(), column.T.T), {}),
        (aten.add.Tensor, (meta(2, 1), meta(1, 5, dtype=torch.int64)), {}),
        (aten.sum.dim_IntList, (meta(2, 3), [1]), {}),
        (aten.sum.dim_IntList, (meta(2, 3), [1], True), {}),
        (aten.sum.dim_IntList, (meta(2, 3), [0]), {}),
        (aten.full.default, ([3], 1), {"device": torch.device("meta")}),
        (aten.full.default, ([3], 1.0), {"device": torch.device("meta")}),
        (aten.full.default, ([3], True), {"device": torch.device("meta")}),
        (aten.topk.default, (meta(2, 9), 4), {}),
        (aten.cat.default, ([meta(2, 3), meta(5, 3)],), {}),
        (aten.cat.default, ([meta(2, 3), meta(2, 3)], 1), {}),
        (aten.mul_.Tensor, (meta(2, 3), meta(1, 3)), {}),
        (aten.add.out, (meta(2, 3), meta(2, 3)), {"out": meta(2, 3)}),
    ]


@pytest.mark.parametrize("index", range(len(calls())))
def test_a_second_call_returns_what_the_operator_would(index: int) -> None:
    outputs = Outputs()
    # all calls, so that one that differs little would be taken for another
    for func, args, kwargs in calls():
        outputs.of(func, args, kwargs)
    func, args, kwargs = calls()[index]
    made, expected = outputs.of(func, args, kwargs), func(*args, **kwargs)
    pairs = list(zip(tensors_in([made]), tensors_in([expected]), strict=True))
    assert type(made) is type(expected) and pairs
    for one, other in pairs:
        assert (one.shape, one.dtype, one.stride()) == (other.shape, other.dtype, other.stride())
        given = [*args, *kwargs.values()]
        assert [one is each for each in given] == [other is each for each in given]


def test_a_view_is_always_one_of_the_tensor_that_is_given() -> None:
    outputs = Outputs()
    for _ in range(2):
        tensor = meta(2, 3)
        view = outputs.of(aten.transpose.int, (tensor, 0, 1), {})
        assert view.untyped_storage()._cdata == tensor.untyped_storage()._cdata


@pytest.mark.parametrize("in_place", [False, True])
def test_a_second_call_does_not_call_the_operator(in_place: bool) -> None:
    class Counting:
        is_view, called = False, 0

        def __init__(self, in_place: bool) -> None:
            self.in_place = in_place

        def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
            self.called += 1
            return tensor if self.in_place else torch.empty_like(tensor)

    operator, outputs = Counting(in_place), Outputs()
    for _ in range(3):
        outputs.of(operator, (meta(2, 3),), {})
    assert operator.called == 1
    outputs.of(operator, (meta(3, 2),), {})
    assert operator.called == 2


@pytest.mark.parametrize("part", ["of an argument", "of a larger tensor"])
def test_what_is_in_a_storage_of_others_is_asked_for_every_time(part: str) -> None:
    class Slice:
        is_view, called = False, 0

        def __call__(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            self.called += 1
            return first.view(6) if part == "of an argument" else meta(9)[:3]

    operator, outputs = Slice(), Outputs()
    for _ in range(2):
        outputs.of(operator, (meta(2, 3), meta(5)), {})
    assert operator.called == 2
