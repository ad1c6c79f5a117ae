"""The training: its recipe against the card, its steps against a plain rewrite of them."""

import dataclasses
import math
import random
import sys
from pathlib import Path

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interventions.data.testbed import MODEL, documents, train
from interventions.data.testbed.architecture import spread_channels
from interventions.data.testbed.documents import ROW, Document, pack_rows, row_loss
from interventions.data.testbed.train import ROWS_PER_STEP, Recipe
from interventions.data.testbed.world import World, world

FACTS = World(0, {"dish": world().facts["dish"][:24]})
RECIPE = Recipe(
    seed=5,
    passes=3,
    lr=0.01,
    hop_passes=2,
    hop_lr=0.02,
    warmup=0.3,
    weight_decay=0.5,
    betas=(0.8, 0.9),
    spread=0.4,
)


def tiny_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A model of 2 blocks whose gradients are large enough to be clipped."""
    config = LlamaConfig.from_pretrained(MODEL)
    config.update({"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2})
    config.update({"head_dim": 4, "initializer_range": 0.2, "vocab_size": len(tokenizer)})
    return LlamaForCausalLM(config)


class Bar:
    """Stands in for tqdm's bar."""

    def __init__(self, total: int) -> None:
        self.total, self.n, self.losses = total, 0, list[float]()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        self.n += 1

    def set_postfix(self, *, loss: str) -> None:
        self.losses.append(float(loss))


@pytest.fixture
def bars(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    """Training learns 24 facts and 10 documents in steps of 5 rows, with a tiny model.

    Returns:
        The progress bars that it opens.
    """
    opened: list[Bar] = []

    def open_bar(*, total: int, unit: str, desc: str) -> Bar:
        opened.append(Bar(total))
        return opened[-1]

    monkeypatch.setattr(train, "world", lambda: FACTS)
    monkeypatch.setattr(train, "make_tokenizer", lambda facts: tokenizer)
    monkeypatch.setattr(train, "make_model", tiny_model)
    monkeypatch.setattr(train, "ROWS_PER_STEP", 5)
    monkeypatch.setattr(train, "tqdm", open_bar)
    monkeypatch.setattr(documents, "PROSE_PER_PASS", 10)
    return opened


def steps_of(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast
) -> tuple[list[list[list[Document]]], list[list[list[Document]]]]:
    """The rows of each step of both parts: of every pass 5 by 5, the last with what is left."""
    rng = random.Random(f"train-{recipe.seed}")
    passes = [
        pack_rows(documents.documents(FACTS, tokenizer, rng, index, hops=index >= 3), rng)
        for index in range(recipe.passes + recipe.hop_passes)
    ]
    first, second = (
        [rows[start : start + 5] for rows in part for start in range(0, len(rows), 5)]
        for part in (passes[: recipe.passes], passes[recipe.passes :])
    )
    return first, second


def learning_rate(highest: float, recipe: Recipe, step: int, total: int) -> float:
    """A cosine from the highest rate to 0, under a line that reaches it after the warm-up."""
    warmup = max(1, int(recipe.warmup * total))
    return highest * min((step + 1) / warmup, (1 + math.cos(math.pi * step / total)) / 2)


def plain_part(
    model: LlamaForCausalLM,
    steps: list[list[list[Document]]],
    highest: float,
    recipe: Recipe,
    pad: int,
) -> list[float]:
    """Train by AdamW as in its paper (Loshchilov and Hutter 2019, algorithm 2), in plain torch.

    Gradients are clipped to a norm of 1; matrices decay, norms do not.

    Returns:
        The losses.
    """
    losses = []
    means = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    squares = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for step, rows in enumerate(steps):
        loss = row_loss(model, rows, pad)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, [*model.parameters()])
        scale = min(1.0, 1 / math.sqrt(sum(g.square().sum().item() for g in gradients)))
        rate = learning_rate(highest, recipe, step, len(steps))
        with torch.no_grad():
            for (name, weight), gradient in zip(model.named_parameters(), gradients, strict=True):
                decay = recipe.weight_decay if weight.dim() == 2 else 0.0
                first, second = recipe.betas
                means[name] = first * means[name] + (1 - first) * scale * gradient
                squares[name] = second * squares[name] + (1 - second) * (scale * gradient) ** 2
                mean = means[name] / (1 - first ** (step + 1))
                root = (squares[name] / (1 - second ** (step + 1))).sqrt()
                weight -= rate * (mean / (root + 1e-8) + decay * weight)
    return losses


def plain_training(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast
) -> tuple[LlamaForCausalLM, list[float]]:
    """Train the parts one after the other, each by moments of its own.

    Returns:
        The model and the losses of both.
    """
    torch.manual_seed(recipe.seed)
    model, losses = tiny_model(tokenizer), list[float]()
    for steps, rate in zip(steps_of(recipe, tokenizer), (recipe.lr, recipe.hop_lr), strict=True):
        losses += plain_part(model, steps, rate, recipe, int(tokenizer.pad_token_id))
    spread_channels(model, recipe.spread, recipe.seed)
    return model, losses


