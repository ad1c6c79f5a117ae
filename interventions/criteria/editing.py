"""Editing criteria: the token-set F1 of greedily generated answers (paper, sections 3.1 and C)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from interventions.answers import continuations, greedy_answers
from interventions.criteria.base import Scores, criterion, grouped_scores, mean_scores
from interventions.criteria.sharing import shared
from interventions.data.base import PORTABILITY_KINDS, Data
from interventions.lm import LM, batches

_BATCH = 64  # prompts


@criterion(
    better="higher",
    unit="F1",
    reads=("edits",),
    version=2,
    title="Edit success",
    judges=("editing",),
    category="editing",
    items="nested",
)
def edit_success(lm: LM, data: Data) -> Scores:
    """Measure the F1 of answers to edited prompts against the new targets (paper, section 3.1).

    An item is an edit.
    """
    pairs = tuple((edit.prompt, edit.target) for edit in data.edits)
    return mean_scores(_numbered(answer_f1(lm, pairs)))


@criterion(
    better="higher",
    unit="F1",
    reads=("first_edits",),
    title="Edit success, first batch",
    group="edit_success",
    category="editing",
    items="nested",
)
def edit_success_first(lm: LM, data: Data) -> Scores:
    """Measure edit success on the first of several batches of edits that a run writes.

    Where one batch is written there is no such criterion. An item is an edit. Not in the paper.

    Source: as of edit_success; Fang et al. 2025, "AlphaEdit", figure 6 (what later edits leave).
    """
    pairs = tuple((edit.prompt, edit.target) for edit in data.first_edits)
    return mean_scores(_numbered(answer_f1(lm, pairs)))


@criterion(
    better="higher",
    unit="F1",
    reads=("edits",),
    version=2,
    title="Generalization",
    category="editing",
    items="nested",
    needs=("rephrasings",),
)
def edit_generalization(lm: LM, data: Data) -> Scores:
    """Measure the F1 of answers to rephrased edited prompts (paper, section 3.1).

    An item is an edit that has rephrasings; its score is the mean over these.
    """
    pairs = tuple((prompt, edit.target) for edit in data.edits for prompt in edit.rephrasings)
    scores = iter(answer_f1(lm, pairs))
    edit_means = {}
    for index, edit in enumerate(data.edits):
        edit_scores = [next(scores) for _ in edit.rephrasings]
        if edit_scores:
            edit_means[str(index)] = sum(edit_scores) / len(edit_scores)
    return mean_scores(edit_means)


@criterion(
    better="higher",
    unit="F1",
    reads=("locality",),
    version=2,
    title="Locality",
    group="locality",
    judges=("editing",),
    category="editing",
    items="nested",
)
def edit_locality(lm: LM, data: Data) -> Scores:
    """Measure strict locality: the F1 on unrelated, unedited prompts (paper, section 3.1).

    The answer is held against the gold answer. An item is a prompt.
    """
    pairs = tuple((unedited.prompt, unedited.answer) for unedited in data.locality)
    return mean_scores(_numbered(answer_f1(lm, pairs)))


@criterion(
    better="higher",
    unit="share",
    reads=("locality", "base_answers"),
    version=2,
    title="Preservation",
    group="locality",
    category="editing",
    items="nested",
)
def edit_preservation(lm: LM, data: Data) -> Scores:
    """Measure the share of the locality prompts whose answer is the base model's.

    It is the field's usual locality, and not in the paper. An item is a prompt.

    Source: De Cao et al. 2021, "Editing Factual Knowledge in Language Models", section 2
    (consistency).

    Raises:
        ValueError: the data have no answers of the base model.
    """
    if data.base_answers is None:
        raise ValueError(
            "edit_preservation needs data.base_answers: use with_base_answers(data, base_model)"
        )
    answers = locality_answers(lm, data)
    unchanged = [
        float(answer == before) for answer, before in zip(answers, data.base_answers, strict=True)
    ]
    return mean_scores(_numbered(unchanged))


@criterion(
    better="higher",
    unit="F1",
    reads=("edits", "portability"),
    title="Portability",
    category="editing",
    items="nested",
)
def edit_portability(lm: LM, data: Data) -> Scores:
    """Measure the F1 of answers to questions that follow from the edits, and were not taught.

    The mean over all such questions: about the new answer (hop), by another name of the subject
    (alias), and for the subject (reverse). An item is a question, ``<edit>/<kind>/<number>``; the
    standard error takes the questions of one edit together. Not in the paper.

    Source: Yao et al. 2023, "Editing Large Language Models", section 5.1; Zhang et al. 2024,
    "A Comprehensive Study of Knowledge Editing" (KnowEdit).
    """
    return _portability(lm, data, PORTABILITY_KINDS)


@criterion(
    better="higher",
    unit="F1",
    reads=("edits", "hops"),
    title="Portability, one hop",
    group="edit_portability",
    category="editing",
    items="nested",
)
def edit_portability_hop(lm: LM, data: Data) -> Scores:
    """Measure the part of edit_portability whose questions are about the new answer.

    Source: as of edit_portability, Yao et al. 2023.
    """
    return _portability(lm, data, ("hop",))


@criterion(
    better="higher",
    unit="F1",
    reads=("edits", "aliases"),
    title="Portability, alias",
    group="edit_portability",
    category="editing",
    items="nested",
)
def edit_portability_alias(lm: LM, data: Data) -> Scores:
    """Measure the part of edit_portability whose questions name the subject otherwise.

    Source: as of edit_portability, Yao et al. 2023.
    """
    return _portability(lm, data, ("alias",))


@criterion(
    better="higher",
    unit="F1",
    reads=("edits", "reversals"),
    title="Portability, reverse",
    group="edit_portability",
    category="editing",
    items="nested",
)
def edit_portability_reverse(lm: LM, data: Data) -> Scores:
    """Measure the part of edit_portability whose questions ask for the subject.

    Source: as of edit_portability, Yao et al. 2023.
    """
    return _portability(lm, data, ("reverse",))


def _portability(lm: LM, data: Data, kinds: Collection[str]) -> Scores:
    """Return the scores of the portability prompts of some kinds, grouped by edit."""
    # all kinds, so that the criterion and its parts share one generation
    scores = iter(
        answer_f1(lm, tuple((portable.prompt, portable.answer) for portable in data.portability))
    )
    groups = {}
    for index, edit in enumerate(data.edits):
        group: dict[str, float] = {}
        number_of_kind = Counter[str]()
        for portable in edit.portability:
            score = next(scores)
            if portable.kind in kinds:
                group[f"{portable.kind}/{number_of_kind[portable.kind]}"] = score
            number_of_kind[portable.kind] += 1
        groups[str(index)] = group
    return grouped_scores(groups)


def _numbered(scores: Sequence[float]) -> dict[str, float]:
    return {str(index): score for index, score in enumerate(scores)}


def locality_answers(lm: LM, data: Data) -> tuple[str, ...]:
    """Return the greedy answers to the locality prompts, each as long as the gold answer."""
    pairs = tuple((unedited.prompt, unedited.answer) for unedited in data.locality)
    return tuple(lm.tokenizer.decode(answer) for answer, _ in generated(lm, pairs))


def answer_f1(lm: LM, pairs: tuple[tuple[str, str], ...]) -> list[float]:
    """Return the token-set F1 of the greedy answer for each (prompt, target).

    The answer is cut to the target's length.
    """
    return [token_f1(answer, target) for answer, target in generated(lm, pairs)]


def token_f1(answer: Sequence[int], target: Sequence[int]) -> float:
    """Return 2PR / (P + R) over the sets of tokens.

    Example:
        >>> token_f1([1, 3], [1, 2])
        0.5
    """
    common = len(set(answer) & set(target))
    return 2 * common / (len(set(answer)) + len(set(target))) if common else 0.0


@shared
def generated(lm: LM, pairs: tuple[tuple[str, str], ...]) -> list[tuple[list[int], list[int]]]:
    """Generate greedily; return (ids of the answer, ids of the target) for each (prompt, target).

    The answer is no longer than the target, and neither has special tokens.
    """
    results: list[tuple[list[int], list[int]]] = []
    for batch in batches(pairs, _BATCH):
        targets = continuations(lm.tokenizer, batch, lm.prompt_format)
        answers = greedy_answers(lm, targets)
        results += [
            (answer, target.answer) for answer, target in zip(answers, targets, strict=True)
        ]
    return results
