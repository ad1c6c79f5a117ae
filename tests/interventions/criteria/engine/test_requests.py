"""Requests, against lm-eval's model class one request at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from interventions import padding
from interventions.anatomy import blocks
from interventions.criteria.engine import likelihoods
from interventions.criteria.engine.encoding import encode
from interventions.criteria.engine.requests import Answer, answers, most_tokens
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.anatomies.texts import sentences
from tests.interventions.criteria.engine.stock import small_model, stock_answers

TEXTS = sentences(12, seed=5, most=3)
ENDS = ("", " ", "\n", "  ", "\n\n ")


def pairs() -> list[tuple[str, str]]:
    """Return contexts of many lengths and ends with letters and texts, some without a context."""
    every: list[tuple[str, str]] = []
    for index, text in enumerate(TEXTS):
        end = ENDS[index % len(ENDS)]
        options = (" A", " B", "C") if index % 2 else (f" {TEXTS[index - 1][:20]}", " the river")
        every += [(f"{text}{end}", option) for option in options]
    return [*every, ("", "The river"), ("", " a tower"), ("", "</s> a tower")]


def assert_close(ours: list[Answer], stock: list[Answer]) -> None:
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in stock]
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in stock], abs=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma1", "phi3-long", "gpt2"])
def test_requests_are_answered_as_by_lm_eval(name: str) -> None:
    """Four kinds of tokenizers; Phi 3's rotary factors depend on the longest row of a batch."""
    lm = small_model(name)
    ours, stock = answers(lm, [pairs()]), stock_answers(lm, pairs())
    assert_close(ours[0], stock)


def test_a_model_that_padding_left_alone_is_not_padded_across_its_border() -> None:
    """Its trial was on short texts; beside one of over 16 tokens they are read in another way."""
    lm = small_model("phi3-long")
    short = [(text[:20], " A") for text in TEXTS[:3]] + [(TEXTS[3][:12], " B")]
    assert_close(answers(lm, [short])[0], stock_answers(lm, short))
    lengths = [len(lm.tokenizer(text)["input_ids"]) for text, _ in pairs()]
    assert padding.pads_harmlessly(lm, [[1], [2, 3]]) and min(lengths) < 16 < max(lengths)
    assert_close(answers(lm, [pairs()])[0], stock_answers(lm, pairs()))


def test_the_answers_are_those_of_each_tasks_requests() -> None:
    lm = small_model("qwen2")
    whole = answers(lm, [pairs()])[0]
    first, none, rest = answers(lm, [pairs()[:7], [], pairs()[7:]])
    assert none == []
    assert_close([*first, *rest], whole)


def test_a_greedy_continuation_is_said_to_be_one() -> None:
    lm = small_model("qwen2")
    ids = lm.tokenizer(TEXTS[0])["input_ids"]
    with torch.no_grad():
        likeliest = int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())
    row = likelihoods.TokenRow(ids, [(len(ids) - 1, likeliest), (len(ids) - 1, likeliest - 1)])
    assert likelihoods.log_likelihoods(lm, [row], "test")[0].greedy.tolist() == [True, False]


def test_a_context_that_is_too_long_is_cut_on_the_left_as_lm_eval_does() -> None:
    lm = small_model("gpt2")
    long = " ".join(TEXTS)
    asked = [(long, " the river"), (long[:-1], " A"), (TEXTS[0], " A")]
    with pytest.warns(UserWarning, match="2 of 3 requests are longer than the 128 tokens"):
        ours = answers(lm, [asked])[0]
    assert_close(ours, stock_answers(lm, asked))


def test_a_context_that_fits_with_all_but_its_last_token_is_not_cut() -> None:
    """What follows the last token of an answer is not predicted."""
    lm, long = small_model("gpt2"), " ".join(TEXTS)
    lengths = {end: len(lm.tokenizer(f"{long[:end]} A")["input_ids"]) for end in range(len(long))}
    whole = next(end for end, length in lengths.items() if length == most_tokens(lm) + 1)
    asked = [(long[:whole].rstrip(), " A")]
    assert_close(answers(lm, [asked])[0], stock_answers(lm, asked))


def test_an_answer_longer_than_the_model_reads_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"has \d+ tokens, but the model reads 128 at once"):
        answers(small_model("gpt2"), [[("A", " ".join(TEXTS))]])


def test_no_more_is_read_than_the_model_can_where_lm_eval_does_not_know_how_much() -> None:
    """MPT's limit has a name of its own."""
    lm = small_model("mpt")
    assert most_tokens(lm) == 128
    with pytest.warns(UserWarning, match="longer than the 128 tokens"):
        answers(lm, [[(" ".join(TEXTS), " A")]])


def test_single_tokens_after_one_context_are_answered_by_one_row() -> None:
    lm = small_model("qwen2")
    words = [token[1:] for token in lm.tokenizer.get_vocab() if token.startswith("\u0120")]
    options = [f" {word}" for word in words if word.isalpha()][:4]
    counts = {len(lm.tokenizer(TEXTS[0] + option)["input_ids"]) for option in options}
    assert counts == {len(lm.tokenizer(TEXTS[0])["input_ids"]) + 1}
    asked = [(TEXTS[0], option) for option in options]
    expected = answers(lm, [asked])[0]  # the trials of a new model, too
    with _noted_rows(lm) as sizes:
        assert answers(lm, [asked])[0] == expected
    assert sizes == [1]
    assert_close(expected, stock_answers(lm, asked))


@contextmanager
def _noted_rows(lm: LM, most: int = 10**6) -> Iterator[list[int]]:
    """Note how many rows each pass has; more than ``most`` are too many for the memory."""
    sizes: list[int] = []

    def note(module: Any, args: Any) -> None:
        sizes.append(len(args[0]))
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = blocks(lm.model)[0].register_forward_pre_hook(note)
    yield sizes
    handle.remove()


@pytest.fixture
def leaking() -> LM:
    """A model of which every prediction depends on all tokens of the row, padding too."""
    lm = small_model("qwen2")

    def leak(module: Any, args: Any, output: Any) -> None:
        output.logits = output.logits * (1 + output.logits[..., :7].mean((1, 2))[:, None, None])

    lm.model.register_forward_hook(leak)
    return lm


def test_a_model_that_reads_the_whole_row_is_asked_row_by_row(leaking: LM) -> None:
    assert_close(answers(leaking, [pairs()])[0], stock_answers(leaking, pairs()))


def test_a_batch_that_runs_out_of_memory_is_halved_and_nothing_else_changes() -> None:
    lm = small_model("qwen2")
    expected = answers(lm, [pairs()])[0]
    with _noted_rows(lm, most=3) as sizes:
        halved = answers(lm, [pairs()])[0]
    assert_close(halved, expected)
    assert max(sizes) > 3
    # no row is read twice but those of batches that were too large
    assert sum(size for size in sizes if size <= 3) == len({tuple(row) for row in _rows(lm)})


def test_a_row_that_is_too_long_for_the_memory_by_itself_is_an_error() -> None:
    lm = small_model("qwen2")
    answers(lm, [pairs()])
    with _noted_rows(lm, most=0), pytest.raises(torch.OutOfMemoryError):
        answers(lm, [pairs()])


def _rows(lm: LM) -> list[list[int]]:
    encoded = encode(lm.tokenizer, pairs())
    return [[*each.context, *each.continuation][:-1] for each in encoded]
