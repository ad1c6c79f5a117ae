"""An edit, an unlearning and a compression: in which of six orders, and rather merged?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from analysis.report.hypotheses.cells import BATCHES, Cell
from analysis.report.hypotheses.contrasts import CellValues, Term, weighted
from analysis.report.hypotheses.parts import ANY, Part
from analysis.report.hypotheses.presets.names import TITLES
from analysis.report.hypotheses.presets.preset import Preset

EDIT, UNLEARN, COMPRESS = "ft", "rmu", "wanda(sparsity=0.65)"
# it changes matrices that RMU changes too, so that signs can conflict: FT's and RMU's are others
MERGED_EDIT = "lora"
SEQUENCES = tuple(f"{first} | {second}" for first, second in permutations((MERGED_EDIT, UNLEARN)))
ORDERS = tuple(" | ".join(steps) for steps in permutations((EDIT, UNLEARN, COMPRESS)))
_EDITS, _FORGOTTEN, _GENERAL = "edit_success", "wmdp", "mmlu"
_NAMES = {_EDITS: "edit success", _FORGOTTEN: "WMDP", _GENERAL: "MMLU"}
# of all three at once: what is wanted of each counts alike
_WANTED = ((1.0, _EDITS), (-1.0, _FORGOTTEN), (1.0, _GENERAL))
_UNIT = "mean of edit success, 1 - WMDP and MMLU"


def _overall(values: CellValues, cell: str) -> np.ndarray:
    """Return the mean of edit success, 1 - WMDP and MMLU, less 1/3, by batch: what differs."""
    terms: list[Term] = [(sign / len(_WANTED), cell, name) for sign, name in _WANTED]
    return weighted(values, terms)


def merging_or_sequence() -> Preset:
    """Return the preset on merging two branches instead of applying one after the other."""
    merged = [f"merge({MERGED_EDIT}, {UNLEARN}{how})" for how in ("", ", how='ties'")]
    return Preset(
        name="merging-or-sequence",
        heading=TITLES["merging-or-sequence"],
        sources=("arXiv 2212.04089", "arXiv 2306.01708", "arXiv 2503.21088"),
        claim="What several fine-tunings changed can be added up, with signs that do not conflict"
        " (TIES), and a merge of unlearned models came second in a shared task. That merging beats"
        " both orders of an edit and an unlearning is this project's question, not theirs.",
        design=f"`{MERGED_EDIT}` and `{UNLEARN}` merged, by plain sums or by TIES with the"
        f" defaults, against both sequences; judged by the {_UNIT}, in each batch of edits.",
        titles={1: TITLES["merging-or-sequence"]},
        cells=tuple(Cell(text, BATCHES) for text in (*SEQUENCES, *merged)),
        parts=tuple(_beats(text) for text in merged),
        criteria=tuple(_NAMES),
        newer=("merge",),
    )


def _beats(merged: str) -> Part:
    return Part(
        1,
        f"{merged} is better than either sequence",
        f"{_UNIT}: the merged model's less the better sequence's",
        BATCHES,
        (*SEQUENCES, merged),
        lambda values: [_overall(values, merged) - _overall(values, text) for text in SEQUENCES],
    )


def three_orders() -> Preset:
    """Return the preset on all orders of three steps."""
    return Preset(
        name="three-orders",
        heading=TITLES["three-orders"],
        sources=("arXiv 2407.06483",),
        claim="For pairs the order matters. For three steps there is no published claim: whether"
        " the six orders differ, whether what comes last is done best, and whether one order is the"
        " best of all are this project's questions.",
        design=f"`{EDIT}`, `{UNLEARN}` and `{COMPRESS}` in all six orders, each pruned at the end"
        " (`recompress=auto`), in each batch of edits.",
        titles={
            1: "The six orders differ in edit success",
            2: "The six orders differ in WMDP",
            3: "The six orders differ in MMLU",
            4: "What comes last is done best",
            5: "One order is the best of the six",
        },
        cells=tuple(Cell(text, BATCHES) for text in ORDERS),
        parts=(
            *(_differ(number, name) for number, name in enumerate(_NAMES, start=1)),
            _last_is_best(EDIT, "the edit", _EDITS, 1.0),
            _last_is_best(UNLEARN, "unlearning", _FORGOTTEN, -1.0),
            _one_is_best(),
        ),
        criteria=tuple(_NAMES),
    )


def _differ(number: int, criterion: str) -> Part:
    def measure(values: CellValues) -> list[np.ndarray]:
        columns = values.columns([(order, criterion) for order in ORDERS])
        return list((columns - columns.mean(1, keepdims=True)).T)

    return Part(
        number,
        f"some order differs from the mean of all six in {_NAMES[criterion]}",
        f"{_NAMES[criterion]}: of the order that surely differs, less the mean",
        BATCHES,
        ORDERS,
        measure,
        ANY,
        note=lambda values: _extremes(values, criterion),
    )


def _extremes(values: CellValues, criterion: str) -> str:
    """Return the orders with the highest and the lowest mean, in words."""
    means = values.columns([(order, criterion) for order in ORDERS]).mean(0)
    high, low = int(means.argmax()), int(means.argmin())
    return f"highest {means[high]:.2f}: {ORDERS[high]}; lowest {means[low]:.2f}: {ORDERS[low]}"


def _last_is_best(step: str, name: str, criterion: str, sign: float) -> Part:
    last = [order for order in ORDERS if order.endswith(f"| {step}")]
    first = [order for order in ORDERS if order.startswith(f"{step} |")]
    terms: list[Term] = [
        *((sign / len(last), order, criterion) for order in last),
        *((-sign / len(first), order, criterion) for order in first),
    ]
    effect = "leaves more" if sign == 1 else "leaves less"
    return Part(
        4,
        f"{name} last rather than first {effect} {_NAMES[criterion]}",
        f"{_NAMES[criterion]}, so that positive is as the claim says",
        BATCHES,
        (*last, *first),
        lambda values: [weighted(values, terms)],
    )


def _ranked(values: CellValues) -> list[str]:
    """Return the orders by their mean over all batches, the best first."""
    return sorted(ORDERS, key=lambda order: -float(_overall(values, order).mean()))


def _one_is_best() -> Part:
    def measure(values: CellValues) -> list[np.ndarray]:
        # chosen on all batches together: chosen in each, it would win too often
        best, *rivals = _ranked(values)
        return [_overall(values, best) - _overall(values, rival) for rival in rivals]

    return Part(
        5,
        "the order that is best on average is better than each of the others",
        f"{_UNIT}: the best order's less the second's",
        BATCHES,
        ORDERS,
        measure,
        note=lambda values: _best_two(_ranked(values)),
    )


def _best_two(ranked: Sequence[str]) -> str:
    return f"best on average: {ranked[0]}; second: {ranked[1]}"
