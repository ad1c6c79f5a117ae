"""The six findings of the paper's section 4, each as parts that a test can tell.

Source: Kolbeinsson et al., Composable Interventions for Language Models, ICLR 2025. The paper gives
no thresholds: where a part needs one, it is in its words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from analysis.report.hypotheses.cells import (
    BATCHES,
    EDITORS,
    PRUNERS,
    QUANTIZERS,
    QUESTIONS,
    UNLEARNERS,
    Levels,
    orders_of_pair,
    unlearner_replicates,
)
from analysis.report.hypotheses.contrasts import (
    CellValues,
    Term,
    clipped,
    order_free_errors,
    squared_differences,
    weighted,
)
from analysis.report.hypotheses.parts import ANY, Measure, Part

TITLES = {
    1: "Compression degrades edits",
    2: "The order matters: prune before an edit, GPTQ after it, AWQ before it",
    3: "How well methods compose varies within a category; MEMIT and AWQ compose best",
    4: "MMLU does not show it",
    5: "Compression hinders unlearning; unlearn before compressing",
    6: "RMU is the least order-sensitive unlearner, and GA destroys the model",
}
CRITERIA = ("edit_success", "wmdp", "mmlu")
CHANCE = 0.25  # of four choices
_EDITS, _FORGOTTEN, _GENERAL = CRITERIA
_NAMES = {
    "ft": "FT", "memit": "MEMIT", "lora": "LoRA", "wanda": "Wanda", "sparsegpt": "SparseGPT",
    "awq": "AWQ", "gptq": "GPTQ", "ga": "GA", "gd": "GD", "rmu": "RMU",
}  # fmt: skip
_Pairs = list[tuple[str, str]]


def parts(levels: Levels) -> list[Part]:
    """Return the parts of all findings, in order.

    Args:
        levels: of the compressions.

    Example:
        >>> sorted({part.finding for part in parts(Levels())})
        [1, 2, 3, 4, 5, 6]
    """
    return [
        *(_degrades(method, levels) for method in (*PRUNERS, *QUANTIZERS)),
        *(_prune_first(method, levels) for method in PRUNERS),
        _edit_first("gptq", levels),
        _prune_first("awq", levels),
        _varies(levels),
        _best_editor("memit", levels),
        _best_quantizer("awq", levels),
        _hidden(levels),
        *(_hinders(unlearner, levels) for unlearner in UNLEARNERS),
        *(_unlearn_first(unlearner, levels) for unlearner in UNLEARNERS),
        _least_sensitive("rmu"),
        _destroys("ga"),
    ]


def _pairs(firsts: Sequence[str], methods: Sequence[str], levels: Levels) -> _Pairs:
    """Return both orders' cells of some interventions with some compressions, at both levels."""
    return [
        orders_of_pair(first, spec)
        for method in methods
        for spec in levels.compressions(method)
        for first in firsts
    ]


def _flat(pairs: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell for pair in pairs for cell in pair))


def _degrades(method: str, levels: Levels) -> Part:
    pairs = _pairs(EDITORS, [method], levels)
    terms: list[Term] = [(1 / len(EDITORS), editor, _EDITS) for editor in EDITORS]
    composed = _flat(pairs)
    terms += [(-1 / len(composed), cell, _EDITS) for cell in composed]
    return Part(
        1,
        f"{_NAMES[method]} lowers edit success: the editor alone less both orders, on average",
        "edit success",
        BATCHES,
        (*EDITORS, *composed),
        lambda values: [weighted(values, terms)],
    )


def _order(pairs: _Pairs, criterion: str, sign: float) -> list[Term]:
    """Return the terms of forward less backward, on average over pairs, times a sign."""
    share = sign / len(pairs)
    return [
        term
        for forward, backward in pairs
        for term in ((share, forward, criterion), (-share, backward, criterion))
    ]


def _prune_first(method: str, levels: Levels) -> Part:
    pairs = _pairs(EDITORS, [method], levels)
    terms = _order(pairs, _EDITS, -1)
    return Part(
        2,
        f"{_NAMES[method]} before an edit keeps more edit success than after it",
        "edit success",
        BATCHES,
        _flat(pairs),
        lambda values: [weighted(values, terms)],
    )


def _edit_first(method: str, levels: Levels) -> Part:
    pairs = _pairs(EDITORS, [method], levels)
    terms = _order(pairs, _EDITS, 1)
    return Part(
        2,
        f"{_NAMES[method]} after an edit keeps more edit success than before it",
        "edit success",
        BATCHES,
        _flat(pairs),
        lambda values: [weighted(values, terms)],
    )


def _error_gaps(pairs_of: Sequence[tuple[_Pairs, _Pairs]]) -> Measure:
    """Return what measures the first pairs' order-free error less the second's, for each two."""

    def measure(values: CellValues) -> list[np.ndarray]:
        return [
            order_free_errors(values, first, _EDITS) - order_free_errors(values, second, _EDITS)
            for first, second in pairs_of
        ]

    return measure


