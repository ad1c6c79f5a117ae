"""What is said of a branch that changed what cannot be added up."""

import copy
from string import ascii_lowercase
from typing import Any, cast

import pytest
import torch
from torch import nn

from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.merging.task_vectors import check_mergeable, is_equal, tensors_of
from tests.interventions.merging.branches import small_lm


def test_of_several_changed_tensors_the_first_by_name_is_named() -> None:
    before = small_lm("gpt2")
    for letter in "hgfedcba":
        before.model.register_buffer(f"counter_{letter}", torch.tensor([1]))
    after = copy.deepcopy(before)
    for name, counter in after.model.named_buffers():
        if name.startswith("counter_"):
            counter += 1
    with pytest.raises(InvalidInput, match="'rmu' changed counter_a, which is none"):
        check_mergeable(before, after, "rmu")


def test_tensors_are_equal_in_shape_dtype_and_the_values_that_are_known() -> None:
    ones = torch.ones(2, 3)
    assert is_equal(ones, ones.clone())
    assert not is_equal(ones, 2 * ones)
    assert not is_equal(ones, torch.ones(3, 2))
    assert not is_equal(ones, ones.double())
    nowhere = torch.empty(2, 3, device="meta")
    assert is_equal(nowhere, torch.empty(2, 3, device="meta"))
    assert not is_equal(nowhere, torch.empty(3, 2, device="meta"))


def lm_of(**widths: int) -> LM:
    """A model of one vector for each name."""
    vectors = nn.ParameterDict()
    for name, width in widths.items():  # a dict's would be sorted
        vectors[name] = nn.Parameter(torch.ones(width))
    return LM(cast(Any, vectors), cast(Any, None))


def refused(before: LM, after: LM) -> str:
    with pytest.raises(InvalidInput) as error:
        check_mergeable(before, after, "rmu")
    return str(error.value).split("but ", 1)[1]


def test_of_several_weights_of_another_shape_the_first_by_name_is_named() -> None:
    names = "hgfedcba"
    before, after = lm_of(**dict.fromkeys(names, 2)), lm_of(**dict.fromkeys(names, 3))
    message = "after 'rmu' a is (3,) of float32, and before (2,) of float32"
    assert refused(before, after) == message


def test_a_weight_that_only_one_of_both_has_is_missing_in_the_other() -> None:
    before, after = lm_of(a=2, b=2), lm_of(a=2)
    assert refused(before, after) == "after 'rmu' b is missing, and before (2,) of float32"
    assert refused(after, before) == "after 'rmu' b is (2,) of float32, and before missing"


def tie(lm: LM, *names: str) -> LM:
    vectors = cast(Any, lm.model)
    for name in names[1:]:
        vectors[name] = vectors[names[0]]
    return lm


def test_weights_that_are_tied_otherwise_are_refused() -> None:
    widths = dict.fromkeys("fedcba", 2)
    pair, triple = tie(lm_of(**widths), "d", "b"), tie(lm_of(**widths), "f", "a", "c")
    assert refused(lm_of(**widths), pair) == "'rmu' ties b and d, and the model before none"
    both = tie(tie(lm_of(**widths), "f", "a", "c"), "d", "b")
    assert refused(both, triple) == (
        "'rmu' ties a and c and f, and the model before a and c and f; b and d"
    )
    check_mergeable(both, tie(tie(lm_of(**widths), "b", "d"), "c", "f", "a"), "rmu")


def test_many_ties_are_listed_in_order_and_cut_short() -> None:
    widths = dict.fromkeys(ascii_lowercase, 2)
    tied = lm_of(**widths)
    for first, second in zip(ascii_lowercase[::-2], ascii_lowercase[-2::-2], strict=True):
        tie(tied, first, second)
    pairs = "; ".join(f"{letter} and {chr(ord(letter) + 1)}" for letter in ascii_lowercase[::2])
    assert refused(tied, lm_of(**widths)).endswith(f"the model before {pairs[:100]}")


def test_a_buffer_that_came_or_went_is_a_change() -> None:
    before, after = lm_of(a=2), lm_of(a=2)
    after.model.register_buffer("counter", torch.tensor([1]))
    for changed in ((before, after), (after, before)):
        assert refused(*changed).startswith("'rmu' changed counter, which is none")
    check_mergeable(after, after, "rmu")


def test_only_floating_point_weights_make_a_task_vector_and_a_tied_one_once() -> None:
    lm = tie(lm_of(a=2, b=2, c=3), "a", "b")
    cast(Any, lm.model).d = nn.Parameter(torch.tensor([1]), requires_grad=False)
    vectors = tensors_of(lm)
    assert {name: tensor.shape for name, tensor in vectors.items()} == {"a": (2,), "c": (3,)}
