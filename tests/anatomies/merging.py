"""The check of merging: TIES in float64 over the whole model, by another way of sorting."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from interventions.composition import apply
from interventions.lm import LM
from tests.anatomies.cells import Case, Wrong

_KEY = "0" * 32
_MOST = 1e-6  # a difference in float32 that is rounding


def merge(case: Case) -> str:
    """Check a merge of a pruned and a quantized model against Yadav et al. 2023, algorithm 1."""
    step: Any = case.step
    before = LM.load(case.folder)
    start, vectors = _flat(before), []
    for branch in step.branches:
        lm = LM.load(case.folder)
        for inner in branch:
            lm = apply(inner, lm, case.data, _KEY)
        vectors.append(_trimmed(_flat(lm) - start, step.density))
    signs = torch.stack(vectors).sum(0).sign()
    agrees = [(vector.sign() == signs) & (signs != 0) for vector in vectors]
    total = sum(
        torch.where(agree, vector, 0.0) for agree, vector in zip(agrees, vectors, strict=True)
    )
    expected = start + total / torch.stack(agrees).sum(0).clamp(min=1)
    difference = float((_flat(case.lm) - expected).abs().max())
    if not difference <= _MOST:
        raise Wrong(f"weights differ by {difference:.2g}")
    tied = [{id(weight) for weight in lm.model.parameters()} for lm in (before, case.lm)]
    if len(tied[0]) != len(tied[1]):
        raise Wrong("other weights are tied than before")
    return f"float64 TIES, within {difference:.1g}"


def _flat(lm: LM) -> Tensor:
    return torch.cat([weight.detach().double().flatten() for weight in lm.model.parameters()])


def _trimmed(vector: Tensor, density: float) -> Tensor:
    count = round(density * len(vector))
    least = vector.abs().sort(descending=True).values[count - 1]
    return torch.where(vector.abs() >= least, vector, 0.0)
