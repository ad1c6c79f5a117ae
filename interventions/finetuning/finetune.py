"""Fine-tuning on texts: a benign task, texts of one's own, or part of what was unlearned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, Literal

import torch
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from interventions.anatomy import blocks, check_anatomy, check_layers
from interventions.base import Intervention
from interventions.callbacks import report
from interventions.data.base import Data
from interventions.editing.lora import MOST_RANK, LoRA
from interventions.errors import InvalidInput, shown
from interventions.hyperparameters import (
    MOST_BATCH,
    MOST_STEPS,
    MOST_TEXTS,
    MOST_TOKENS,
    hyperparameter,
)
from interventions.lm import LM
from interventions.loops import iterations
from interventions.lora_targets import find_targets
from interventions.low_rank import adapt, merged, trainable
from interventions.master_weights import master_weights
from interventions.search_space import Trial, TuningContext
from interventions.training import add_gradients, block_weights, characters

_SAMPLES = 200  # texts that it trains on by default
_CONTENT = "_first_content"  # kept beside the fields, so that a change of the file is noticed


@dataclass(frozen=True)
class Finetune(Intervention, category="training"):
    """Train on texts as in pre-training: what it brings back, and what it erases.

        minimize over the weights:  mean over tokens of -log p(token | tokens before)

    by AdamW without weight decay, ``steps`` batches of ``batch`` texts in order, round and round.
    All weights of the blocks in ``layers`` learn, or of all blocks, but no router, embedding,
    final norm or head; with ``rank`` it is low-rank adapters on their MLPs instead,
    which are merged. Padding never counts.

    The texts are ``samples`` of those to retain (benign), or to forget (relearning: ``skip`` leaves
    the first out, so that others judge what came back), or of a ``file``: text, JSON, JSONL, CSV or
    parquet with a column "text". Checkpoints go by the file's texts, not by its name.

    Source: Lynch et al. 2024, "Eight Methods to Evaluate Robust Unlearning in LLMs", and Deeb and
    Roger 2024, "Do Unlearning Methods Remove Information from Language Model Weights?" (relearning
    from part of the facts); Hu et al. 2024, "Jogging the Memory of Unlearned LLMs Through Targeted
    Relearning Attacks" (from benign texts). Full scale: 2e-5, a usual rate of full fine-tuning.

    Example:
        >>> str(Finetune(part="forget", steps=10))
        "finetune(part='forget', steps=10)"
    """

    part: Literal["retain", "forget"] = hyperparameter("retain", "the data whose texts are learned")
    file: str = hyperparameter("", "texts of your own instead; empty: those of part")
    content: str = hyperparameter(
        "", "hash of the file's texts, which it must have; empty: whatever it has"
    )
    samples: int = hyperparameter(_SAMPLES, "texts that are learned", low=1, high=MOST_TEXTS)
    skip: int = hyperparameter(
        0, "texts that are left out at the beginning", low=0, high=MOST_TEXTS
    )
    steps: int = hyperparameter(40, "gradient steps", paper=100, low=1, high=MOST_STEPS)
    lr: float = hyperparameter(1e-3, "learning rate of AdamW", paper=2e-5, above=0, high=1e3)
    batch: int = hyperparameter(8, "texts per step", low=1, high=MOST_BATCH)
    max_tokens: int = hyperparameter(
        64, "tokens of a text that are used", paper=1024, low=2, high=MOST_TOKENS
    )
    layers: tuple[int, ...] | None = hyperparameter(None, "blocks that are trained; None: all")
    rank: int = hyperparameter(0, "rank of adapters; 0: the weights learn", low=0, high=MOST_RANK)
    alpha: float = hyperparameter(32.0, "scale of the adapters: alpha / rank", above=0, high=1e6)
    master_weights: bool = hyperparameter(True, "train float32 copies of weights of less precision")
    title = "Fine-tuning"
    reports = True

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        super().__post_init__()
        if self.content and not self.file:
            raise InvalidInput("finetune.content is a hash of finetune.file's texts: name the file")
        object.__setattr__(self, "reads", frozenset() if self.file else frozenset({self.part}))

    def params(self) -> dict[str, Any]:
        """Return every hyperparameter, with the hash of the file's texts as they are."""
        return {**super().params(), "content": self.first_content}

    def identity(self) -> dict[str, Any]:
        """Return what decides on the weights: of a file its texts, wherever it lies."""
        identity = {**super().identity(), "content": self.first_content}
        return identity | {"file": bool(self.file)}

    @property
    def first_content(self) -> str:
        """The hash of the file's texts when it was first asked for; "" without one."""
        if _CONTENT not in vars(self):
            try:
                vars(self)[_CONTENT] = self.content or (_hash(self._file_texts()))
            except InvalidInput:  # which ``check`` says
                return ""
        return str(vars(self)[_CONTENT])

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks a layer, or adapters or the file do not fit."""
        check_anatomy(model)
        check_layers(model, self.layers or (), "finetune.layers")
        if self.rank:
            most = find_targets(model, self._lora().targets).greatest_rank
            if self.rank > most:
                raise InvalidInput(
                    f"finetune.rank must be at most {most}, the smaller side of the adapted"
                    f" layers, but got {self.rank}"
                )
        if self.file:
            self._chosen(self._file_texts())

    def check_texts(self, data: Data) -> None:
        """Raise InvalidInput if there are not as many texts as are asked for.

        The default takes what there is.
        """
        if not self.file:
            self._chosen(getattr(data, self.part))

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how fast and how long to train."""
        return {
            "lr": tuning_context.around(trial, cls, "lr", 30, 10),
            "steps": tuning_context.around(trial, cls, "steps", 8, 4),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Train in place; adapters are merged."""
        texts = self._chosen(self._file_texts() or getattr(data, self.part))
        round_and_round = cycle(texts)
        steps = [list(islice(round_and_round, self.batch)) for _ in range(self.steps)]
        progress = tqdm(steps, desc=self.name, unit="step", delay=5)
        adapted = adapt(lm.model, self._lora().config(lm.model)) if self.rank else None
        weights = self._weights(lm) if adapted is None else trainable(adapted)
        with master_weights(weights, copies=self.master_weights) as masters:
            optimizer = torch.optim.AdamW(
                masters.tensors, lr=self.lr, weight_decay=0.0, foreach=False
            )
            for steps_done, batch in enumerate(iterations(progress, characters), start=1):
                optimizer.zero_grad()
                add_gradients(lm, batch, self.max_tokens, 1.0)
                optimizer.step()
                masters.round()
                report(self, steps_done, lm)
        return lm if adapted is None else replace(lm, model=merged(adapted))

    def _weights(self, lm: LM) -> list[nn.Parameter]:
        decoder_blocks = blocks(lm.model)
        layers = self.layers or range(len(decoder_blocks))
        weights = [weight for layer in layers for weight in block_weights(decoder_blocks[layer])]
        # a parameter that blocks share is stepped once
        return list({id(weight): weight for weight in weights}.values())

    def _lora(self) -> LoRA:
        return LoRA(rank=self.rank, alpha=self.alpha)

    def _file_texts(self) -> Sequence[str]:
        # imported here: own data know of interventions, by their defaults
        from interventions.data.own.reading import own_data

        if not self.file:
            return ()
        texts = own_data(retain=self.file).batch().retain
        expected = vars(self).get(_CONTENT, self.content)
        if expected and _hash(texts) != expected:
            raise InvalidInput(
                f"the texts of {shown(self.file, 100)} have the content {_hash(texts)}, not"
                f" {shown(expected, 40)}: they were changed, or are another file's"
            )
        return texts

    def _chosen(self, texts: Sequence[str]) -> Sequence[str]:
        """Return the texts that are learned.

        Raises:
            InvalidInput: there are fewer, and more than the default's are asked for.
        """
        chosen = texts[self.skip : self.skip + self.samples]
        wanted = 1 if self.samples == _SAMPLES else self.samples
        if len(chosen) < wanted:
            raise InvalidInput(
                f"finetune.samples is {self.samples} after {self.skip} that finetune.skip leaves"
                f" out, but there are {len(texts)} texts ({shown(self.file or self.part, 60)})"
            )
        return chosen


def _hash(texts: Sequence[str]) -> str:
    """Return a hash of texts; "" of none."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()[:32] if texts else ""
