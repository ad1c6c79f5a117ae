"""A model of 10 million weights with 32,000 tokens, and questions of three shapes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interventions.data.base import Questions

VOCABULARY = 32_000
SHAPES = ("letters", "texts", "shared")
_LETTERS = "ABCD"
_WORDS = 40_000
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "or", "el")]


def build(folder: Path, count: int) -> None:
    """Write the model, its tokenizer and the questions into a folder.

    Args:
        folder: an empty one.
        count: of the questions of each shape.
    """
    _tokenizer(_words()).save_pretrained(folder / "model")
    model().save_pretrained(folder / "model")
    for shape, shape_rows in rows(count).items():
        lines = (json.dumps(row) for row in shape_rows)
        (folder / f"{shape}.test.jsonl").write_text("\n".join(lines))
        (folder / f"{shape}.yaml").write_text(yaml.safe_dump(_task(folder, shape)))


def rows(count: int) -> dict[str, list[dict[str, Any]]]:
    """Return ``count`` questions of each shape, the same at every call."""
    words = _words()
    makers = (_letters, _texts, _shared)
    return {shape: list(make(words, count)) for shape, make in zip(SHAPES, makers, strict=True)}


def questions(folder: Path) -> Questions:
    """Return the questions of a folder."""
    return Questions(tuple((shape, f"benchmark_{shape}") for shape in SHAPES), folder)


def model() -> LlamaForCausalLM:
    """Return the model: random weights, spread so that its answers differ."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.06,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


def _words() -> list[str]:
    chance = random.Random(0)
    return ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(_WORDS)]


def _tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # as in every model's vocabulary a letter is a token, and so is one after a blank
    letters = [f" {letter}" for letter in _LETTERS for _ in range(100)]
    backend.train_from_iterator((*letters, *(f" {word}" for word in words)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def _letters(words: list[str], count: int) -> Iterator[dict[str, Any]]:
    """Yield long questions with their four choices, of which a letter is the answer."""
    chance = random.Random(1)
    for _ in range(count):
        listed = [f"{letter}. {_text(chance, words, 4)}" for letter in _LETTERS]
        question = "\n".join([_text(chance, words, 100), *listed, "Answer:"])
        yield {"question": question, "choices": list(_LETTERS), "answer": chance.randrange(4)}


def _texts(words: list[str], count: int) -> Iterator[dict[str, Any]]:
    """Yield short questions, of which a text is the answer."""
    chance = random.Random(2)
    for _ in range(count):
        choices = [_text(chance, words, chance.randint(1, 6)) for _ in _LETTERS]
        question = f"Question: {_text(chance, words, 25)}\nAnswer:"
        yield {"question": question, "choices": choices, "answer": chance.randrange(4)}


def _shared(words: list[str], count: int) -> Iterator[dict[str, Any]]:
    """Yield questions on long texts, each on the text of the nine before or after it."""
    chance = random.Random(3)
    passage = ""
    for number in range(count):
        if number % 10 == 0:
            passage = _text(chance, words, 100)
        choices = [_text(chance, words, chance.randint(1, 4)) for _ in _LETTERS]
        question = f"{passage}\nQuestion: {_text(chance, words, 10)}\nAnswer:"
        yield {"question": question, "choices": choices, "answer": chance.randrange(4)}


def _text(chance: random.Random, words: list[str], count: int) -> str:
    return " ".join(chance.choices(words, k=count))


def _task(folder: Path, shape: str) -> dict[str, Any]:
    """Return the configuration of lm-eval's task."""
    return {
        "task": f"benchmark_{shape}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{folder}/{shape}.test.jsonl"}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "question",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
