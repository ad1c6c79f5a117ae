"""MEMIT: many facts written into a few down-projections by a closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import PreTrainedModel

from interventions.anatomy import blocks, check_layers, down_projection, hidden_states, split, taps
from interventions.base import Intervention
from interventions.data.base import Data, Edit
from interventions.editing.second_moments import second_moments
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.search_space import Trial, TuningContext, consecutive

_ENOUGH = 0.05  # nats: an edit whose loss is below is done (the authors' code)


@dataclass(frozen=True)
class MEMIT(Intervention, category="editing"):
    """Find, for every edit, what the last layer should say at the subject, and write it into the layers' memories.

    1. Targets: z_i = h_i + d_i at the subject's last token in the last of ``layers``, where d_i minimizes
       -log p(target) + kl_factor KL(p(. | "<subject> is a") after || before) + weight_decay (||d|| / ||h||^2),
       by Adam, kept within ``clamp`` ||h||; all edits of the batch in one loop.
    2. Layer by layer, W += R K' (covariance C + K K')^-1, with K (in, edits) the down-projection's inputs at the
       subject, C their second moment over a corpus, and R (hidden, edits) what is missing to the targets, divided by
       the number of layers still to come.

    Source: Meng et al. 2023, "Mass-Editing Memory in a Transformer", equations 14, 20 and algorithm 1; the divergence
    is that of Meng et al. 2022, "Locating and Editing Factual Associations in GPT", equation 4.
    """

    layers: tuple[int, ...] = hyperparameter((0,), "blocks that are edited", paper=(4, 5, 6, 7, 8))
    steps: int = hyperparameter(60, "gradient steps for the targets", paper=25, low=1)
    lr: float = hyperparameter(0.2, "learning rate of Adam for the targets", paper=0.5, above=0)
    weight_decay: float = hyperparameter(1e-3, "weight of ||d|| / ||h||^2", low=0)
    kl_factor: float = hyperparameter(0.0625, "weight of the KL divergence", low=0)
    clamp: float = hyperparameter(4.0, "greatest ||d|| / ||h||", above=0)
    covariance: float = hyperparameter(50.0, "weight of the second moments", paper=15000.0, above=0)
    samples: int = hyperparameter(3000, "texts for the second moments", paper=100000, low=1)
    prefixes: int = hyperparameter(
        0, "random texts put before each prompt, beside none", paper=5, low=0
    )
    prefix_tokens: int = hyperparameter(10, "length of these texts", low=1)
    reads = frozenset({"edits", "statistics"})

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks a layer, or one is named twice."""
        check_layers(model, self.layers, "memit.layers")

    @classmethod
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """Where, how the targets are found, and how firmly the rest is held."""
        return {
            "layers": consecutive(trial, room),
            "steps": room.around(trial, cls, "steps", 3, 2),
            "lr": room.around(trial, cls, "lr", 4, 4),
            "covariance": room.around(trial, cls, "covariance", 20, 20),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Edit in place; the closed form is computed in float64."""
        moments = second_moments(lm, data.statistics[: self.samples], self.layers)
        prefixes = self._prefixes(lm)
        wanted = self.targets(lm, data.edits, prefixes)
        for i, layer in enumerate(sorted(self.layers)):
            prompts = _Prompts(lm, data.edits, prefixes, answers=False)
            missing = wanted - self._at_subject(lm, prompts, max(self.layers))
            linear = down_projection(blocks(lm.model)[layer])
            keys = self._keys(lm, prompts, layer)
            change = update(missing / (len(self.layers) - i), keys, moments[layer], self.covariance)
            _add(linear, change)
        return lm

    def targets(self, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str] = ("",)) -> Tensor:
        """The hidden states (edits, hidden) wanted at the subjects, in float32; optimized together."""
        prompts, neutral = _Prompts(lm, edits, prefixes, answers=True), _Prompts.neutral(lm, edits)
        last = max(self.layers)
        with torch.no_grad():
            hidden, rest = split(lm.model, prompts.encoded, last)
            neutral_hidden, neutral_rest = split(lm.model, neutral.encoded, last)
            before = F.log_softmax(neutral_rest(neutral_hidden, neutral.subjects).float(), dim=-1)
            start = hidden[prompts.subjects].float()[
                :: prompts.each
            ]  # (edits, hidden), at the bare prompt
        size = start.norm(dim=1)
        delta = torch.zeros_like(start, requires_grad=True)
        optimizer = torch.optim.Adam([delta], lr=self.lr)
        done = torch.zeros(len(edits), dtype=torch.bool, device=lm.device)
        for step in tqdm(range(self.steps), desc="memit targets", unit="step", delay=5):
            likely = prompts.answer_losses(rest(prompts.add(hidden, delta), prompts.answers))
            kept = (
                neutral_rest(neutral.add(neutral_hidden, delta), neutral.subjects)
                .float()
                .log_softmax(-1)
            )
            divergence = F.kl_div(before, kept, log_target=True, reduction="none").sum(
                1
            )  # KL(kept || before)
            losses = (
                likely
                + self.kl_factor * divergence
                + self.weight_decay * delta.norm(dim=1) / size**2
            )  # (edits)
            done |= losses.detach() < _ENOUGH
            if bool(done.all()) or step == self.steps - 1:
                break  # the loss of the last step decides nothing any more
            unchanged = delta.detach().clone()
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            with torch.no_grad():
                delta.mul_((self.clamp * size / delta.norm(dim=1)).clamp(max=1)[:, None])
                delta[done] = unchanged[done]
        return start + delta.detach()

    def _prefixes(self, lm: LM) -> list[str]:
        """The empty one, and texts that the model itself goes on with; seeded with the step."""
        if not self.prefixes:
            return [""]
        starts = ("The", "Therefore", "Because", "I", "You")
        encoded = lm.encode(
            [starts[i % len(starts)] for i in range(self.prefixes)], padding_side="left"
        )
        out = lm.model.generate(
            **encoded,
            do_sample=True,
            max_new_tokens=self.prefix_tokens,
            min_new_tokens=self.prefix_tokens,
            pad_token_id=lm.tokenizer.pad_token_id,
        )
        return [
            "",
            *(
                f"{text.strip()}. "
                for text in lm.tokenizer.batch_decode(out, skip_special_tokens=True)
            ),
        ]

    @torch.no_grad()
    def _at_subject(self, lm: LM, prompts: _Prompts, layer: int) -> Tensor:
        """The hidden states (edits, hidden) at the subject in the bare prompts, in float32."""
        return hidden_states(lm.model, prompts.encoded, layer)[prompts.subjects].float()[
            :: prompts.each
        ]

    @torch.no_grad()
    def _keys(self, lm: LM, prompts: _Prompts, layer: int) -> Tensor:
        """The down-projection's inputs (in, edits) at the subject, mean over the prefixes, in float32."""
        seen: list[Tensor] = []
        with taps(
            {"down": down_projection(blocks(lm.model)[layer])},
            lambda _, inputs: seen.append(inputs),
        ):
            hidden_states(lm.model, prompts.encoded, layer)
        return seen[0][prompts.subjects].float().unflatten(0, (-1, prompts.each)).mean(1).T


def update(missing: Tensor, keys: Tensor, moment: Tensor, covariance: float) -> Tensor:
    """The change (hidden, in) of a down-projection: R K' (covariance C + K K')^-1, in float64.

    Args:
        missing: R' (edits, hidden).
        keys: K (in, edits).
        moment: C (in, in).
        covariance: its weight.

    Source: Meng et al. 2023, equation 14.
    """
    k = keys.double()
    system = covariance * moment.double() + k @ k.T
    system.diagonal().add_(
        1e-12 * system.diagonal().mean()
    )  # a pruned model has inputs that are always 0
    return torch.linalg.solve(system, k @ missing.double()).T


@torch.no_grad()
def _add(linear: torch.nn.Linear, change: Tensor) -> None:
    linear.weight.copy_(linear.weight.double() + change)


class _Prompts:
    """The prompts of a batch of edits as one encoded batch, and where in it the subjects and the answers are.

    Every edit's prompt stands behind every prefix, ``each`` rows in a row. Places are (rows, positions), to index
    (rows, tokens, …) with: ``subjects`` the subjects' last tokens, ``answers`` what the targets' tokens are read from.
    """

    def __init__(
        self, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str], *, answers: bool
    ) -> None:
        self.each = len(prefixes)
        rows = [(f"{prefix}{edit.prompt}", edit) for edit in edits for prefix in prefixes]
        starts = [text.index(edit.subject, len(text) - len(edit.prompt)) for text, edit in rows]
        ends = [start + len(edit.subject) for start, (_, edit) in zip(starts, rows, strict=True)]
        self.encoded, labels = lm.encode_pairs(
            [(text, f" {edit.target}" if answers else "") for text, edit in rows]
        )
        positions = [self.encoded.char_to_token(row, end - 1) for row, end in enumerate(ends)]
        self.subjects = (
            torch.arange(len(rows), device=lm.device),
            torch.tensor(positions, device=lm.device),
        )
        wanted = labels[:, 1:]
        where, at = (wanted != -100).nonzero(as_tuple=True)
        self.answers, self._targets = (where, at), wanted[where, at]

    @classmethod
    def neutral(cls, lm: LM, edits: Sequence[Edit]) -> _Prompts:
        """One row "<subject> is a" per edit."""
        plain = [replace(edit, prompt=f"{edit.subject} is a") for edit in edits]
        return cls(lm, plain, [""], answers=False)

    def add(self, hidden: Tensor, delta: Tensor) -> Tensor:
        """Hidden states (rows, tokens, hidden) with each edit's delta (edits, hidden) added at its subjects."""
        added = delta.repeat_interleave(self.each, 0).to(hidden.dtype)
        return hidden.index_put(self.subjects, added, accumulate=True)

    def answer_losses(self, logits: Tensor) -> Tensor:
        """Mean negative log-likelihood in nats of each edit's target, over tokens, then over prefixes: (edits).

        Args:
            logits: (answer tokens, vocabulary), at ``answers``.
        """
        losses = F.cross_entropy(logits.float(), self._targets, reduction="none")
        rows = len(self.subjects[0])
        sums = losses.new_zeros(rows).index_add(0, self.answers[0], losses)
        return (
            (sums / self.answers[0].bincount(minlength=rows)).unflatten(0, (-1, self.each)).mean(1)
        )
