"""Trains the testbed's model: `python -m interventions.data.testbed.train [--out FOLDER]` (minutes on 2 cores).

A Llama of 1.2 million parameters learns the synthetic world and the prose. Documents are packed into rows of 64
tokens; attention stays within a document and positions start anew in each. Answers and prose weigh 1 in the loss,
prompts 0.1. The shipped checkpoint in ``model/`` comes from this command; its card says with which result.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interventions.data.testbed.prose import prose
from interventions.data.testbed.world import Fact, World, world

ROW = 64  # tokens
ROWS_PER_STEP = 16
PROSE_PER_PASS = 600  # documents
PROMPT_WEIGHT = 0.1
MODEL = Path(__file__).with_name("model")


@dataclass(frozen=True)
class Recipe:
    """What the shipped model was trained with."""

    seed: int = 0
    passes: int = 22
    lr: float = 3e-3
    warmup: float = 0.03  # share of the steps
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    spread: float = 0.7  # of the logarithm of the channels' sizes


@dataclass(frozen=True)
class Document:
    """Token ids and the loss weight of each."""

    ids: list[int]
    weights: list[float]


def train(recipe: Recipe, out: Path) -> None:
    """Train a model by the recipe and save it, with its tokenizer, in ``out``."""
    torch.manual_seed(recipe.seed)
    rng = random.Random(f"train-{recipe.seed}")
    facts = world()
    tokenizer = make_tokenizer(facts)
    model = make_model(tokenizer)
    passes = [pack(documents(facts, tokenizer, rng), rng) for _ in range(recipe.passes)]
    total = sum(math.ceil(len(rows) / ROWS_PER_STEP) for rows in passes)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=recipe.lr,
        betas=recipe.betas,
    )
    warmup = max(1, int(recipe.warmup * total))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / total))),
    )
    with tqdm(total=total, unit="step", desc="testbed") as bar:
        for rows in passes:
            for start in range(0, len(rows), ROWS_PER_STEP):
                loss = row_loss(
                    model, rows[start : start + ROWS_PER_STEP], int(tokenizer.pad_token_id)
                )
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}")
    spread_channels(model, recipe.spread, recipe.seed)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


@torch.no_grad()
def spread_channels(model: LlamaForCausalLM, spread: float, seed: int) -> None:
    """Give some channels far larger activations than others, as large language models have; the function stays.

    The inputs of every linear layer in the blocks are multiplied by log-normal factors (``spread`` is the standard
    deviation of their logarithm), in the norm or the linear layer before it, and its weights divided by them. A model
    as small as this one trains to even channels, on which pruning by magnitude and rounding to nearest do as well as
    anything. Source of the phenomenon: Dettmers et al. 2022, "LLM.int8()", section 4.
    """
    generator = torch.Generator().manual_seed(seed)

    def factors(size: int) -> torch.Tensor:
        drawn = torch.exp(spread * torch.randn(size, generator=generator))
        return drawn / drawn.square().mean().sqrt()

    for block in model.model.layers:
        attention, mlp = block.self_attn, block.mlp
        for norm, readers in (
            (block.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
            (block.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)),
        ):
            factor = factors(norm.weight.shape[0])
            norm.weight.mul_(factor)
            for reader in readers:
                reader.weight.div_(factor)
        factor = factors(mlp.up_proj.out_features)
        mlp.up_proj.weight.mul_(factor[:, None])
        mlp.down_proj.weight.div_(factor)
        heads = model.config.num_key_value_heads  # each read by several heads, in turn
        factor = factors(attention.v_proj.out_features)
        attention.v_proj.weight.mul_(factor[:, None])
        read = factor.view(heads, 1, -1).expand(-1, model.config.num_attention_heads // heads, -1)
        attention.o_proj.weight.div_(read.flatten())


def make_tokenizer(facts: World) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with 2,560 entries, which puts <s> in front as Llama's does."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2560,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [
        prompt + answer for fact in facts.all_facts() for prompt, answer in trained_pairs(fact)
    ]
    bpe.train_from_iterator([*texts, *prose("train")], trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bpe.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=256,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A 6-layer Llama whose residual projections start smaller with depth, which helped."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).float()
    with torch.no_grad():
        for layer in model.model.layers:
            for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
                linear.weight /= math.sqrt(2 * config.num_hidden_layers)
    return model


def trained_pairs(fact: Fact) -> list[tuple[str, str]]:
    """(prompt, answer) of every phrasing that training may show; the answer starts with its space."""
    statements, questions = fact.prompts(trained=True)
    return [(s, f" {fact.object}.") for s in statements] + [
        (q, f" {fact.object}") for q in questions
    ]


def documents(
    facts: World, tokenizer: PreTrainedTokenizerFast, rng: random.Random
) -> list[Document]:
    """One pass: of every fact one trained statement and one trained question; and some prose."""
    made = []
    for fact in facts.all_facts():
        pairs = trained_pairs(fact)
        half = len(pairs) // 2
        for prompt, answer in (rng.choice(pairs[:half]), rng.choice(pairs[half:])):
            before = tokenizer.encode(prompt)
            after = [
                *tokenizer.encode(answer, add_special_tokens=False),
                int(tokenizer.eos_token_id),
            ]
            made.append(
                Document(before + after, [PROMPT_WEIGHT] * len(before) + [1.0] * len(after))
            )
    for text in rng.sample(prose("train"), PROSE_PER_PASS):
        ids = [*tokenizer.encode(text), int(tokenizer.eos_token_id)][:ROW]
        made.append(Document(ids, [1.0] * len(ids)))
    rng.shuffle(made)
    return made


def pack(docs: list[Document], rng: random.Random) -> list[list[Document]]:
    """Rows of documents that together have at most ROW tokens: first fit, longest first."""
    rows: list[list[Document]] = []
    by_room: dict[int, list[list[Document]]] = {}
    for doc in sorted(docs, key=lambda d: -len(d.ids)):
        room = next((r for r in range(len(doc.ids), ROW + 1) if by_room.get(r)), None)
        row = by_room[room].pop() if room is not None else []
        if room is None:
            rows.append(row)
        row.append(doc)
        by_room.setdefault((room or ROW) - len(doc.ids), []).append(row)
    rng.shuffle(rows)
    return rows


def row_loss(model: LlamaForCausalLM, rows: list[list[Document]], pad: int) -> torch.Tensor:
    """Weighted mean cross-entropy of packed rows; each document sees itself only."""
    ids = torch.full((len(rows), ROW), pad)
    weights = torch.zeros(len(rows), ROW)
    owner = torch.full((len(rows), ROW), -1)
    positions = torch.zeros(len(rows), ROW, dtype=torch.long)
    for r, row in enumerate(rows):
        at = 0
        for d, doc in enumerate(row):
            end = at + len(doc.ids)
            ids[r, at:end] = torch.tensor(doc.ids)
            weights[r, at + 1 : end] = torch.tensor(doc.weights[1:])  # <s> is not predicted
            owner[r, at:end] = d
            positions[r, at:end] = torch.arange(len(doc.ids))
            at = end
    same = owner[:, :, None] == owner[:, None, :]  # (rows, ROW, ROW)
    mask = (same & torch.ones(ROW, ROW, dtype=torch.bool).tril())[:, None]
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
    ).logits
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    target_weights = weights[:, 1:].flatten()
    return (losses * target_weights).sum() / target_weights.sum()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=MODEL,
        help="folder for the checkpoint (default: the shipped one)",
    )
    parser.add_argument("--passes", type=int, default=Recipe.passes)
    args = parser.parse_args()
    train(Recipe(passes=args.passes), args.out)


if __name__ == "__main__":
    main()
