"""MEMIT by plain full passes over one unpadded text at a time.

The references are written from the papers' equations, in float64: Meng et al. 2023, "Mass-Editing
Memory in a Transformer" (MEMIT), and Meng et al. 2022, "Locating and Editing Factual Associations
in GPT" (ROME).
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
)

from interventions.data.base import Edit
from interventions.data.testbed import MODEL
from interventions.editing.memit import MEMIT
from interventions.lm import LM

TEXTS = 200  # for second moments


KEY = "0123456789abcdef" * 2


class Reference:
    """A Llama in float64, in plain full passes over one unpadded text at a time.

    By default the testbed's.
    """

    def __init__(self, lm: LM | None = None) -> None:
        self.model = copy.deepcopy((lm or LM.load(MODEL)).model).double()
        self.tokenizer = lm.tokenizer if lm else AutoTokenizer.from_pretrained(MODEL)
        self.blocks: Any = self.model.model.layers

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text)["input_ids"]

    def subject_end(self, before: str, edit: Edit) -> int:
        """Return the index of the subject's last token in before + prompt."""
        head = edit.prompt.partition(edit.subject)[0] + edit.subject
        ids = self.ids(before + head)
        assert (
            self.ids(before + edit.prompt)[: len(ids)] == ids
        )  # the subject's end is a token's end
        return len(ids) - 1

    def run(
        self, text: str, layer: int, position: int | None = None, delta: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return logits, and keys (tokens, in) and outputs (tokens, hidden) of a block.

        ``delta`` (hidden) is added to the block's output at ``position``.
        """
        captured: dict[str, Tensor] = {}

        def before(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            captured["keys"] = args[0][0].detach().clone()

        def after(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            captured["hidden"] = output[0].detach().clone()
            if delta is None:
                return output
            shift = torch.zeros_like(output)
            shift[0, position] = 1
            return output + shift * delta

        handles = [
            self.blocks[layer].mlp.down_proj.register_forward_pre_hook(before),
            self.blocks[layer].register_forward_hook(after),
        ]
        logits = self.model(torch.tensor([self.ids(text)])).logits[0]
        for handle in handles:
            handle.remove()
        return logits, captured["keys"], captured["hidden"]

    def moments(self, texts: Sequence[str], layers: Sequence[int]) -> dict[int, Tensor]:
        """Return X'X / n over the tokens of the texts, by layer."""
        rows: dict[int, list[Tensor]] = {layer: [] for layer in layers}
        handles = [
            self.blocks[layer].mlp.down_proj.register_forward_pre_hook(
                lambda m, x, captured=captured: captured.append(x[0][0])
            )
            for layer, captured in rows.items()
        ]
        with torch.no_grad():
            for text in texts:
                self.model(torch.tensor([self.ids(text)]))
        for handle in handles:
            handle.remove()
        return {
            layer: torch.cat(x).T @ torch.cat(x) / len(torch.cat(x)) for layer, x in rows.items()
        }

    def target(
        self,
        memit: MEMIT,
        edit: Edit,
        befores: Sequence[str] = ("",),
        ends: Sequence[int] | None = None,
    ) -> tuple[Tensor, int]:
        """Return z = h + d (hidden) and the number of steps.

        MEMIT, equation 16, with the terms of ROME, equation 4.
        """
        last = max(memit.layers)
        ends = ends or [self.subject_end(before, edit) for before in befores]
        neutral = f"{edit.subject} is a"
        neutral_end = len(self.ids(edit.subject)) - 1
        with torch.no_grad():
            logits, _, _ = self.run(neutral, last)
            unedited = logits[neutral_end].log_softmax(0)
            h = self.run(edit.prompt, last)[2][self.subject_end("", edit)]
        delta = torch.zeros_like(h, requires_grad=True)
        optimizer = torch.optim.Adam([delta], lr=memit.lr)
        steps_taken = 0
        while (
            steps_taken < memit.steps - 1
        ):  # the authors' code tests before it steps, and does not step after the last test
            losses = []
            for before, end in zip(befores, ends, strict=True):
                prompt = self.ids(before + edit.prompt)
                ids = self.ids(f"{before}{edit.prompt} {edit.target}")
                logits, _, _ = self.run(f"{before}{edit.prompt} {edit.target}", last, end, delta)
                answer = [
                    -logits[t - 1].log_softmax(0)[ids[t]] for t in range(len(prompt), len(ids))
                ]
                losses.append(torch.stack(answer).mean())
            logits, _, _ = self.run(neutral, last, neutral_end, delta)
            loss = torch.stack(losses).mean()
            loss = loss + memit.kl_factor * self.divergence(
                unedited, logits[neutral_end].log_softmax(0)
            )
            loss = loss + memit.weight_decay * delta.norm() / h.norm() ** 2
            if loss.item() < 0.05:  # the authors' code
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps_taken += 1
            with torch.no_grad():
                if delta.norm() > memit.clamp * h.norm():
                    delta.mul_(memit.clamp * h.norm() / delta.norm())
        return h + delta.detach(), steps_taken

    def divergence(self, unedited: Tensor, edited: Tensor) -> Tensor:
        """KL(edited || unedited) of log-probabilities: ROME, equation 4, and the authors' code."""
        return (edited.exp() * (edited - unedited)).sum()


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs).norm() / theirs.norm())
