"""Labels for training on answers: which tokens of "prompt + answer" are the answer's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from interventions.errors import InvalidInput


def answer_labels(
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, str]],
    context: int | None,
    *,
    add_special_tokens: bool = True,
) -> tuple[BatchEncoding, Tensor]:
    """Return encoded (prompt + answer), and labels (n, tokens): the ids of the answers.

    The answer is what the tokenizer makes of the text behind the ids of the prompt; a token that
    joins the end of the prompt with the answer is the answer's. Labels are -100 on all else, and on
    the special tokens that the tokenizer adds.

    Args:
        tokenizer: the model's, which can pad.
        pairs: (prompt, answer) texts; an answer that is a new word begins with a space.
        context: tokens that the model reads at once; None: any number.
        add_special_tokens: whether the tokenizer puts its first token before a text, and its last
            one behind it.

    Raises:
        InvalidInput: a pair is longer than the context.
    """
    encoded = tokenizer(
        [prompt + answer for prompt, answer in pairs],
        return_tensors="pt",
        padding=True,
        padding_side="right",
        return_token_type_ids=False,
        return_special_tokens_mask=True,
        add_special_tokens=add_special_tokens,
    )
    ids, special = encoded["input_ids"], encoded.pop("special_tokens_mask").bool()
    longest = ids.shape[1]
    if context is not None and longest > context:
        raise InvalidInput(
            f"a prompt has {longest} tokens with its answer, but the model reads {context} at once"
        )
    prompts = tokenizer([prompt for prompt, _ in pairs], add_special_tokens=add_special_tokens)[
        "input_ids"
    ]
    starts = [
        shared_length(prompt, whole) for prompt, whole in zip(prompts, ids.tolist(), strict=True)
    ]
    in_prompt = torch.arange(longest) < torch.tensor(starts)[:, None]
    return encoded, ids.masked_fill(in_prompt | special, -100)


def shared_length(prompt: Sequence[int], whole: Sequence[int]) -> int:
    """Return how many tokens two texts have in common at their beginning.

    Example:
        >>> shared_length([1, 2, 3], [1, 2, 4, 5])
        2
    """
    equal = takewhile(lambda two: two[0] == two[1], zip(prompt, whole, strict=False))
    return len(list(equal))
