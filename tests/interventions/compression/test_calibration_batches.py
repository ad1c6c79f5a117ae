"""Which texts calibration runs together, and which experts it names, with stand-ins for models."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from interventions.compression import calibration
from interventions.compression.calibration import calibrated_blocks
from tests.anatomies.texts import sentences
from tests.interventions.merging.branches import small_lm

WIDTH = 8  # of the widest layer


class Words:
    """A tokenizer of words."""

    def __call__(self, texts: list[str], truncation: bool, max_length: int) -> dict[str, Any]:
        words = [text.split() for text in texts]
        return {"input_ids": [row[:max_length] if truncation else row for row in words]}


def batches_of(
    texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    room: int = 100,
    name: str = "0.mlp.up_proj",
    expert: int | None = None,
    is_harmless: bool = True,
) -> list[list[str]]:
    """The batches in a room of so many tokens for a model of one matrix, besides a plain one."""
    matrices = {
        "0.attn.q_proj": SimpleNamespace(weight=torch.empty(2, WIDTH), expert=None),
        name: SimpleNamespace(weight=torch.empty(4, 2), expert=expert),
    }
    monkeypatch.setattr(calibration, "block_linears", lambda model: matrices)
    monkeypatch.setattr(calibration, "context_length", lambda model: 4)
    monkeypatch.setattr(calibration, "pads_harmlessly", lambda lm, rows: is_harmless)
    monkeypatch.setattr(calibration, "_BATCH", room * WIDTH)
    lm: Any = SimpleNamespace(tokenizer=Words(), model=None)
    return list(calibration._batches(lm, texts))


TEXTS = ["e f g", "a", "c d", "b", "h i j", "k l m n o p q"]
ONE_LENGTH = [["a", "b"], ["c d"], ["e f g", "h i j"], ["k l m n o p q"]]


def test_texts_that_fit_are_one_batch_of_the_shortest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last is cut to 4 tokens, so that 6 rows of 4 fit just so."""
    whole = ["a", "b", "c d", "e f g", "h i j", "k l m n o p q"]
    assert batches_of(TEXTS, monkeypatch, room=24) == [whole]
    assert batches_of(TEXTS, monkeypatch, room=23) == [whole[:5], whole[5:]]
    assert batches_of(TEXTS, monkeypatch, room=6) == [whole[:3], whole[3:5], whole[5:]]
    assert batches_of(TEXTS, monkeypatch, room=1) == [[text] for text in whole]


def test_where_padding_would_tell_only_texts_of_one_length_stand_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert batches_of(TEXTS, monkeypatch, is_harmless=False) == ONE_LENGTH
    listed = "0.mlp.experts.3.up_proj"
    assert batches_of(TEXTS, monkeypatch, name=listed) == ONE_LENGTH
    assert len(batches_of(TEXTS, monkeypatch, name=listed, expert=3)) == 1  # fused: tells


def test_experts_with_fewer_tokens_than_enough_are_named_with_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted over all batches, here of one text each; one with just enough is not named."""
    monkeypatch.setattr(calibration, "_BATCH", 1)
    monkeypatch.setattr(calibration, "_SHOWN", 99)
    lm, texts = small_lm("mixtral"), list(sentences(2, seed=3))
    counts: dict[str, int] = {}
    monkeypatch.setattr(calibration, "_FEW_TOKENS", 0)
    for index, (_, observe) in enumerate(calibrated_blocks(lm, texts)):

        def count(name: str, inputs: torch.Tensor, index: int = index) -> None:
            if "expert" in name and "down_proj" in name:
                expert = f"{index}.{name.rpartition('.')[0]}"
                counts[expert] = counts.get(expert, 0) + len(inputs)

        observe(count)
    enough = sorted(counts.values())[len(counts) // 2]
    monkeypatch.setattr(calibration, "_FEW_TOKENS", enough)
    with pytest.warns(UserWarning, match="calibration") as caught:
        for _, observe in calibrated_blocks(lm, texts):
            observe(lambda name, inputs: None)
    few = [f"{expert} ({total})" for expert, total in counts.items() if total < enough]
    assert 0 < len(few) < len(counts)
    assert str(caught[0].message) == (
        f"calibration: {len(few)} experts saw fewer than {enough} tokens: {', '.join(few)}; those"
        " that saw none are compressed by their weights alone"
    )


@pytest.mark.parametrize(("count", "more"), [(8, ""), (9, " and 1 more"), (20, " and 12 more")])
def test_eight_experts_are_named_and_the_rest_is_counted(count: int, more: str) -> None:
    message = calibration._seldom_seen({f"e{n}": n for n in range(count)})
    assert message.startswith(f"calibration: {count} experts saw fewer than 16 tokens: e0 (0), ")
    assert f"e7 (7){more}; those that saw none" in message


def test_a_pass_costs_by_its_hidden_states() -> None:
    assert calibration._tokens_of_pass((torch.empty(2, 3, 4), None, None)) == 24


@pytest.mark.parametrize(("tokens", "weight"), [(0, 1.0), (1, 1.0), (2, 2.0), (7, 7.0)])
def test_inputs_weigh_what_their_tokens_count_and_unseen_ones_as_a_token(
    tokens: int, weight: float
) -> None:
    inputs = calibration.Inputs(torch.eye(2), torch.ones(2), tokens)
    assert inputs.weight == weight
