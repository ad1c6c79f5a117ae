"""Interventions as their authors' code runs them: one edit, one text or one layer at a time.

The maths is that of `interventions`; full forward passes and loops are what differs.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import torch
from torch import Tensor
from torch.nn.utils import prune

from interventions.anatomy import block_linears, blocks, down_projection
from interventions.base import Intervention, make
from interventions.composition import apply, digest
from interventions.compression.quantization import fit_grid
from interventions.data.base import Data, Edit
from interventions.editing.memit import MEMIT
from interventions.lm import LM, batches
from interventions.unlearning.ga import last_weights
from interventions.unlearning.gd import GD
from interventions.unlearning.rmu import RMU

KEY = digest("benchmark")  # what the steps are seeded from
Method = Callable[[LM, Data], object]


def one_edit_at_a_time(step: Intervention) -> Method:
    """Return an editor that makes its edits one after another, each with all its steps."""

    def method(lm: LM, data: Data) -> None:
        for edit in data.edits:
            lm = apply(step, lm, dataclasses.replace(data, edits=(edit,)), KEY)

    return method


class OneTargetAtATime(MEMIT, category="editing"):
    """MEMIT that optimizes every target in a loop of its own, as in Meng et al.'s code (2023)."""

    def targets(self, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str] = ("",)) -> Tensor:
        """Return the hidden states (edits, hidden) wanted at the subjects, one by one."""
        optimize = super().targets
        return torch.cat([optimize(lm, [edit], prefixes) for edit in edits])


def text_by_text(step: GD, retain: bool) -> Method:
    """Return GA or, with ``retain``, GD: every text of a step has a pass of its own."""

    def method(lm: LM, data: Data) -> None:
        weights = last_weights(lm, step.last_layers)
        optimizer = torch.optim.AdamW(weights, lr=step.lr, weight_decay=0.0)
        retain_texts = cycle(data.retain)
        for texts in batches(data.forget[: step.samples], step.batch):
            optimizer.zero_grad()
            signed = [(-1.0 / len(texts), text) for text in texts]
            if retain:
                weight = step.retain_weight / step.retain_batch
                signed += [(weight, text) for text in islice(retain_texts, step.retain_batch)]
            for sign, text in signed:
                ids = lm.encode([text], step.max_tokens)["input_ids"]
                (sign * lm.model(ids, labels=ids).loss).backward()
            optimizer.step()

    return method


def rmu_with_a_second_model(lm: LM, data: Data) -> None:
    """Apply RMU as in Li et al.'s code (2024): a frozen copy of the model, full forward passes."""
    step = make("rmu")
    assert isinstance(step, RMU)
    frozen = copy.deepcopy(lm.model)
    weights = [
        down_projection(blocks(lm.model)[layer]).weight
        for layer in range(step.layer - 2, step.layer + 1)
    ]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights, lr=step.lr)
    direction = torch.rand(1, 1, lm.model.config.hidden_size)
    target = step.steering * direction / direction.norm()
    forget, retain = cycle(data.forget), cycle(data.retain)

    def activations(model: torch.nn.Module, texts: list[str], grad: bool) -> Tensor:
        caught: list[Tensor] = []
        handle = blocks(model)[step.layer].register_forward_hook(
            lambda m, a, out: caught.append(out)
        )
        with torch.set_grad_enabled(grad):
            model(**lm.encode(texts, step.max_tokens))
        handle.remove()
        return caught[0]

    for _ in range(step.steps):
        hazardous, benign = list(islice(forget, step.batch)), list(islice(retain, step.batch))
        away = (activations(lm.model, hazardous, True) - target).square().mean()
        drift = activations(lm.model, benign, True) - activations(frozen, benign, False)
        optimizer.zero_grad()
        (away + step.alpha * drift.square().mean()).backward()
        optimizer.step()


def magnitude_by_torch(lm: LM, data: Data) -> None:
    """Prune with torch.nn.utils.prune, layer by layer."""
    for linear in block_linears(lm.model).values():
        prune.l1_unstructured(linear, "weight", amount=0.5)
        prune.remove(linear, "weight")


def rtn_by_torch(lm: LM, data: Data) -> None:
    """Quantize with torch's fake quantization, layer by layer, a row's groups as its channels."""
    for linear in block_linears(lm.model).values():
        weight = linear.weight.unflatten(1, (-1, 128)).flatten(0, 1)
        grid = fit_grid(weight, 3, -1, symmetric=False)
        rounded = torch.fake_quantize_per_channel_affine(
            weight, grid.scale[:, 0], grid.zero[:, 0].float(), 0, 0, 7
        )
        linear.weight.copy_(rounded.view_as(linear.weight))
