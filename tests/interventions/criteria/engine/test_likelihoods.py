"""Log-likelihoods in chunks, against a softmax of whole logits in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from interventions.criteria.engine import likelihoods
from interventions.criteria.engine.likelihoods import TokenRow, log_likelihoods
from interventions.lm import LM
from interventions.text_model import length_borders
from tests.anatomies.texts import sentences
from tests.anatomies.tokenizers import VOCABULARY
from tests.interventions.criteria.engine.stock import small_model


def rows_of_texts(lm: LM) -> list[TokenRow]:
    """Rows that ask for every token of a text, and for another one at its end."""
    rows = []
    for text in sentences(6, seed=8, most=3):
        ids = lm.tokenizer(text)["input_ids"]
        queries = [(place - 1, ids[place]) for place in range(1, len(ids))]
        rows.append(TokenRow(ids[:-1], [*queries, (len(ids) - 2, 7)]))
    return rows


def expected(lm: LM, row: TokenRow) -> torch.Tensor:
    with torch.no_grad():
        logits = lm.model(torch.tensor([row.ids]), use_cache=False).logits[0].double()
    logs = logits.log_softmax(-1)
    return torch.stack([logs[position, token] for position, token in row.queries])


@pytest.mark.parametrize("name", ["qwen2", "granite", "gemma2-capped", "opt-350m", "gpt-oss"])
@pytest.mark.parametrize("chunk", [1, 7, 10**4])
def test_chunks_of_any_size_give_the_softmax_of_whole_logits(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = small_model(name)
    monkeypatch.setattr(likelihoods, "_CHUNK_BYTES", 4 * VOCABULARY * chunk)
    rows = rows_of_texts(lm)
    for row, scores in zip(rows, log_likelihoods(lm, rows, "test"), strict=True):
        torch.testing.assert_close(scores.log_likelihoods, expected(lm, row), rtol=1e-5, atol=2e-5)


def test_large_logits_do_not_overflow_and_sure_tokens_keep_their_digits() -> None:
    lm = small_model("qwen2")
    lm.model.lm_head.weight.mul_(100)
    (row, *_) = rows_of_texts(lm)
    (scores,) = log_likelihoods(lm, [row], "test")
    logs = expected(lm, row)
    assert logs.min() < -100 and scores.log_likelihoods.isfinite().all()
    torch.testing.assert_close(scores.log_likelihoods, logs, rtol=1e-5, atol=1e-3)
    # what the softmax of one certain token leaves over
    certain = torch.tensor([[80.0, 68.0, 0.0]])
    first = torch.tensor([0])
    (value,) = likelihoods._log_softmax_at(certain, first, first).tolist()
    assert value == pytest.approx(-math.log1p(math.exp(-12)), 2e-2)


class _LargestLogits(TorchDispatchMode):
    """Notes of every float tensor over the vocabulary how many rows it has."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[torch.dtype, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, tuple | list) else (output,):
            is_logits = isinstance(tensor, torch.Tensor) and tensor.shape[-1:] == (VOCABULARY,)
            if is_logits and tensor.is_floating_point():
                rows = tensor.numel() // VOCABULARY
                self.rows[tensor.dtype] = max(rows, self.rows.get(tensor.dtype, 0))
        return output


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_more_logits_are_in_memory_than_a_chunk(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = small_model("qwen2")
    lm.model.to(dtype)
    monkeypatch.setattr(likelihoods, "_CHUNK_BYTES", 4 * VOCABULARY * 5)
    rows = rows_of_texts(lm)
    log_likelihoods(lm, rows, "test")  # the trials of a new model
    with _LargestLogits() as noted:
        log_likelihoods(lm, rows, "test")
    assert sum(len(row.ids) for row in rows) > 50
    assert noted.rows == {dtype: 5, torch.float32: 5}


def test_of_half_precision_the_softmax_is_in_float32() -> None:
    lm = small_model("qwen2")
    lm.model.to(torch.bfloat16)
    (row, *_) = rows_of_texts(lm)
    log_likelihoods(lm, [row], "test")
    logits: list[torch.Tensor] = []
    handle = lm.model.register_forward_hook(
        lambda module, args, output: logits.append(output.logits.flatten(0, 1))
    )
    (scores,) = log_likelihoods(lm, [row], "test")
    handle.remove()
    assert logits[-1].dtype == torch.bfloat16
    logs = logits[-1].double().log_softmax(-1)
    exact = torch.stack([logs[position, token] for position, token in row.queries])
    torch.testing.assert_close(scores.log_likelihoods, exact, rtol=1e-6, atol=1e-5)


def test_nothing_is_asked_of_no_rows() -> None:
    assert log_likelihoods(small_model("qwen2"), [], "test") == []


def test_a_model_that_changes_with_the_length_has_a_border_and_others_have_none() -> None:
    assert length_borders(small_model("phi3-long").model) == (16,)
    assert length_borders(small_model("llama").model) == ()
