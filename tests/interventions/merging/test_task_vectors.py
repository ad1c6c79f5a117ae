"""What is said of a branch that changed what cannot be added up."""

import copy

import pytest
import torch

from interventions.errors import InvalidInput
from interventions.merging.task_vectors import check_mergeable, is_equal
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
