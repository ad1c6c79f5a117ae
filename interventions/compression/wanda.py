"""Wanda: pruning by weights and activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor
from transformers import PreTrainedModel

from interventions.anatomy import block_linears, linears
from interventions.base import Intervention
from interventions.compression.allocation import (
    Allocation,
    block_sparsities,
    check_allocation,
    is_allocated,
    without_allocation,
)
from interventions.compression.backends import llmcompressor
from interventions.compression.backends.installed import require
from interventions.compression.calibration import calibrated_blocks, input_norms
from interventions.compression.sparsity import (
    Pattern,
    check_pattern,
    check_width,
    is_pruned,
    keep_all_but_lowest_per_row,
)
from interventions.data.base import Data
from interventions.hyperparameters import MOST_TEXTS, hyperparameter
from interventions.lm import LM
from interventions.one_by_one import check_one_by_one
from interventions.quantization_grid import ROWS
from interventions.search_space import Trial, TuningContext


@dataclass(frozen=True)
class Wanda(Intervention, category="compression", version=3):
    """Remove, in every row of every linear layer, the weights with the lowest |W| * ||X||.

    For the weights W (out, in) of one layer and its inputs X (tokens, in) on calibration texts:

        score_ij = |W_ij| * ||X_j||_2                                               (equation 1)

    with ||X_j|| the norm of input j over all tokens of all texts. Scores are compared within a
    row (an output): each row loses its int(in * sparsity) weights of lowest score, or, with a
    pattern n:m, the n lowest of every m consecutive inputs. No weight that stays is changed.
    An expert to which no token was sent is scored by ``|W_ij|`` alone.
    With ``allocation='owl'`` blocks lose unlike shares, by their outliers (Yin et al. 2024).

    Blocks are pruned from first to last: a block's inputs are those that the pruned blocks before
    it produce, and all layers of one block are scored before any of them is pruned. Unlike in the
    authors' code texts keep their own length, and padding does not count.

    Source: Sun et al. 2024, "A Simple and Effective Pruning Approach for Large Language Models",
    equation 1 and section 3.

    Example:
        >>> str(Wanda(sparsity=0.25))
        'wanda(sparsity=0.25)'
    """

    sparsity: float = hyperparameter(
        0.5, "share of the weights to remove", paper=0.25, low=0, below=1
    )
    pattern: Pattern = hyperparameter(
        "unstructured", "or zeros in every consecutive inputs: 2:4, 4:8"
    )
    samples: int = hyperparameter(128, "calibration texts", low=1, high=MOST_TEXTS)
    backend: Literal["own", "llmcompressor"] = hyperparameter("own", "whose code prunes")
    allocation: Allocation = hyperparameter(
        "uniform", "what share each block loses: the same, or by its outliers"
    )
    outlier_threshold: float = hyperparameter(
        5.0, "owl: how many times a block's mean score an outlier has", above=0, high=1e3
    )
    allocation_range: float = hyperparameter(
        0.08, "owl: half the distance between the sparsest block and the densest", low=0, high=0.25
    )
    family = "pruning"
    strength = "sparsity"
    paper_level = 0.25
    reads = frozenset({"calibration"})
    texts: ClassVar[Mapping[str, str]] = {"samples": "calibration"}
    earlier: ClassVar[Mapping[int, Mapping[str, Any]]] = {
        3: {"allocation": "uniform", "outlier_threshold": 5.0, "allocation_range": 0.08}
    }

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        super().__post_init__()
        check_pattern(self.name, self.pattern, self.sparsity)
        check_allocation(self)

    def identity(self) -> dict[str, Any]:
        """Return what decides on the weights; of uniform shares without the settings of others."""
        return without_allocation(super().identity())

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if a layer does not fit the pattern, or the backend is missing.

        Own code runs the model's blocks one by one: it is raised too if they cannot be.
        """
        check_width(self.name, self.pattern, block_linears(model))
        if self.backend != "own":
            require(self.backend, model)
        else:
            check_one_by_one(model)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how much to remove."""
        return {
            "sparsity": trial.suggest_float("sparsity", 0.1, 0.9),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Prune in place."""
        texts = data.calibration[: self.samples]
        if self.backend == "llmcompressor":
            return llmcompressor.compress(
                lm, texts, method="wanda", sparsity=self.sparsity, pattern=self.pattern
            )
        sparsities = block_sparsities(lm, texts, self)
        # the blocks first: they end by themselves, a rehearsal's sooner
        calibrated = calibrated_blocks(lm, texts)
        for (block, observe), sparsity in zip(calibrated, sparsities, strict=False):
            norms = input_norms(observe)
            for name, matrix in linears(block):
                # rows are independent: a part of them at a time keeps the scores small
                for rows in matrix.weight.split(ROWS):
                    rows.mul_(mask(rows, norms[name], sparsity, self.pattern))
        return lm

    def holds(self, lm: LM) -> bool:
        """Return whether every layer still has at least that share of zeros, measured."""
        if self.allocation != "uniform":
            return is_allocated(lm, self.sparsity, self.allocation_range)
        return is_pruned(lm, self.sparsity, self.pattern)


def mask(
    weight: Tensor, input_norm: Tensor, sparsity: float, pattern: Pattern = "unstructured"
) -> Tensor:
    """Return True (out, in) where a weight stays, by equation 1.

    Args:
        weight: (out, in).
        input_norm: ||X_j||, (in).
        sparsity: share of a row's weights that go.
        pattern: "2:4" or "4:8" instead of a share.

    Example:
        >>> import torch
        >>> mask(torch.tensor([[3.0, -1.0], [0.5, 2.0]]), torch.tensor([1.0, 5.0]), 0.5)
        tensor([[False,  True],
                [False,  True]])
    """
    scores = weight.abs().float() * input_norm  # (out, in)
    return keep_all_but_lowest_per_row(scores, sparsity, pattern)
