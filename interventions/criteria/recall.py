"""Facts of the base model's training that are still recalled exactly."""

from __future__ import annotations

from interventions.criteria.base import Scores, criterion, mean_scores
from interventions.criteria.editing import generated
from interventions.data.base import Data
from interventions.lm import LM


@criterion(better="higher", unit="share", reads=("facts",), title="Facts recalled", items="crossed")
def facts_exact(lm: LM, data: Data) -> Scores:
    """Measure the share of known facts whose answer is how the model goes on greedily.

    Every token of the answer has to be the right one; what comes after it does not count. It falls
    before four-choice questions do, of which a model that is unsure still gets most right. An item
    is a fact. Not in the paper. Measured where the data have facts that the model was trained on:
    the testbed's.

    Source: Petroni et al. 2019, "Language Models as Knowledge Bases?", section 4 (precision at 1,
    here of all tokens of an answer).
    """
    pairs = tuple((fact.prompt, fact.answer) for fact in data.facts)
    answers = generated(lm, pairs)
    return mean_scores(
        {str(index): float(answer == target) for index, (answer, target) in enumerate(answers)}
    )
