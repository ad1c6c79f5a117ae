"""Batches by length, within the memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from interventions.criteria.engine import batching
from interventions.criteria.engine.batching import Budget, budget, memory_bytes, run_in_batches
from tests.interventions.criteria.engine.stock import small_model

LENGTHS = [5, 3, 9, 3, 7, 1, 9, 4]


def batches(limits: Budget, most: int = 10**6, **options: object) -> tuple[list[list[int]], int]:
    """Return the batches' lengths, and how many of over ``most`` tokens were tried."""
    done: list[list[int]] = []
    failures = 0

    def compute(batch: list[int]) -> None:
        nonlocal failures
        if len(batch) * max(LENGTHS[index] for index in batch) > most:
            failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.append([LENGTHS[index] for index in batch])

    run_in_batches(LENGTHS, limits, compute, **options)  # type: ignore[arg-type]
    return done, failures


def test_batches_are_filled_by_tokens_with_the_longest_first() -> None:
    expected = [[9, 9], [7, 5], [4, 3, 3, 1]]
    assert batches(Budget(memory=180, token_bytes=10, pair_bytes=0)) == (expected, 0)


def test_what_grows_with_the_square_of_the_length_counts() -> None:
    """9 tokens take 9 * 10 + 81 bytes."""
    assert Budget(memory=2 * (9 * 10 + 81), token_bytes=10, pair_bytes=1).rows(9) == 2
    assert Budget(memory=2 * (9 * 10 + 81) - 1, token_bytes=10, pair_bytes=1).rows(9) == 1


def test_a_row_that_is_over_the_budget_is_a_batch() -> None:
    assert batches(Budget(memory=1, token_bytes=10, pair_bytes=0))[0] == [
        [length] for length in sorted(LENGTHS, reverse=True)
    ]


def test_a_batch_has_no_more_tokens_than_the_most() -> None:
    limits = Budget(memory=10**9, token_bytes=1, pair_bytes=0, most_tokens=14)
    assert batches(limits)[0] == [[9], [9], [7, 5], [4, 3, 3], [1]]


def test_rows_of_one_length_are_together_where_padding_counts() -> None:
    limits = Budget(memory=10**9, token_bytes=1, pair_bytes=0)
    assert batches(limits, padded=False)[0] == [[9, 9], [7], [5], [4], [3, 3], [1]]


def test_no_batch_crosses_a_border() -> None:
    """A row of a border's length is on the lower side."""
    limits = Budget(memory=10**9, token_bytes=1, pair_bytes=0)
    for borders in ((4, 7), (7, 4)):
        assert batches(limits, borders=borders)[0] == [[9, 9], [7, 5], [4, 3, 3, 1]]


def test_a_batch_without_memory_is_halved_and_later_ones_are_as_small() -> None:
    done, failures = batches(Budget(memory=10**9, token_bytes=1, pair_bytes=0), most=20)
    assert failures == 2  # 8 rows of 9 tokens, then 4
    assert done == [[9, 9], [7, 5], [4, 3, 3, 1]]


def test_two_rows_without_memory_are_tried_one_by_one_and_a_single_one_is_an_error() -> None:
    limits = Budget(memory=10**9, token_bytes=1, pair_bytes=0, most_tokens=18)
    assert batches(limits, most=9) == ([[9], [9], [7], [5], [4, 3], [3, 1]], 1)
    with pytest.raises(torch.OutOfMemoryError):
        batches(limits, most=8)


@pytest.mark.parametrize("has_gpu", [True, False])
def test_what_a_gpu_holds_of_a_batch_without_memory_is_given_back(
    has_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("once"))
    _, failures = batches(Budget(memory=10**9, token_bytes=1, pair_bytes=0), most=20)
    assert len(emptied) == (failures if has_gpu else 0)


def test_the_budget_is_of_the_device_and_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2").model
    limits = budget(model, logits_too=False)
    assert limits.memory == batching.CPU_BYTES
    wider = small_model("llama").model
    wider.config.hidden_size *= 4
    assert budget(wider, logits_too=False).rows(64) < limits.rows(64)
    assert budget(model, logits_too=True).rows(64) < limits.rows(64)
    model.config._attn_implementation = "eager"
    assert budget(model, logits_too=False).rows(64) < limits.rows(64)

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (600, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    # half of what is free and of what PyTorch holds and does not use
    assert memory_bytes(torch.device("cuda")) == 400


def test_the_bytes_of_a_token_are_counted_by_hand() -> None:
    """In bfloat16, 2 bytes; of 7 tokens in the vocabulary, logits also in float32."""

    def taken(logits_too: bool, **sizes: Any) -> tuple[int, int]:
        config = SimpleNamespace(hidden_size=10, vocab_size=7, **sizes)
        model: Any = SimpleNamespace(
            config=config, dtype=torch.bfloat16, device=torch.device("cpu")
        )
        config.get_text_config = lambda decoder=False: config
        limits = budget(model, logits_too)
        return limits.token_bytes, limits.pair_bytes

    plain = 2 * (8 * 10 + 3 * 40)
    assert taken(False) == (plain, 4)
    assert taken(True) == (plain + 7 * (2 + 4), 4)
    assert taken(False, intermediate_size=39) == (plain, 4)
    assert taken(False, intermediate_size=50) == (2 * (8 * 10 + 3 * 50), 4)
    assert taken(False, num_attention_heads=3, _attn_implementation="sdpa") == (plain, 4)
    assert taken(False, num_attention_heads=3, _attn_implementation="eager") == (plain, 4 + 3 * 6)
    assert taken(False, _attn_implementation="eager") == (plain, 4)
