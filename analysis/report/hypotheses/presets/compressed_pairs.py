"""A pruning and a quantization in both orders: sizes, losses, and which is the weaker alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.report.hypotheses.cells import ITEM_CRITERIA, SIZE, TEXTS
from analysis.report.hypotheses.contrasts import CannotTest, CellValues
from analysis.report.hypotheses.parts import LEVEL
from analysis.report.paired import paired_test

LOSS = ITEM_CRITERIA[TEXTS]
_EQUAL = 0.1  # average bits by which two models of equal size may differ


@dataclass(frozen=True)
class CompressedPair:
    """A pruning and a quantization that are composed in both orders."""

    pruning: str
    quantization: str

    @property
    def prune_first(self) -> str:
        """The cell of pruning before quantization."""
        return f"{self.pruning} | {self.quantization}"

    @property
    def quantize_first(self) -> str:
        """The cell of quantization before pruning."""
        return f"{self.quantization} | {self.pruning}"

    @property
    def cells(self) -> tuple[str, ...]:
        """Both alone and both orders."""
        return self.pruning, self.quantization, self.prune_first, self.quantize_first


def equal_sizes(values: CellValues, pairs: Sequence[CompressedPair]) -> np.ndarray:
    """Return whether both orders end with as many average bits, shape (pairs,)."""
    first = values.columns([(pair.prune_first, SIZE) for pair in pairs])
    last = values.columns([(pair.quantize_first, SIZE) for pair in pairs])
    equal: np.ndarray = (np.abs(first - last) <= _EQUAL).all(0)
    return equal


def loss_columns(values: CellValues, cells: Sequence[str]) -> np.ndarray:
    """Return the loss of every text, shape (texts, cells)."""
    return values.columns([(cell, LOSS) for cell in cells])


@dataclass(frozen=True)
class Strengths:
    """Which of two compressions is the weaker, measured on each alone, and what its order gains.

    Attributes:
        gaps: mean loss of the quantized model less that of the pruned, shape (pairs,): above 0
            pruning is the weaker.
        clear: whether the paired test over texts tells them apart, shape (pairs,).
        equal: whether both orders end with models of equal size, shape (pairs,).
        gains: loss if quantized first less that if pruned first, shape (texts, pairs).
    """

    gaps: np.ndarray
    clear: np.ndarray
    equal: np.ndarray
    gains: np.ndarray

    @classmethod
    def measured(cls, values: CellValues, pairs: Sequence[CompressedPair]) -> Strengths:
        """Return the strengths of some pairs, of which both parts and both orders were run."""
        pruned = loss_columns(values, [pair.pruning for pair in pairs])
        quantized = loss_columns(values, [pair.quantization for pair in pairs])
        pruned_first = loss_columns(values, [pair.prune_first for pair in pairs])
        quantized_first = loss_columns(values, [pair.quantize_first for pair in pairs])
        alone = (quantized - pruned).T
        clear = np.array([paired_test(differences).p <= LEVEL for differences in alone])
        equal = equal_sizes(values, pairs)
        return cls(alone.mean(1), clear, equal, quantized_first - pruned_first)

    def weaker_first(self, sign: int | None = None) -> np.ndarray:
        """Return what the weaker first gains, on average over pairs, shape (texts,).

        Args:
            sign: 1: only where pruning is the weaker; -1: where quantization is; None: both.

        Raises:
            CannotTest: there is no such pair.
        """
        chosen = self.clear & self.equal
        if sign is not None:
            chosen = chosen & (np.sign(self.gaps) == sign)
        if not chosen.any():
            weaker = {None: "one is clearly", 1: "pruning is", -1: "quantization is"}[sign]
            raise CannotTest(f"in no pair of equal sizes {weaker} the weaker")
        gains: np.ndarray = (self.gains * np.sign(self.gaps))[:, chosen].mean(1)
        return gains

    def slope(self) -> np.ndarray:
        """Return by how much more pruning first gains per nat that it is the weaker, per text."""
        gaps = self.gaps[self.equal]
        centred = gaps - gaps.mean() if len(gaps) else gaps
        if not centred.any():
            raise CannotTest("no two pairs of equal sizes differ in how much weaker one is")
        slopes: np.ndarray = self.gains[:, self.equal] @ centred / (centred**2).sum()
        return slopes

    def note(self, sign: int | None) -> str:
        """Return in words in how many pairs which is the weaker.

        Args:
            sign: as of ``weaker_first``.
        """
        clear, count = self.clear & self.equal, len(self.gaps)
        pruning, quantization = (
            int((clear & (np.sign(self.gaps) == sign_of_gap)).sum()) for sign_of_gap in (1, -1)
        )
        if sign is not None:
            return f"of {count} pairs in {pruning if sign > 0 else quantization}"
        unclear = int((self.equal & ~self.clear).sum())
        return (
            f"of {count} pairs pruning is the weaker in {pruning}, quantization in {quantization},"
            f" neither clearly in {unclear}; in {int((~self.equal).sum())} the orders' sizes differ"
        )
