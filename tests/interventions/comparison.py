"""Comparisons that the tests of several methods make."""

import torch
from torch import Tensor
from torch.nn import functional as F

from interventions.data.testbed import MODEL
from interventions.lm import LM


def changed_weights(lm: LM) -> set[str]:
    """Return the names of the weights that differ from the base model's."""
    base = LM.load(MODEL).model.state_dict()
    return {
        name
        for name, tensor in lm.model.state_dict().items()
        if not torch.equal(tensor, base[name])
    }


def unpadded_loss(lm: LM, rows: list[tuple[list[int], int]]) -> Tensor:
    """Return the mean loss over counted tokens, one unpadded row at a time, in float64.

    Args:
        lm: the model.
        rows: (ids, first counted position).
    """
    losses = []
    for ids, first in rows:
        logits = lm.model(torch.tensor([ids])).logits[0].double()
        for t in range(max(first, 1), len(ids)):
            losses.append(-F.log_softmax(logits[t - 1], dim=0)[ids[t]])
    return torch.stack(losses).mean()
