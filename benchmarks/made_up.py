"""Models with random weights, of the shapes of real ones, and data of made-up words for them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interventions.data.base import Data, Edit, Prompt
from interventions.data.question_set import Question, QuestionSet
from interventions.data.questions import Questions
from interventions.lm import LM

# those of Llama 3 8B and Llama 3.2 1B, and two that a CPU can take through everything
SHAPES: dict[str, dict[str, int | bool]] = {
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "tie_word_embeddings": True,
    },
    "150m": {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
    "10m": {
        "hidden_size": 256,
        "intermediate_size": 640,
        "num_hidden_layers": 10,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 16000,
        "tie_word_embeddings": True,
    },
}
# what prompts are made of beside made-up words
_SPECIAL = ["<unk>", "<pad>", "</s>"]
_PLAIN = [*_SPECIAL, *"ABCD.,:?", "is", "a", "The", "Therefore", "Because", "I", "You", "Answer"]
_SPREAD = 0.02  # standard deviation of the weights


def shape_config(size: str, blocks: int | None = None) -> LlamaConfig:
    """Return the configuration of a size.

    Args:
        size: a key of ``SHAPES``.
        blocks: how many decoder blocks; None: as many as the size has.
    """
    values = dict(SHAPES[size])
    if blocks is not None:
        values["num_hidden_layers"] = blocks
    return LlamaConfig(**values, max_position_embeddings=8192, pad_token_id=1, eos_token_id=2)


def word_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer to which every made-up word is one token."""
    words = [*_PLAIN, *(f"w{index}" for index in range(vocabulary - len(_PLAIN)))]
    model = WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )


def random_lm(config: LlamaConfig, device: str, dtype: torch.dtype) -> LM:
    """Return a model with random weights, on a device."""
    with torch.device(device):
        model = LlamaForCausalLM._from_config(config, dtype=dtype)
    model = model.eval().requires_grad_(False)
    draw_weights(model)
    return LM(model, word_tokenizer(config.vocab_size))


@torch.no_grad()
def draw_weights(model: nn.Module) -> None:
    """Give a model new random weights, in place: matrices normal, norms 1."""
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.normal_(0, _SPREAD)
        else:
            weight.fill_(1)


def made_up_data(config: LlamaConfig, share: float = 1.0) -> Data:
    """Return data of as many texts, of as many tokens, as the paper's, for a model's tokenizer.

    Args:
        config: of the model, whose vocabulary and down-projections count.
        share: of the paper's numbers of calibration texts, test tokens and questions.
    """
    words = _words(config.vocab_size)

    def texts(count: int, tokens: int) -> tuple[str, ...]:
        return tuple(" ".join(itertools.islice(words, tokens)) for _ in range(count))

    def few(count: int) -> int:
        return max(8, round(count * share))

    statistics_texts = 45 * config.intermediate_size // 512
    return Data(
        "made-up",
        edits=tuple(_edit(words) for _ in range(50)),
        locality=tuple(Prompt(texts(1, 9)[0], next(words)) for _ in range(50)),
        questions=_questions(
            words, {"mmlu": few(14042), "wmdp_bio": few(1273), "wmdp_cyber": few(1987)}
        ),
        forget=texts(512, 1024),
        retain=texts(512, 1024),
        calibration=texts(few(128), 2048),
        calibration_of=(("awq", texts(few(128), 512)),),
        statistics=texts(statistics_texts, 512),
        test_text=texts(1, few(290_000)),
        window=8192,
        forget_topics=("bio", "cyber"),
    )


def _words(vocabulary: int) -> Iterator[str]:
    draw = random.Random(0)
    while True:
        yield f"w{draw.randrange(vocabulary - len(_PLAIN))}"


def _edit(words: Iterator[str]) -> Edit:
    subject = " ".join(itertools.islice(words, 3))
    before, after, other = (" ".join(itertools.islice(words, 5)) for _ in range(3))
    target, original = (" ".join(itertools.islice(words, 3)) for _ in range(2))
    prompt = f"{before} {subject} {after}"
    return Edit(subject, prompt, target, original, (f"{other} {subject} {after}",))


def _questions(words: Iterator[str], counts: dict[str, int]) -> Questions:
    """Return sets of four-choice questions of about 100 tokens, MMLU's mean."""
    sets = tuple(
        QuestionSet(
            name,
            tuple(
                Question(
                    " ".join(itertools.islice(words, 30 + 4 * (index % 15))),
                    tuple(" ".join(itertools.islice(words, 6)) for _ in range(4)),
                    index % 4,
                )
                for index in range(count)
            ),
            "higher" if name == "mmlu" else "lower",
        )
        for name, count in counts.items()
    )
    return Questions(tuple((name, name) for name in counts), sets=sets)
