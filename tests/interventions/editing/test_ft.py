"""FT: its loss, step after step, and what it trains."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BatchEncoding

from interventions.base import make
from interventions.composition import apply
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.editing.ft import FT, _rows, _shares, answer_loss, train_on_answers
from interventions.lm import LM
from tests.interventions.comparison import changed_weights, unpadded_loss

KEY = "fedcba9876543210" * 2


def rows_of(lm: LM, data: Data) -> list[tuple[list[int], int]]:
    """Return (ids of prompt and new answer, length of the prompt) of every edit."""
    encode = lm.tokenizer.encode
    return [
        (encode(f"{edit.prompt} {edit.target}"), len(encode(edit.prompt))) for edit in data.edits
    ]


def test_the_edit_loss_counts_answer_tokens_only(lm: LM, small: Data) -> None:
    pairs = [(edit.prompt, f" {edit.target}") for edit in small.edits]
    encoded, labels = lm.encode_pairs(pairs)
    losses, counted = lm.token_losses(encoded, labels)
    expected = unpadded_loss(lm, rows_of(lm, small)).item()
    assert (losses.sum() / counted.sum()).item() == pytest.approx(expected, abs=1e-5)


def test_fts_losses_are_those_of_plain_adam_over_unpadded_edits_step_after_step(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam without weight decay, in float64, on two down-projections, all edits in every step."""
    losses: list[float] = []
    backward = Tensor.backward

    def noted(loss: Tensor, *args: Any, **kwargs: Any) -> None:
        losses.append(loss.item())
        backward(loss, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "backward", noted)
        edited = apply(FT(layers=(1, 3), steps=5, lr=2e-3), lm, small, KEY)
    reference = LM.load(MODEL)
    reference.model.double()
    weights = [reference.model.model.layers[i].mlp.down_proj.weight for i in (1, 3)]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, lr=2e-3, weight_decay=0.0)
    expected: list[float] = []
    for _ in range(5):
        loss = unpadded_loss(reference, rows_of(reference, small))
        expected.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses == pytest.approx(expected, rel=1e-3)
    after = unpadded_loss(edited, rows_of(edited, small)).item()
    assert after == pytest.approx(
        unpadded_loss(reference, rows_of(reference, small)).item(), rel=1e-3
    )
    assert after < losses[-1] < losses[0]


def test_weights_are_frozen_again_after_the_training(lm: LM, small: Data) -> None:
    edited = FT(steps=1).apply(lm, small)
    assert not [p for p in edited.model.parameters() if p.requires_grad]


def test_ft_changes_the_named_down_projections_only(lm: LM, small: Data) -> None:
    assert changed_weights(apply(FT(layers=(1, 4), steps=2), lm, small, KEY)) == {
        f"model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 4)
    }


def test_the_mean_may_be_over_edits(lm: LM, small: Data) -> None:
    """EasyEdit's: the mean over each edit's tokens, then over edits."""
    long_answer = dataclasses.replace(small.edits[0], target="the quiet river and the lamp")
    small = dataclasses.replace(small, edits=(long_answer, *small.edits[1:]))
    rows = rows_of(lm, small)
    assert len({len(ids) - first for ids, first in rows}) > 1  # the two means differ
    encoded, labels = lm.encode_pairs([(e.prompt, f" {e.target}") for e in small.edits])
    losses, counted = lm.token_losses(encoded, labels)
    expected = torch.stack([unpadded_loss(lm, [row]) for row in rows]).mean().item()
    assert answer_loss(losses, counted, "edits").item() == pytest.approx(expected, abs=1e-5)
    assert answer_loss(losses, counted, "tokens").item() != pytest.approx(expected, abs=1e-2)
    by_tokens = apply(FT(steps=2), LM.load(MODEL), small, KEY)
    by_edits = apply(FT(steps=2, average="edits"), LM.load(MODEL), small, KEY)
    assert by_edits.fingerprint() != by_tokens.fingerprint()


def test_the_training_ends_below_a_loss(lm: LM, small: Data, steps: Callable[[], int]) -> None:
    """No step is taken at such a loss, and none after it, as in EasyEdit."""
    untouched = LM.load(MODEL).fingerprint()
    assert (
        apply(FT(steps=5, stop_below=100.0), LM.load(MODEL), small, KEY).fingerprint() == untouched
    )
    assert steps() == 0
    apply(FT(steps=40, lr=1e-2, stop_below=0.5), lm, small, KEY)
    assert 0 < steps() < 40
    encoded, labels = lm.encode_pairs([(e.prompt, f" {e.target}") for e in small.edits])
    with torch.no_grad():
        assert answer_loss(*lm.token_losses(encoded, labels), "tokens").item() < 0.5


