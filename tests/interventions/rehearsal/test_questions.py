"""What questions take is what the longest of them, and a batch full of the shortest, take."""

import random
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from benchmarks.made_up import random_lm, word_tokenizer
from interventions.criteria.base import criterion_of, measure
from interventions.data.own.reading import own_data
from interventions.live_memory import live_memory
from interventions.rehearsal.meta import Takes
from tests.interventions.rehearsal.test_steps import stage_of, tiny_config


def words(config: LlamaConfig, count: int, seed: int) -> str:
    known = sorted(word_tokenizer(config.vocab_size).get_vocab())[10:]
    return " ".join(random.Random(seed).choices(known, k=count))


@pytest.mark.parametrize("answers", ["letters", "texts"])
@pytest.mark.parametrize("longest", [8, 200])
def test_many_questions_and_a_long_one_take_what_is_rehearsed(answers: str, longest: int) -> None:
    config = tiny_config()
    rows: list[dict[str, Any]] = [
        {
            "question": words(config, longest if number == 150 else 6, number),
            "choices": [f"{words(config, 2, 10 * number + i)} {i}" for i in range(4)],
            "answer": 1,
        }
        for number in range(200)
    ]
    facts = {"rows": rows, "better": "higher", "answers": answers}
    data = own_data(questions={"facts": facts}).batch()
    takes = stage_of(config).criteria([criterion_of(data, "facts")], data)
    assert isinstance(takes, Takes), takes
    lm = random_lm(config, "cpu", torch.float32)
    with live_memory(lm.model) as memory:
        measure(lm, data, ["facts"])
    assert takes.peak_bytes == pytest.approx(memory.peak_bytes, rel=0.05)


def test_data_without_texts_of_perplexity_are_rehearsed() -> None:
    config = tiny_config()
    edit = {"subject": "Orlo", "prompt": f"Orlo {words(config, 3, 0)}", "target": "a"}
    data = own_data(edits=[edit]).batch()
    takes = stage_of(config).criteria([criterion_of(data, "edit_success")], data)
    assert isinstance(takes, Takes) and takes.peak_bytes > 0