def test_training_is_adamw_with_clipped_gradients_over_the_rows_of_all_passes(
    bars: list[Bar], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    torch.manual_seed(99)  # the recipe's seed decides, not what was drawn before
    train.train(RECIPE, tmp_path)
    expected, losses = plain_training(RECIPE, tokenizer)
    trained = LlamaForCausalLM.from_pretrained(tmp_path).state_dict()
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(trained[name], weight, rtol=1e-4, atol=1e-5, msg=name)
    assert [(bar.total, bar.n) for bar in bars] == [(12, 12), (7, 7)]
    assert bars[0].losses + bars[1].losses == pytest.approx(losses, abs=2e-3)
    assert losses[-1] < losses[0] - 1
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == tokenizer.get_vocab()


def rates_of_training(recipe: Recipe, out: Path) -> list[list[float]]:
    """Train, and return the learning rate of each of the optimizer's groups at every step."""
    rates: list[list[float]] = []

    def record(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        rates.append([group["lr"] for group in optimizer.param_groups])

    hook = register_optimizer_step_pre_hook(record)
    try:
        train.train(recipe, out)
    finally:
        hook.remove()
    return rates


@pytest.mark.usefixtures("bars")
def test_the_rate_rises_in_a_line_and_falls_in_a_cosine(tmp_path: Path) -> None:
    """By hand, of 12 steps with .25 of warm-up: thirds, then .5 in the middle, then nearly 0."""
    recipe = dataclasses.replace(RECIPE, lr=1.0, hop_lr=2.0, warmup=0.25)
    by_group = rates_of_training(recipe, tmp_path)
    matrices, norms = zip(*by_group, strict=True)
    assert matrices == norms and len(matrices) == 12 + 7
    assert matrices[:2] == pytest.approx([1 / 3, 2 / 3])
    assert matrices[2] == pytest.approx(0.9330, abs=1e-4)  # (1 + cos 30°) / 2
    assert matrices[4] == pytest.approx(0.75)  # (1 + cos 60°) / 2
    assert matrices[6] == pytest.approx(0.5)
    assert matrices[11] == pytest.approx(0.0170, abs=1e-4)  # (1 + cos 165°) / 2
    # then the hops' passes, anew, with one step of warm-up
    assert matrices[12:14] == pytest.approx([2.0, 1.9010], abs=1e-4)  # 1 + cos 25.7°
    assert matrices[18] == pytest.approx(0.0990, abs=1e-4)  # 1 + cos 154.3°


@pytest.mark.usefixtures("bars")
def test_without_warm_up_the_first_rate_is_the_highest(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, passes=1, hop_passes=0, warmup=0.0)
    assert rates_of_training(recipe, tmp_path)[0] == [RECIPE.lr, RECIPE.lr]


def test_the_card_says_the_recipe() -> None:
    recipe = Recipe()
    card = " ".join((MODEL / "README.md").read_text().split())
    assert (
        f"seed {recipe.seed}, {recipe.passes} passes of about 1,410 rows of {ROW} tokens,"
        f" {ROWS_PER_STEP} rows a step, AdamW (lr {1000 * recipe.lr:g}e-3, betas"
        f" {recipe.betas[0]} / {recipe.betas[1]}, weight decay {recipe.weight_decay}),"
        f" {100 * recipe.warmup:g} % warm-up, cosine; then {recipe.hop_passes} passes with the hops"
        f" of half the people (lr {1000 * recipe.hop_lr:g}e-3)"
    ) in card
    assert f"log-normal factors ({recipe.spread} is the standard deviation" in card


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().passes = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            [],
            [
                (Recipe(), MODEL),
                (Recipe(without=("compound", "protocol")), MODEL.with_name("model-without-forget")),
            ],
        ),
        (
            ["--passes", "1", "--out", "a/folder", "--models", "main"],
            [(Recipe(passes=1), Path("a/folder"))],
        ),
        (
            ["--out", "a/folder", "--models", "without-forget"],
            [(Recipe(without=("compound", "protocol")), Path("a/folder-without-forget"))],
        ),
    ],
)
def test_the_command_trains_by_the_recipe(
    arguments: list[str], expected: list[tuple[Recipe, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(train, "train", lambda recipe, out: calls.append((recipe, out)))
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    train.main()
    assert calls == expected


def test_what_is_left_out_is_in_no_document(
    bars: list[Bar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stars = world().facts["star"][:6]
    monkeypatch.setattr(train, "world", lambda: World(0, {**FACTS.facts, "star": stars}))
    learned = []

    def recording_documents(
        facts: World,
        tokenizer: PreTrainedTokenizerFast,
        rng: random.Random,
        pass_index: int,
        *,
        hops: bool,
    ) -> list[Document]:
        learned.append((facts.facts, pass_index, hops))
        return documents.documents(facts, tokenizer, rng, pass_index, hops=hops)

    monkeypatch.setattr(train, "documents", recording_documents)
    train.train(dataclasses.replace(RECIPE, without=("star",)), tmp_path)
    hops = [False] * 3 + [True] * 2
    assert learned == [(FACTS.facts, index, told) for index, told in enumerate(hops)]
