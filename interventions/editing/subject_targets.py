"""The hidden states that edits want at their subjects, which MEMIT and AlphaEdit write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from interventions.answers import plain_generation
from interventions.data.base import Edit
from interventions.editing.prompts import EditPrompts, edit_slices
from interventions.lm import LM
from interventions.loops import iterations
from interventions.partial_pass import split_pass

_ENOUGH = 0.05  # nats: an edit whose loss is below is done (the authors' code)


@dataclass(frozen=True)
class TargetSearch:
    """How the states z_i = h_i + d_i wanted at the subjects' last tokens are looked for.

    d_i minimizes, by Adam, with ||d_i|| at most ``clamp`` ||h_i||,

        -log p(target) + kl_factor KL(p(. | "<subject> is a") after || before)
        + weight_decay (||d_i|| / ||h_i||^2)

    Attributes:
        layer: the block after which the states are.
        steps: of Adam.
        lr: its learning rate.
        weight_decay: weight of ||d|| / ||h||^2.
        kl_factor: weight of the divergence.
        clamp: greatest ||d|| / ||h||.
        name: of the intervention, for the progress bar.

    Source: Meng et al. 2023, "Mass-Editing Memory in a Transformer", equation 16; Meng et al. 2022,
    "Locating and Editing Factual Associations in GPT" (ROME), equation 4.
    """

    layer: int
    steps: int
    lr: float
    weight_decay: float
    kl_factor: float
    clamp: float
    name: str

    def targets(self, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str] = ("",)) -> Tensor:
        """Return the hidden states z (edits, hidden) wanted at the subjects, in float32.

        Args:
            lm: the model; not changed.
            edits: optimized by the passful, but with the result that each would have alone.
            prefixes: what stands before the prompts; the first is empty.
        """
        parts = [edits[edits_of_pass] for edits_of_pass in edit_slices(lm, edits, prefixes)]
        return torch.cat([self._targets_of_pass(lm, part, prefixes) for part in parts])

    def _targets_of_pass(self, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str]) -> Tensor:
        prompts = EditPrompts(lm, edits, prefixes, answers=True)
        neutral = EditPrompts.neutral(lm, edits)
        with torch.no_grad():
            hidden, rest = split_pass(lm.model, prompts.encoded, self.layer)
            neutral_hidden, neutral_rest = split_pass(lm.model, neutral.encoded, self.layer)
            before = F.log_softmax(neutral_rest(neutral_hidden, neutral.subjects).float(), dim=-1)
            # h (edits, hidden), at the bare prompt: the first row of each edit
            start = hidden[prompts.subjects].float()[:: prompts.each]
        size = start.norm(dim=1)
        delta = torch.zeros_like(start, requires_grad=True)
        optimizer = torch.optim.Adam([delta], lr=self.lr)
        done = torch.zeros(len(edits), dtype=torch.bool, device=lm.device)
        progress = tqdm(range(self.steps), desc=f"{self.name} targets", unit="step", delay=5)
        for step in iterations(progress):
            likelihood_losses = prompts.answer_losses(
                rest(prompts.add(hidden, delta), prompts.answers)
            )
            neutral_logits = neutral_rest(neutral.add(neutral_hidden, delta), neutral.subjects)
            after = neutral_logits.float().log_softmax(-1)
            # F.kl_div(q, p) is KL(p || q), so this is KL(after || before)
            divergence = F.kl_div(before, after, log_target=True, reduction="none").sum(1)
            losses = (  # (edits)
                likelihood_losses
                + self.kl_factor * divergence
                + self.weight_decay * delta.norm(dim=1) / size**2
            )
            done |= losses.detach() < _ENOUGH
            if bool(done.all()) or step == self.steps - 1:
                break  # the loss of the last step decides nothing any more
            unchanged = delta.detach().clone()
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            with torch.no_grad():
                delta.mul_((self.clamp * size / delta.norm(dim=1)).clamp(max=1)[:, None])
                # Adam's momentum would move an edit that is done, with no gradient too
                delta[done] = unchanged[done]
        return start + delta.detach()


def random_prefixes(lm: LM, count: int, tokens: int) -> list[str]:
    """Return "" and texts that the model itself continues; random, seeded with the step.

    Args:
        lm: the model; not changed.
        count: of texts.
        tokens: of a text, its first word not counted.
    """
    if not count:
        return [""]
    starts = ("The", "Therefore", "Because", "I", "You")
    # padded on the left: a text is continued from its last token
    encoded = lm.encode([starts[i % len(starts)] for i in range(count)], padding_side="left")
    with plain_generation(lm.model):
        continued = lm.model.generate(
            **encoded,
            do_sample=True,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            pad_token_id=lm.tokenizer.pad_token_id,
        )
    texts = lm.tokenizer.batch_decode(continued, skip_special_tokens=True)
    return ["", *(f"{text.strip()}. " for text in texts)]
