"""The losses of the unlearning methods in float64, by plain passes over one text at a time."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from interventions.data.testbed import MODEL
from interventions.lm import LM

KEY = "0123456789abcdef" * 2


class Reference:
    """The testbed's model in float64, and the losses of the papers, one text at a time."""

    def __init__(self, max_tokens: int) -> None:
        self.model = LM.load(MODEL).model.double()
        self.frozen = LM.load(MODEL).model.double()
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        self.max_tokens = max_tokens
        self.blocks: Any = self.model.model.layers

    def ids(self, text: str) -> Tensor:
        return torch.tensor([self.tokenizer(text)["input_ids"][: self.max_tokens]])

    def text_loss(self, texts: Sequence[str]) -> Tensor:
        """Return the mean of -log p over the tokens of all texts, each text's first left out."""
        losses = []
        for ids in map(self.ids, texts):
            logits = self.model(ids).logits[0]
            losses += [-logits[t - 1].log_softmax(0)[ids[0, t]] for t in range(1, ids.shape[1])]
        return torch.stack(losses).mean()

    def activations(self, model: Any, texts: Sequence[str], layer: int) -> Tensor:
        """Return the outputs (tokens of all texts, hidden) of a block, by a plain full pass."""
        return torch.cat(
            [
                model(self.ids(t), output_hidden_states=True).hidden_states[layer + 1][0]
                for t in texts
            ]
        )

    def rmu_loss(
        self, forget: Sequence[str], retain: Sequence[str], layer: int, target: Tensor, alpha: float
    ) -> Tensor:
        now = self.activations(self.model, retain, layer)
        with torch.no_grad():
            before = self.activations(self.frozen, retain, layer)
        away = self.activations(self.model, forget, layer) - target.double()
        return (away**2).mean() + alpha * ((now - before) ** 2).mean()

    def train(self, names: Sequence[str]) -> dict[str, nn.Parameter]:
        """Return the named weights of the model, with their gradients switched on."""
        return {
            name: p.requires_grad_() for name, p in self.model.named_parameters() if name in names
        }


class PlainAdamW:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2), with torch's documented betas and epsilon."""

    def __init__(self, weights: dict[str, nn.Parameter], lr: float, weight_decay: float) -> None:
        self.weights, self.lr, self.weight_decay, self.t = weights, lr, weight_decay, 0
        self.m = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.v = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.gradients: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, loss: Tensor) -> None:
        self.t += 1
        gradients = torch.autograd.grad(loss, list(self.weights.values()))
        self.gradients = dict(zip(self.weights, gradients, strict=True))
        for name, g in self.gradients.items():
            self.m[name] = 0.9 * self.m[name] + 0.1 * g
            self.v[name] = 0.999 * self.v[name] + 0.001 * g * g
            m, v = self.m[name] / (1 - 0.9**self.t), self.v[name] / (1 - 0.999**self.t)
            weight = self.weights[name]
            weight.sub_(self.lr * self.weight_decay * weight)
            weight.sub_(self.lr * m / (v.sqrt() + 1e-8))


class Losses:
    """The loss of every step of a training: all losses backpropagated before the step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[float] = []
        pending: list[float] = []
        backward, step = Tensor.backward, torch.optim.AdamW.step

        def backpropagated(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            pending.append(loss.item())
            backward(loss, *args, **kwargs)

        def stepped(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            self.steps.append(sum(pending))
            pending.clear()
            return step(optimizer, *args, **kwargs)

        monkeypatch.setattr(Tensor, "backward", backpropagated)
        monkeypatch.setattr(torch.optim.AdamW, "step", stepped)


def last_blocks(count: int) -> set[str]:
    names = dict(LM.load(MODEL).model.named_parameters())
    return {
        name
        for name in names
        if name.startswith(tuple(f"model.layers.{5 - i}." for i in range(count)))
    }


def down_projections(*layers: int) -> set[str]:
    return {f"model.layers.{layer}.mlp.down_proj.weight" for layer in layers}


def assert_stepped_alike(lm: LM, optimizer: PlainAdamW) -> None:
    """Compare one step's weights, to a hundredth of the step, where the gradient is not near 0.

    Adam's first step is lr x sign(gradient): where the gradient is all but zero, rounding decides.
    """
    ours = dict(lm.model.named_parameters())
    clear_coordinates, coordinates = 0, 0
    for name, theirs in optimizer.weights.items():
        off = (ours[name].double() - theirs.detach()).abs()
        gradient = optimizer.gradients[name].abs()
        clear = gradient > 1e-3 * gradient.pow(2).mean().sqrt()
        assert off[clear].max() < 0.01 * optimizer.lr + 1e-6, name
        assert off.max() < 2.1 * optimizer.lr, name
        clear_coordinates, coordinates = (
            clear_coordinates + int(clear.sum()),
            coordinates + clear.numel(),
        )
    assert clear_coordinates > 0.95 * coordinates


def of_unlike_lengths(texts: Sequence[str]) -> Sequence[str]:
    lengths = {len(AutoTokenizer.from_pretrained(MODEL)(text)["input_ids"]) for text in texts}
    assert len(lengths) > 1  # there is padding that could count
    return texts