def _varies(levels: Levels) -> Part:
    everything = (*PRUNERS, *QUANTIZERS)
    of_editors = [_pairs([editor], everything, levels) for editor in EDITORS]
    duels = list(combinations(of_editors, 2))
    for group in (PRUNERS, QUANTIZERS):
        first, second = (_pairs(EDITORS, [method], levels) for method in group)
        duels.append((first, second))
    return Part(
        3,
        "two methods of a category (editors, pruning, quantization) differ in order-free error",
        "order-free error of edit success",
        BATCHES,
        _flat(pair for duel in duels for pairs in duel for pair in pairs),
        _error_gaps(duels),
        ANY,
    )


def _best_editor(editor: str, levels: Levels) -> Part:
    everything = (*PRUNERS, *QUANTIZERS)
    winner = _pairs([editor], everything, levels)
    rivals = [_pairs([rival], everything, levels) for rival in EDITORS if rival != editor]
    return Part(
        3,
        f"{_NAMES[editor]} has a lower order-free error than every other editor",
        "order-free error of edit success, the closest rival's less its own",
        BATCHES,
        _flat(pair for pairs in (winner, *rivals) for pair in pairs),
        _error_gaps([(rival, winner) for rival in rivals]),
    )


def _best_quantizer(method: str, levels: Levels) -> Part:
    winner = _pairs(EDITORS, [method], levels)
    rivals = [_pairs(EDITORS, [rival], levels) for rival in QUANTIZERS if rival != method]
    return Part(
        3,
        f"{_NAMES[method]} has a lower order-free error than the other quantization, at equal bits",
        "order-free error of edit success, the rival's less its own",
        BATCHES,
        _flat(pair for pairs in (winner, *rivals) for pair in pairs),
        _error_gaps([(rival, winner) for rival in rivals]),
    )


def _hidden(levels: Levels) -> Part:
    pairs = _pairs(EDITORS, (*PRUNERS, *QUANTIZERS), levels)

    def measure(values: CellValues) -> list[np.ndarray]:
        edits = squared_differences(values, pairs, _EDITS)
        # a quarter of the square is half of the difference
        return [edits / 4 - squared_differences(values, pairs, _GENERAL), edits]

    return Part(
        4,
        "between the orders MMLU differs less than half as much as edit success, which differs",
        "squared difference, free of noise: a quarter of edit success's less MMLU's",
        BATCHES,
        _flat(pairs),
        measure,
    )


def _hinders(unlearner: str, levels: Levels) -> Part:
    over = unlearner_replicates(unlearner)
    composed = _flat(_pairs([unlearner], (*PRUNERS, *QUANTIZERS), levels))
    terms: list[Term] = [(1 / len(composed), cell, _FORGOTTEN) for cell in composed]
    terms.append((-1.0, unlearner, _FORGOTTEN))
    return Part(
        5,
        f"compression leaves more to {_NAMES[unlearner]}: both orders less the unlearner alone,"
        " on average",
        "WMDP, below chance counted as chance",
        over,
        (unlearner, *composed),
        lambda values: [clipped(values, terms, CHANCE, over == QUESTIONS)],
    )


def _unlearn_first(unlearner: str, levels: Levels) -> Part:
    over = unlearner_replicates(unlearner)
    pairs = _pairs([unlearner], (*PRUNERS, *QUANTIZERS), levels)
    terms = _order(pairs, _FORGOTTEN, -1)
    return Part(
        5,
        f"{_NAMES[unlearner]} forgets more before compression than after it",
        "WMDP, below chance counted as chance",
        over,
        _flat(pairs),
        lambda values: [clipped(values, terms, CHANCE, over == QUESTIONS)],
    )


def _least_sensitive(unlearner: str) -> Part:
    pairs_of = {name: [orders_of_pair(editor, name) for editor in EDITORS] for name in UNLEARNERS}

    def measure(values: CellValues) -> list[np.ndarray]:
        squares = {
            name: squared_differences(values, pairs, _EDITS) for name, pairs in pairs_of.items()
        }
        least = squares.pop(unlearner)
        return [rival - least for rival in squares.values()]

    return Part(
        6,
        f"with an edit, the order changes edit success less for {_NAMES[unlearner]} than for every"
        " other unlearner",
        "squared difference, free of noise: the closest rival's less its own",
        BATCHES,
        _flat(pair for pairs in pairs_of.values() for pair in pairs),
        measure,
    )


def _destroys(unlearner: str) -> Part:
    pairs_of = {
        name: _flat(orders_of_pair(editor, name) for editor in EDITORS) for name in UNLEARNERS
    }
    composed = pairs_of.pop(unlearner)
    left: list[Term] = [(-1 / len(composed), cell, _GENERAL) for cell in composed]
    half: list[Term] = [(0.5 / len(EDITORS), editor, _GENERAL) for editor in EDITORS]

    def measure(values: CellValues) -> list[np.ndarray]:
        rivals = [
            weighted(values, [*((1 / len(cells), cell, _GENERAL) for cell in cells), *left])
            for cells in pairs_of.values()
        ]
        return [*rivals, weighted(values, [*half, *left]) + CHANCE / 2]

    return Part(
        6,
        f"with an edit, {_NAMES[unlearner]} leaves less MMLU than every other unlearner, and under"
        " half of what an edited model has above chance",
        "MMLU: the least of what the others leave more, and of what half is more",
        BATCHES,
        (*EDITORS, *composed, *_flat(pairs_of.values())),
        measure,
        thresholds=1,
    )
