"""In which order to prune and to quantize: the weaker first, or always pruning first?

A pruned and a quantized model are of equal size where their average bits are: 16 (1 - s) + s bits
at sparsity s, and b + 1/4 at b bits with groups of 128. So 4 bits go with a sparsity of .783.

Both orders are compared only where they end with equal average bits, measured. SparseGPT is left
out: it changes the weights that it leaves, so that after it nothing is quantized any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.report.hypotheses.cells import ITEM_CRITERIA, SIZE, TEXTS, Cell
from analysis.report.hypotheses.contrasts import CannotTest, CellValues
from analysis.report.hypotheses.parts import LEVEL, Part
from analysis.report.hypotheses.presets.names import TITLES
from analysis.report.hypotheses.presets.preset import Preset
from analysis.report.paired import paired_test

PRUNERS, QUANTIZERS = ("magnitude", "wanda"), ("rtn", "gptq")
_EQUAL_BITS = ((0.917, 2), (0.85, 3), (0.783, 4))  # sparsity and bits of equal size
_USUAL = tuple((sparsity, bits) for sparsity in (0.5, 0.75) for bits in (4, 3))
_LOSS = ITEM_CRITERIA[TEXTS]
_CRITERIA = (_LOSS, SIZE)
_EQUAL = 0.1  # average bits by which two models of equal size may differ
_UNIT = "loss in nats per token"
_OVER_TEXTS = (
    " Every composition is run once, as nothing here is drawn at random; nothing is applied again"
    " at the end. A pair counts where both orders end with equal average bits: pruning after RTN or"
    " GPTQ, say, does nothing where these made more zeros. A difference is one of log perplexity,"
    " text by text, so that a test speaks of other texts of this kind, and of this model and"
    " calibration alone."
)


@dataclass(frozen=True)
class _Pair:
    """A pruning and a quantization that are composed in both orders."""

    pruning: str
    quantization: str

    @property
    def prune_first(self) -> str:
        return f"{self.pruning} | {self.quantization}"

    @property
    def quantize_first(self) -> str:
        return f"{self.quantization} | {self.pruning}"

    @property
    def cells(self) -> tuple[str, ...]:
        """Both alone and both orders."""
        return self.pruning, self.quantization, self.prune_first, self.quantize_first


def _pairs(levels: Iterable[tuple[float, int]], pruners: Sequence[str] = PRUNERS) -> list[_Pair]:
    return [
        _Pair(f"{pruner}(sparsity={sparsity})", f"{quantizer}(bits={bits})")
        for sparsity, bits in levels
        for pruner in pruners
        for quantizer in QUANTIZERS
    ]


def _once(texts: Iterable[str]) -> tuple[Cell, ...]:
    return tuple(Cell(text, TEXTS, is_random=False) for text in dict.fromkeys(texts))


def _equal_sizes(values: CellValues, pairs: Sequence[_Pair]) -> np.ndarray:
    """Return whether both orders end with as many average bits, shape (pairs,)."""
    first = values.columns([(pair.prune_first, SIZE) for pair in pairs])
    last = values.columns([(pair.quantize_first, SIZE) for pair in pairs])
    equal: np.ndarray = (np.abs(first - last) <= _EQUAL).all(0)
    return equal


def _losses(values: CellValues, cells: Sequence[str]) -> np.ndarray:
    """Return the loss of every text, shape (texts, cells)."""
    return values.columns([(cell, _LOSS) for cell in cells])


@dataclass(frozen=True)
class _Strengths:
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
    def measured(cls, values: CellValues, pairs: Sequence[_Pair]) -> _Strengths:
        pruned = _losses(values, [pair.pruning for pair in pairs])
        quantized = _losses(values, [pair.quantization for pair in pairs])
        pruned_first = _losses(values, [pair.prune_first for pair in pairs])
        quantized_first = _losses(values, [pair.quantize_first for pair in pairs])
        alone = (quantized - pruned).T
        clear = np.array([paired_test(differences).p <= LEVEL for differences in alone])
        equal = _equal_sizes(values, pairs)
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


def weaker_first() -> Preset:
    """Return the preset on the order by strength."""
    pairs = _pairs(_EQUAL_BITS)
    cells = tuple(dict.fromkeys(cell for pair in pairs for cell in pair.cells))

    def note(values: CellValues, sign: int | None) -> str:
        strengths = _Strengths.measured(values, pairs)
        clear = strengths.clear & strengths.equal
        by_sign = {1: clear & (strengths.gaps > 0), -1: clear & (strengths.gaps < 0)}
        if sign is not None:
            return f"of {len(pairs)} pairs in {int(by_sign[sign].sum())}"
        unclear = int((strengths.equal & ~strengths.clear).sum())
        return (
            f"of {len(pairs)} pairs pruning is the weaker in {int(by_sign[1].sum())}, quantization"
            f" in {int(by_sign[-1].sum())}, neither clearly in {unclear}; in"
            f" {int((~strengths.equal).sum())} the orders' sizes differ"
        )

    def part(number: int, claim: str, sign: int | None) -> Part:
        return Part(
            number,
            claim,
            _UNIT,
            TEXTS,
            cells,
            lambda values: [_Strengths.measured(values, pairs).weaker_first(sign)],
            note=lambda values: note(values, sign),
        )

    steeper = Part(
        1,
        "the weaker pruning is than quantization, the more pruning first gains",
        "loss in nats, per nat that it is the weaker",
        TEXTS,
        cells,
        lambda values: [_Strengths.measured(values, pairs).slope()],
    )
    return Preset(
        name="weaker-first",
        heading=TITLES["weaker-first"],
        sources=("arXiv 2603.18426",),
        claim="Where a model is both pruned and quantized, the weaker perturbation should come"
        " first and the stronger last, and what this gains grows with how unlike they are.",
        design=f"{len(pairs)} pairs of {', '.join(PRUNERS)} with {', '.join(QUANTIZERS)}, each at"
        " equal average bits (2, 3 or 4 bits with sparsity .917, .85 or .783). The weaker"
        " is that which alone has the lower loss; where a paired test over texts cannot tell which,"
        " the pair says nothing on the order." + _OVER_TEXTS,
        titles={1: TITLES["weaker-first"]},
        cells=_once(cells),
        parts=(
            part(1, "the weaker first leaves less loss, on average over pairs", None),
            part(1, "where pruning is the weaker, pruning first leaves less loss", 1),
            part(1, "where quantization is the weaker, quantizing first leaves less loss", -1),
            steeper,
        ),
        criteria=_CRITERIA,
        policies=("never",),
    )


def sparsify_first() -> Preset:
    """Return the preset on pruning first."""
    parts = []
    for pruner in PRUNERS:
        for quantizer in QUANTIZERS:
            pairs = [pair for pair in _pairs(_USUAL, [pruner]) if quantizer in pair.quantization]
            parts.append(_prune_first(pruner, quantizer, pairs))
    return Preset(
        name="sparsify-first",
        heading=TITLES["sparsify-first"],
        sources=("arXiv 2405.20935",),
        claim="Sparsity before quantization is the better order: quantizing first blurs which"
        " weights matter. It is proved for magnitude pruning and rounding to a grid that the"
        " largest weight scales, and shown for large language models with other prunings too.",
        design=f"Each of {', '.join(PRUNERS)} with each of {', '.join(QUANTIZERS)}, at sparsity .5"
        " and .75 with 4 and 3 bits, on average over these four." + _OVER_TEXTS,
        titles={1: TITLES["sparsify-first"]},
        cells=_once(cell for part in parts for cell in part.cells),
        parts=tuple(parts),
        criteria=_CRITERIA,
        policies=("never",),
    )


def _prune_first(pruner: str, quantizer: str, pairs: Sequence[_Pair]) -> Part:
    first = [pair.prune_first for pair in pairs]
    last = [pair.quantize_first for pair in pairs]

    def measure(values: CellValues) -> list[np.ndarray]:
        equal = _equal_sizes(values, pairs)
        if not equal.any():
            raise CannotTest("in no pair do both orders end with equal average bits")
        gains = _losses(values, last) - _losses(values, first)
        return [gains[:, equal].mean(1)]

    def note(values: CellValues) -> str:
        return f"{int(_equal_sizes(values, pairs).sum())} of {len(pairs)} levels have equal sizes"

    return Part(
        1,
        f"{pruner} before {quantizer} leaves less loss than after it",
        _UNIT,
        TEXTS,
        (*first, *last),
        measure,
        note=note,
    )
