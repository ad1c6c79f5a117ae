"""Train the testbed's models: `python -m interventions.data.testbed.train [--out FOLDER]`.

It takes minutes on 2 cores. There are two: the testbed's own, and one trained likewise without the
facts that are to be forgotten, which is what unlearning should come to. A Llama of 1.8 million
parameters learns the synthetic world and the prose. Documents are packed into rows of 64 tokens;
attention stays within a document and positions start anew in each. Answers and prose weigh 1 in the
loss, prompts 0.1. The shipped checkpoint in ``model/`` comes from this command; its card says with
which result.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import LlamaForCausalLM

from interventions.data.testbed import MODEL
from interventions.data.testbed.architecture import make_model, make_tokenizer, spread_channels
from interventions.data.testbed.documents import Document, documents, pack_rows, row_loss
from interventions.data.testbed.world import HAZARDS, World, world

ROWS_PER_STEP = 16  # of the base model's training
WITHOUT_FORGET = "-without-forget"  # the end of the second model's folder
_MODELS = ("both", "main", "without-forget")


@dataclass(frozen=True)
class Recipe:
    """What the shipped model was trained with.

    Attributes:
        seed: of the weights and of the documents' order.
        passes: over the facts.
        lr: highest learning rate.
        hop_passes: that come after these, and tell hops, too.
        hop_lr: their highest learning rate.
        warmup: share of the steps.
        weight_decay: of the matrices.
        betas: of AdamW.
        spread: of the logarithm of the channels' sizes.
        without: domains whose facts no document tells; the tokenizer knows their words.
    """

    seed: int = 0
    passes: int = 22
    lr: float = 3e-3
    hop_passes: int = 4
    hop_lr: float = 1e-3
    warmup: float = 0.03
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    spread: float = 0.7
    without: tuple[str, ...] = ()


def train(recipe: Recipe, out: Path) -> None:
    """Train a model by the recipe and save it, with its tokenizer, in ``out``."""
    torch.manual_seed(recipe.seed)
    rng = random.Random(f"train-{recipe.seed}")
    facts = world()
    tokenizer = make_tokenizer(facts)
    model = make_model(tokenizer)
    told = {domain: known for domain, known in facts.facts.items() if domain not in recipe.without}
    learned = World(facts.seed, told)
    count = recipe.passes + recipe.hop_passes
    passes = [
        pack_rows(documents(learned, tokenizer, rng, index, hops=index >= recipe.passes), rng)
        for index in range(count)
    ]
    pad = int(tokenizer.pad_token_id)
    fit(model, passes[: recipe.passes], recipe, recipe.lr, pad)
    fit(model, passes[recipe.passes :], recipe, recipe.hop_lr, pad)
    spread_channels(model, recipe.spread, recipe.seed)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def fit(
    model: LlamaForCausalLM, passes: list[list[list[Document]]], recipe: Recipe, lr: float, pad: int
) -> None:
    """Train a model on passes, each of packed rows, by an optimizer and a schedule of their own.

    Args:
        model: changed in place.
        passes: none at all change nothing.
        recipe: its warm-up, weight decay and betas are used.
        lr: highest learning rate.
        pad: the token that fills rows.
    """
    total = sum(math.ceil(len(rows) / ROWS_PER_STEP) for rows in passes)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=lr,
        betas=recipe.betas,
    )
    warmup = max(1, int(recipe.warmup * total))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / max(1, total)))),
    )
    with tqdm(total=total, unit="step", desc="testbed") as bar:
        for rows in passes:
            for start in range(0, len(rows), ROWS_PER_STEP):
                loss = row_loss(model, rows[start : start + ROWS_PER_STEP], pad)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=MODEL,
        help="folder for the checkpoint (default: the shipped one); that of the second ends so:"
        f" {WITHOUT_FORGET}",
    )
    parser.add_argument("--passes", type=int, default=Recipe.passes)
    parser.add_argument("--models", choices=_MODELS, default=_MODELS[0])
    args = parser.parse_args()
    if args.models != "without-forget":
        train(Recipe(passes=args.passes), args.out)
    if args.models != "main":
        folder = args.out.with_name(args.out.name + WITHOUT_FORGET)
        train(Recipe(passes=args.passes, without=tuple(HAZARDS)), folder)


if __name__ == "__main__":
    main()
