"""Check answers against a model's tokenizer: each must have at least one token."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from interventions.answers import continuations
from interventions.data.base import Data
from interventions.errors import InvalidInput, shown
from interventions.prompt_format import PLAIN, PromptFormat


def check_answers(
    data: Data,
    tokenizer: PreTrainedTokenizerBase,
    model: str,
    prompt_format: PromptFormat = PLAIN,
) -> None:
    """Check that every answer is one to the model: some tokenizers drop or replace characters.

    Args:
        data: one batch.
        tokenizer: the model's.
        model: its name, for the message.
        prompt_format: what the model is given around a prompt.

    Raises:
        InvalidInput: an answer comes to no token.
    """
    answers = []
    for number, edit in enumerate(data.edits, 1):
        answers.append((edit.prompt, edit.target, f"the target of edit {number}"))
    for number, unedited in enumerate(data.locality, 1):
        place = f"the answer to locality prompt {number}"
        answers.append((unedited.prompt, unedited.answer, place))
    pairs = [(prompt, answer) for prompt, answer, _ in answers]
    encoded_pairs = continuations(tokenizer, pairs, prompt_format)
    for encoded, (_, answer, place) in zip(encoded_pairs, answers, strict=True):
        # of some, a blank is left
        if not tokenizer.decode(encoded.answer).strip():
            raise InvalidInput(
                f"{place}, {shown(answer, 60)}, is nothing to the tokenizer of {shown(model, 80)}:"
                " it drops these characters, or they stand for no text"
            )
