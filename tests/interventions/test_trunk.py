"""A model in two parts gives what it gives in one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interventions import trunk
from interventions.lm import LM
from interventions.padding import plain_logits
from interventions.trunk import trunk_of, trunk_pass
from tests.anatomies.texts import sentences
from tests.anatomies.zoo import ANATOMIES
from tests.interventions.criteria.engine.stock import SCALED, small_model
from tests.interventions.families import family

TEXT = sentences(1, seed=4, most=2)[0]
QUICK = ("gemma3", "cohere2-scaled", "opt-350m", "gpt-oss")


def assert_in_parts(lm: LM) -> None:
    ids = lm.tokenizer(TEXT)["input_ids"]
    part = trunk_of(lm, ids)
    assert part is not None and part is not lm.model
    encoded = lm.encode([TEXT, TEXT])
    rows, positions = torch.tensor([1, 0, 1]), torch.tensor([len(ids) - 1, 2, 0])
    with torch.inference_mode():
        logits = trunk_pass(lm.model, part, encoded).logits(rows, positions)
        expected = plain_logits(lm, ids)[positions]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", QUICK)
def test_logits_at_some_positions_are_those_of_a_whole_pass(name: str) -> None:
    assert_in_parts(small_model(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*ANATOMIES, *SCALED} - {*QUICK}))
def test_logits_of_every_family_are_those_of_a_whole_pass(name: str) -> None:
    assert_in_parts(small_model(name))


@pytest.mark.parametrize("name", ["gpt", "reformer", "roberta", "roformer"])
def test_logits_of_rarer_families_are_those_of_a_whole_pass(name: str) -> None:
    assert_in_parts(family(name))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_of_half_precision_has_a_trunk(dtype: torch.dtype) -> None:
    lm = small_model("gemma2-capped")
    lm.model.to(dtype)
    assert trunk_of(lm, lm.tokenizer(TEXT)["input_ids"]) is lm.model.model


def test_a_model_is_tried_once_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = small_model("qwen2")
    ids = lm.tokenizer(TEXT)["input_ids"]
    before = lm.fingerprint()
    part = trunk_of(lm, ids)
    assert lm.fingerprint() == before and "forward" not in vars(lm.model.model)
    monkeypatch.setattr(trunk, "_splits", None)
    assert trunk_of(lm, ids[:3]) is part


def test_a_head_that_reads_several_positions_is_seen() -> None:
    """A model whose logits depend on their neighbours has no trunk in this sense."""
    lm = small_model("qwen2")

    def blur(module: Any, args: Any, output: Any) -> None:
        output.logits = output.logits + output.logits.roll(1, 1)

    lm.model.register_forward_hook(blur)
    assert trunk_of(lm, lm.tokenizer(TEXT)["input_ids"]) is None


def test_a_model_that_knows_no_decoder_is_read_in_whole_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its base model is itself, as in code of somebody else's."""
    lm = small_model("qwen2")

    def unknown() -> Any:
        raise AttributeError("no decoder")

    monkeypatch.setattr(lm.model, "base_model_prefix", "")
    monkeypatch.setattr(lm.model, "get_decoder", unknown)
    assert lm.model.base_model is lm.model
    assert trunk_of(lm, lm.tokenizer(TEXT)["input_ids"]) is None


def test_without_memory_for_the_trial_nothing_is_concluded() -> None:
    lm = small_model("qwen2")

    def full(module: Any, args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = lm.model.register_forward_pre_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        trunk_of(lm, lm.tokenizer(TEXT)["input_ids"])
    handle.remove()
    assert trunk_of(lm, lm.tokenizer(TEXT)["input_ids"]) is lm.model.model


class Scaling(nn.Module):
    """A trunk that gives states and, behind them, what its model scales them by."""

    def forward(self, ids: Tensor) -> tuple[Tensor, float, str]:
        return ids[..., None] * torch.tensor([1.0, 10.0]), 2.0, "rest"


class Scaled(nn.Module):
    """A model that needs all of its trunk's output, and token ids of two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Scaling()

    def forward(self, input_ids: Tensor, use_cache: bool) -> SimpleNamespace:
        assert input_ids.dim() == 2 and not use_cache
        states, scale, _ = self.trunk(input_ids)
        return SimpleNamespace(logits=scale * states)


def test_a_head_gets_the_rest_of_its_trunks_output_too() -> None:
    model: Any = Scaled()
    passed = trunk_pass(model, model.trunk, {"input_ids": torch.tensor([[1, 2, 3], [4, 5, 6]])})
    logits = passed.logits(torch.tensor([1, 0]), torch.tensor([2, 0]))
    assert logits.tolist() == [[12, 120], [2, 20]]


def test_every_second_position_is_tried_from_the_last_one_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A head that reads its neighbour gives something else there."""
    tried: list[tuple[list[int], list[int]]] = []

    def logits(rows: Tensor, positions: Tensor) -> Tensor:
        tried.append((rows.tolist(), positions.tolist()))
        return torch.eye(5)[positions]

    passed = SimpleNamespace(logits=logits)
    monkeypatch.setattr(trunk, "trunk_pass", lambda model, part, encoded: passed)
    monkeypatch.setattr(trunk, "plain_logits", lambda lm, ids: torch.eye(5)[: len(ids)])
    lm: Any = SimpleNamespace(model=None, device=torch.device("cpu"))
    assert trunk._is_alike(lm, nn.Identity(), [7, 8, 9, 7, 8], 0)
    assert trunk._is_alike(lm, nn.Identity(), [7, 8, 9, 7], 0)
    assert tried == [([0, 0, 0], [4, 2, 0]), ([0, 0], [3, 1])]
