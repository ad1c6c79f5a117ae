"""Models of branches that tests make themselves, and the papers' equations in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch

from interventions.composition import apply
from interventions.lm import LM
from interventions.merging.merge import Merge
from tests.anatomies.texts import tiny_data
from tests.anatomies.tokenizers import tokenizer
from tests.anatomies.zoo import ANATOMIES

KEY = "fedcba9876543210" * 2
Vectors = Mapping[str, np.ndarray]


def merge_of(*branches: str, **values: Any) -> Merge:
    """The step of some branches' texts."""
    return Merge(cast(Any, branches), **values)


def small_lm(name: str, dtype: torch.dtype = torch.float32) -> LM:
    """A small model of a family."""
    words = tokenizer("bytes+bos")
    words.pad_token = words.eos_token
    model = ANATOMIES[name].model().to(dtype).eval().requires_grad_(False)
    return LM(model, words)


def moved(lm: LM, seed: int, share: float = 0.6, size: float = 0.05) -> LM:
    """A copy with some elements of every weight moved."""
    changed = copy.deepcopy(lm)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in changed.model.parameters():
            drawn = torch.rand(weight.shape, generator=generator) < share
            step = torch.randn(weight.shape, generator=generator) * size
            weight += (step * drawn).to(weight.dtype)
    return changed


def merged(step: Merge, lm: LM, branches: Sequence[LM]) -> LM:
    """A copy of a model after a merge of these branches."""
    models: Callable[[int], LM] = branches.__getitem__
    return apply(step, copy.deepcopy(lm), tiny_data(), KEY, models)


def arrays(lm: LM) -> dict[str, np.ndarray]:
    """The weights in float64, by name."""
    return {name: weight.double().numpy() for name, weight in lm.model.named_parameters()}


def flat(vectors: Vectors) -> np.ndarray:
    """All elements in one row, in order of the names given."""
    return np.concatenate([vector.ravel() for vector in vectors.values()])


def ties(
    before: Vectors, after: Sequence[Vectors], scales: Sequence[float], density: float
) -> np.ndarray:
    """Algorithm 1 of Yadav et al. 2023 over the flattened model; with one scale it is theirs."""
    start = flat(before)
    trimmed = []
    for end, scale in zip(after, scales, strict=True):
        vector = flat(end) - start
        keep = np.argsort(-np.abs(vector), kind="stable")[: round(density * len(vector))]
        trimmed_vector = np.zeros_like(vector)
        trimmed_vector[keep] = scale * vector[keep]
        trimmed.append(trimmed_vector)
    signs = np.sign(sum(trimmed))
    total, count = np.zeros_like(start), np.zeros_like(start)
    for trimmed_vector in trimmed:
        agrees = (np.sign(trimmed_vector) == signs) & (signs != 0)
        total += np.where(agrees, trimmed_vector, 0)
        count += agrees
    return start + np.divide(total, count, out=np.zeros_like(total), where=count > 0)
