"""Edits as a user meets them: the model ends its answer itself, and all of the answer counts."""

from __future__ import annotations

from interventions.answers import Continuation, continuations, greedy_answers
from interventions.criteria.base import Scores, criterion, mean_scores
from interventions.data.base import Data
from interventions.lm import LM, batches

_BATCH = 64  # prompts
_MORE = 8  # tokens that a model may write after as many as the target has, to say that it goes on
_ENDS = (".", "!", "?", "\n")  # with which an answer may end, where the model writes on


@criterion(
    better="higher",
    unit="share",
    reads=("edits",),
    title="Edit success, exact",
    group="edit_success",
    category="editing",
    items="nested",
    opt_in=True,
)
def edit_exact(lm: LM, data: Data) -> Scores:
    """Measure the share of edited prompts that are answered by the new target and nothing else.

    The model writes greedily until it ends by itself: by its end token, or by the end of a sentence
    or line. What it wrote up to there is the target, letter by letter, but for blanks around it.
    ``edit_success`` cuts an answer to the target's length, and so cannot see whether the model
    would have stopped. An item is an edit. Not in the paper.

    Source: Yang et al. 2025, "The Mirage of Model Editing: Revisiting Evaluation in the Wild",
    section 3 (generation to a natural stop, without the target's length).
    """
    pairs = [(edit.prompt, edit.target) for edit in data.edits]
    exact: list[float] = []
    for batch in batches(pairs, _BATCH):
        targets = continuations(lm.tokenizer, batch, lm.prompt_format)
        free = [
            Continuation(target.prompt, [0] * (2 * len(target.answer) + _MORE))
            for target in targets
        ]
        for answer, target in zip(greedy_answers(lm, free), targets, strict=True):
            written, wanted = lm.tokenizer.decode(answer), lm.tokenizer.decode(target.answer)
            exact.append(float(is_whole_answer(written, wanted)))
    return mean_scores({str(index): score for index, score in enumerate(exact)})


def is_whole_answer(written: str, wanted: str) -> bool:
    """Return whether a text is an answer and then ends.

    Example:
        >>> is_whole_answer(" Rome. The next", "Rome"), is_whole_answer(" Rome, Italy", "Rome")
        (True, False)
    """
    written, wanted = written.lstrip(), wanted.strip()
    if not wanted or not written.startswith(wanted):
        return False
    rest = written[len(wanted) :].lstrip(" ")
    return not rest or rest.startswith(_ENDS)
