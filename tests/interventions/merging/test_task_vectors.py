"""What is said of a branch that changed what cannot be added up."""

import copy

import pytest
import torch

from interventions.errors import InvalidInput
from interventions.merging.task_vectors import check_mergeable
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