@pytest.mark.parametrize(
    ("stop_below", "penalty", "steps_done"),
    [
        (2.5, 1, [1, 2]),
        (3.0, 1, [1, 2]),
        (3.25, 1, []),
        (0.75, -1.5, []),
        (0.0, 1, [1, 2]),
        (0.0, -4, [1, 2]),
    ],
)
def test_the_loss_that_may_end_the_training_has_the_penalty_in_it(
    lm: LM,
    stop_below: float,
    penalty: float,
    steps_done: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Losses of 2 and a penalty: only a loss below the bound ends it, and without one none does."""
    weight = lm.model.model.layers[0].mlp.down_proj.weight
    before = weight.detach().clone()

    def losses_of_two(lm: LM, encoded: BatchEncoding, labels: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full((1, 1), 2.0) + 0 * weight.sum(), torch.ones(1, 1, dtype=torch.bool)

    monkeypatch.setattr("interventions.editing.ft.label_losses", losses_of_two)
    reported: list[int] = []
    train_on_answers(
        lm,
        [("the old", " mill")],
        [weight],
        steps=2,
        lr=0.1,
        stop_below=stop_below,
        penalty=lambda: penalty + weight.sum() - weight.detach().sum(),
        after_step=reported.append,
    )
    assert reported == steps_done
    # of a gradient that stays as it is Adam's steps are as long as its learning rate
    torch.testing.assert_close(weight, before - 0.1 * len(steps_done), atol=1e-5, rtol=0)


def test_the_trunk_is_sought_with_the_first_text_before_any_weight_learns(
    lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept for the passes, which may be in another precision."""
    weight = lm.model.model.layers[0].mlp.down_proj.weight
    searches: list[tuple[list[int], bool]] = []
    monkeypatch.setattr(
        "interventions.editing.ft.trunk_of",
        lambda lm, ids: searches.append((ids, weight.requires_grad)),
    )
    train_on_answers(lm, [("the old", " mill"), ("the", " mill")], [weight], steps=1, lr=0.1)
    assert searches == [(lm.tokenizer.encode("the old mill"), False)]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A function that tells how many steps Adam took so far."""
    count = 0
    step = torch.optim.Adam.step

    def noted(optimizer: torch.optim.Adam, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return step(optimizer, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    return lambda: count


def test_the_paper_profile_is_the_papers() -> None:
    """Section C; mean and end are EasyEdit's, which the paper's code runs."""
    assert make("ft", "paper").params() == {
        "layers": [4, 5, 6, 7, 8],
        "steps": 25,
        "lr": 1e-5,
        "average": "edits",
        "stop_below": 1e-2,
        "master_weights": False,
    }


def test_a_step_over_several_passes_is_that_of_one_pass(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of unlike lengths, by both means: what counts is a token's, or an edit's, share."""
    long_answer = dataclasses.replace(small.edits[0], target="the quiet river and the lamp")
    small = dataclasses.replace(small, edits=(long_answer, *small.edits[1:]))
    for average in ("tokens", "edits"):
        step = FT(layers=(2,), steps=3, average=average)
        whole = apply(step, LM.load(MODEL), small, KEY)
        with monkeypatch.context() as patch:
            patch.setattr("interventions.editing.ft.PASS_TOKENS", 1)
            in_parts = apply(step, LM.load(MODEL), small, KEY)
        weight = lm.model.model.layers[2].mlp.down_proj.weight
        change = whole.model.model.layers[2].mlp.down_proj.weight - weight
        change_in_parts = in_parts.model.model.layers[2].mlp.down_proj.weight - weight
        assert (change - change_in_parts).norm() < 1e-3 * change.norm()


def test_rows_of_a_pass_have_no_columns_that_are_padding_in_all_of_them() -> None:
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    ids = torch.arange(15).view(3, 5)
    encoded = BatchEncoding({"input_ids": ids, "attention_mask": mask})
    part, labels = _rows(encoded, -ids, slice(0, 2))
    assert part["input_ids"].tolist() == [[0, 1, 2], [5, 6, 7]]
    assert part["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert labels.tolist() == [[0, -1, -2], [-5, -6, -7]]
    whole, labels = _rows(encoded, -ids, slice(2, 3))
    assert whole["input_ids"].shape == labels.shape == (1, 5)


def test_a_part_counts_by_its_tokens_or_by_its_edits() -> None:
    """The first token of a text is predicted by none."""
    labels = torch.tensor([[7, -100, 7, 7], [-100, -100, -100, 7], [-100, 7, -100, -100]])
    parts = [slice(0, 1), slice(1, 3)]
    assert _shares(labels, parts, "tokens") == [0.5, 0.5]
    assert _shares(labels, parts, "edits") == [1 / 3, 2 / 3]
