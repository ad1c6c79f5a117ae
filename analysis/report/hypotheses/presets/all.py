"""Every preset by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analysis.report.hypotheses.cells import Levels, needed_cells
from analysis.report.hypotheses.paper import CRITERIA, TITLES, parts
from analysis.report.hypotheses.presets.coming_back import quantization_restores, relearning
from analysis.report.hypotheses.presets.edits_and_training import finetuning_erases
from analysis.report.hypotheses.presets.names import PAPER, PUBLISHED
from analysis.report.hypotheses.presets.preset import Preset
from analysis.report.hypotheses.presets.pruning_and_quantizing import sparsify_first, weaker_first
from analysis.report.hypotheses.presets.several_steps import merging_or_sequence, three_orders
from analysis.report.hypotheses.presets.sparse_models import unlearning_sparse
from interventions.errors import InvalidInput, one_of

_MAKERS: Mapping[str, Callable[[], Preset]] = {
    "weaker-first": weaker_first,
    "sparsify-first": sparsify_first,
    "quantization-restores": quantization_restores,
    "finetuning-erases": finetuning_erases,
    "relearning": relearning,
    "unlearning-sparse": unlearning_sparse,
    "merging-or-sequence": merging_or_sequence,
    "three-orders": three_orders,
}


def presets_named(name: str, levels: Levels | None = None) -> list[Preset]:
    """Return the presets of a name.

    Args:
        name: "paper", one out of ``names.TITLES``, or "published" for all of these.
        levels: of the compressions that the paper's findings are tested at; the others have theirs.

    Raises:
        InvalidInput: no preset has the name, or it is not the paper's and levels are given.

    Example:
        >>> [preset.name for preset in presets_named("relearning")]
        ['relearning']
        >>> len(presets_named("published"))
        8
    """
    one_of("preset", name, (PAPER, PUBLISHED, *_MAKERS))
    if name == PAPER:
        return [paper_preset(levels or Levels())]
    if levels is not None:
        raise InvalidInput(
            f"levels are those of preset {PAPER}; {name} has its own, but got {levels}"
        )
    chosen = list(_MAKERS) if name == PUBLISHED else [name]
    return [_MAKERS[preset]() for preset in chosen]


def paper_preset(levels: Levels) -> Preset:
    """Return the six findings of the paper as a preset.

    Args:
        levels: of the compressions.
    """
    return Preset(
        name=PAPER,
        heading="Which of the paper's findings hold on the testbed",
        sources=("arXiv 2407.06483",),
        claim="Six findings of the paper.",
        design=f"At {levels}. Effects are means over editors, compressions, orders and levels."
        " Over edit batches and seeds, WMDP and MMLU are of these questions: no interval reckons"
        " with others. GA and GD draw nothing at random, so that each is one unlearned model where"
        " nothing is edited: there questions are the replicates, and of other runs nothing is"
        " said.",
        titles=TITLES,
        cells=tuple(needed_cells(levels)),
        parts=tuple(parts(levels)),
        criteria=CRITERIA,
        policies=("auto", "paper"),
    )
