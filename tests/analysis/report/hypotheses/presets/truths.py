"""For every preset: worlds in which its findings are true, the other way round, or nothing."""

from __future__ import annotations

from analysis.report.hypotheses.presets.several_steps import COMPRESS, EDIT, ORDERS, UNLEARN
from tests.analysis.report.hypotheses.presets.stores import Truth

# what each compression alone adds to the loss: magnitude is the strongest, wanda the weakest
_STRENGTH = {"magnitude": 0.9, "wanda": 0.3, "rtn": 0.6, "gptq": 0.5}


def _steps(cell: str) -> list[str]:
    return [step.partition("(")[0] for step in cell.split(" | ")]


def _loss(cell: str, first_is_better: float) -> dict[str, float]:
    """Return a loss in which order is worth so much to the first step, if that is above 0."""
    steps = _steps(cell)
    loss = 3 + sum(_STRENGTH[step] for step in steps)
    return {"wikitext_ppl": loss - first_is_better}


def strength_decides(cell: str) -> dict[str, float]:
    steps = _steps(cell)
    gain = 0.2 * (_STRENGTH[steps[1]] - _STRENGTH[steps[0]]) if len(steps) == 2 else 0.0
    return _loss(cell, gain)


def stronger_first(cell: str) -> dict[str, float]:
    return strength_decides(" | ".join(cell.split(" | ")[::-1]))


def pruning_first(cell: str) -> dict[str, float]:
    steps = _steps(cell)
    prunes_first = len(steps) == 2 and steps[0] not in ("rtn", "gptq")
    return _loss(cell, 0.1 if prunes_first else 0.0)


def quantizing_first(cell: str) -> dict[str, float]:
    steps = _steps(cell)
    return _loss(cell, 0.1 if len(steps) == 2 and steps[0] in ("rtn", "gptq") else 0.0)


def order_is_nothing(cell: str) -> dict[str, float]:
    return _loss(cell, 0.0)


def _unlearned(cell: str, at_4: float, at_8: float, benign: float, attacked: float) -> float:
    """Return the WMDP after unlearning took .5, and a later step brought back a share of it."""
    if not any(name in cell for name in ("rmu", "gd", "npo")):
        return 0.9
    share = 0.0
    for mark, back in (("bits=4", at_4), ("bits=8", at_8), ("forget", attacked)):
        share = back if mark in cell else share
    if "finetune(steps" in cell:
        share = benign
    return 0.4 + 0.5 * share


def comes_back(cell: str) -> dict[str, float]:
    return {"wmdp": _unlearned(cell, 0.6, -0.1, 0.5, 0.8)}


def stays_away(cell: str) -> dict[str, float]:
    """4 bits take more away, 8 bring half back; so do benign texts, and the others little."""
    return {"wmdp": _unlearned(cell, -0.25, 0.5, -0.25, 0.0)}


def at_the_bounds(cell: str) -> dict[str, float]:
    """What comes back is as much as the bounds say, no less and no more."""
    return {"wmdp": _unlearned(cell, 0.1, 0.1, 0.0, 0.15)}


def weaker_on_sparse(cell: str) -> dict[str, float]:
    if not any(name in cell for name in ("rmu", "gd", "npo")):
        return {"wmdp": 0.85 if "wanda" in cell else 0.9}
    return {"wmdp": 0.65 if "wanda" in cell else 0.4}


def stronger_on_sparse(cell: str) -> dict[str, float]:
    unlearns = any(name in cell for name in ("rmu", "gd", "npo"))
    return {"wmdp": 0.9 if not unlearns else 0.3 if "wanda" in cell else 0.5}


def alike_on_sparse(cell: str) -> dict[str, float]:
    return {"wmdp": 0.4 if any(name in cell for name in ("rmu", "gd", "npo")) else 0.9}


def erased(cell: str) -> dict[str, float]:
    left = {"alphaedit": 0.5}.get(_steps(cell)[0], 0.75)
    return {"edit_success": left if "finetune" in cell else 0.95}


def sharpened(cell: str) -> dict[str, float]:
    """Fine-tuning raises edit success, and that of AlphaEdit most."""
    left = {"alphaedit": 0.95}.get(_steps(cell)[0], 0.85)
    return {"edit_success": left if "finetune" in cell else 0.7}


def merging_wins(cell: str) -> dict[str, float]:
    return {"edit_success": 0.95, "wmdp": 0.4} if "merge" in cell else {}


def sequence_wins(cell: str) -> dict[str, float]:
    return {} if "merge" in cell else {"edit_success": 0.95, "wmdp": 0.4}


def last_holds(cell: str) -> dict[str, float]:
    """Every step is the better the later it is, and one order is best."""
    steps = cell.split(" | ")
    return {
        "edit_success": 0.6 + 0.15 * steps.index(EDIT),
        "wmdp": 0.6 - 0.1 * steps.index(UNLEARN),
        "mmlu": 0.6 + (0.2 if steps[0] == COMPRESS and steps[-1] == EDIT else 0.0),
    }


def first_holds(cell: str) -> dict[str, float]:
    """The earlier the better, and two orders are equally good."""
    steps = cell.split(" | ")
    return {
        "edit_success": 0.9 - 0.15 * steps.index(EDIT),
        "wmdp": 0.4 + 0.15 * steps.index(UNLEARN),
        "mmlu": 0.9 if cell in ORDERS[:3] else 0.6,
    }


def three_are_nothing(cell: str) -> dict[str, float]:
    return {}


# of each preset: a world with its effect, one with the opposite, one with nothing
WORLDS: dict[str, tuple[Truth, Truth, Truth]] = {
    "weaker-first": (strength_decides, stronger_first, order_is_nothing),
    "sparsify-first": (pruning_first, quantizing_first, order_is_nothing),
    "quantization-restores": (comes_back, stays_away, at_the_bounds),
    "finetuning-erases": (erased, sharpened, three_are_nothing),
    "relearning": (comes_back, stays_away, at_the_bounds),
    "unlearning-sparse": (weaker_on_sparse, stronger_on_sparse, alike_on_sparse),
    "merging-or-sequence": (merging_wins, sequence_wins, three_are_nothing),
    "three-orders": (last_holds, first_holds, three_are_nothing),
}
