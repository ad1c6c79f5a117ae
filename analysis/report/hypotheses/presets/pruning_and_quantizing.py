"""In which order to prune and to quantize: the weaker first, or always pruning first?

A pruned and a quantized model are of equal size where their average bits are: 16 (1 - s) + s bits
at sparsity s, and b + 1/4 at b bits with groups of 128. So 4 bits go with a sparsity of .783.

Both orders are compared only where they end with equal average bits, measured. SparseGPT is left
out: it changes the weights that it leaves, so that after it nothing is quantized any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from analysis.report.hypotheses.cells import SIZE, TEXTS, Cell
from analysis.report.hypotheses.contrasts import CannotTest, CellValues
from analysis.report.hypotheses.parts import Part
from analysis.report.hypotheses.presets.compressed_pairs import (
    LOSS,
    CompressedPair,
    Strengths,
    equal_sizes,
    loss_columns,
)
from analysis.report.hypotheses.presets.names import TITLES
from analysis.report.hypotheses.presets.preset import Preset

PRUNERS, QUANTIZERS = ("magnitude", "wanda"), ("rtn", "gptq")
_EQUAL_BITS = ((0.917, 2), (0.85, 3), (0.783, 4))  # sparsity and bits of equal size
_USUAL = tuple((sparsity, bits) for sparsity in (0.5, 0.75) for bits in (4, 3))
_CRITERIA = (LOSS, SIZE)
_UNIT = "loss in nats per token"
_OVER_TEXTS = (
    " Every composition is run once, as nothing here is drawn at random; nothing is applied again"
    " at the end. A pair counts where both orders end with equal average bits: pruning after RTN or"
    " GPTQ, say, does nothing where these made more zeros. A difference is one of log perplexity,"
    " text by text, so that a test speaks of other texts of this kind, and of this model and"
    " calibration alone."
)


def _pairs(
    levels: Iterable[tuple[float, int]], pruners: Sequence[str] = PRUNERS
) -> list[CompressedPair]:
    return [
        CompressedPair(f"{pruner}(sparsity={sparsity})", f"{quantizer}(bits={bits})")
        for sparsity, bits in levels
        for pruner in pruners
        for quantizer in QUANTIZERS
    ]


def _once(texts: Iterable[str]) -> tuple[Cell, ...]:
    return tuple(Cell(text, TEXTS, is_random=False) for text in dict.fromkeys(texts))


def weaker_first() -> Preset:
    """Return the preset on the order by strength."""
    pairs = _pairs(_EQUAL_BITS)
    cells = tuple(dict.fromkeys(cell for pair in pairs for cell in pair.cells))

    steeper = Part(
        1,
        "the weaker pruning is than quantization, the more pruning first gains",
        "loss in nats, per nat that it is the weaker",
        TEXTS,
        cells,
        lambda values: [Strengths.measured(values, pairs).slope()],
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
            _weaker_first(
                pairs, cells, "the weaker first leaves less loss, on average over pairs", None
            ),
            _weaker_first(
                pairs, cells, "where pruning is the weaker, pruning first leaves less loss", 1
            ),
            _weaker_first(
                pairs,
                cells,
                "where quantization is the weaker, quantizing first leaves less loss",
                -1,
            ),
            steeper,
        ),
        criteria=_CRITERIA,
        policies=("never",),
    )


def _weaker_first(
    pairs: Sequence[CompressedPair], cells: tuple[str, ...], claim: str, sign: int | None
) -> Part:
    return Part(
        1,
        claim,
        _UNIT,
        TEXTS,
        cells,
        lambda values: [Strengths.measured(values, pairs).weaker_first(sign)],
        note=lambda values: Strengths.measured(values, pairs).note(sign),
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


def _prune_first(pruner: str, quantizer: str, pairs: Sequence[CompressedPair]) -> Part:
    first = [pair.prune_first for pair in pairs]
    last = [pair.quantize_first for pair in pairs]

    def measure(values: CellValues) -> list[np.ndarray]:
        equal = equal_sizes(values, pairs)
        if not equal.any():
            raise CannotTest("in no pair do both orders end with equal average bits")
        gains = loss_columns(values, last) - loss_columns(values, first)
        return [gains[:, equal].mean(1)]

    def note(values: CellValues) -> str:
        return f"{int(equal_sizes(values, pairs).sum())} of {len(pairs)} levels have equal sizes"

    return Part(
        1,
        f"{pruner} before {quantizer} leaves less loss than after it",
        _UNIT,
        TEXTS,
        (*first, *last),
        measure,
        note=note,
    )
