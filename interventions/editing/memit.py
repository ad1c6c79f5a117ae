"""MEMIT: many facts written into a few down-projections by a closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import PreTrainedModel

from interventions.anatomy import blocks, check_anatomy, check_layers, down_projection, taps
from interventions.answers import plain_generation
from interventions.base import Intervention
from interventions.base_model import load_base_model
from interventions.data.base import Data, Edit
from interventions.editing.prompts import EditPrompts, edit_slices
from interventions.editing.second_moments import second_moments
from interventions.editing.stream import check_no_norm_after, stream_gains
from interventions.hyperparameters import MOST_STEPS, MOST_TEXTS, hyperparameter
from interventions.lm import LM
from interventions.loops import iterations
from interventions.partial_pass import hidden_states, split_pass
from interventions.search_space import Trial, TuningContext, consecutive
from interventions.token_taps import by_text
from interventions.weight_matrix import WeightMatrix

_ENOUGH = 0.05  # nats: an edit whose loss is below is done (the authors' code)


@dataclass(frozen=True)
class MEMIT(Intervention, category="editing", version=4):
    """Find the state wanted at each edit's subject, and write these into the layers' memories.

    1. Targets (equation 16): z_i = h_i + d_i at the subject's last token in the last of ``layers``,
       where d_i minimizes

           -log p(target) + kl_factor KL(p(. | "<subject> is a") after || before)
           + weight_decay (||d_i|| / ||h_i||^2)

       by Adam, with ||d_i|| at most ``clamp`` ||h_i||; all edits of the batch in one loop.

    2. Update (equation 14 and algorithm 1), layer by layer, for the down-projection W (hidden, in):

           W += R K' (covariance C + K K')^-1

       with K (in, edits) its inputs at the subjects, C (in, in) their second moment over a corpus,
       and R (hidden, edits) what is missing to the targets, divided by the layers still to come,
       and by the number with which a block multiplies what its MLP writes, where it has one.

    The divergence is that of ROME, and the decay, the clamp and the end at a loss of 0.05 are those
    of the authors' code, as are prefixes that the model itself writes. Departures: C is, at
    full scale, over ``tokens_per_input`` times as many tokens as it has rows, not 100,000 texts;
    it is added up in float64, not float32.

    Source: Meng et al. 2023, "Mass-Editing Memory in a Transformer", equations 14, 16 and 20 and
    algorithm 1; Meng et al. 2022, "Locating and Editing Factual Associations in GPT" (ROME),
    equation 4.

    Example:
        >>> str(MEMIT(layers=(1, 2), covariance=15000))
        'memit(layers=(1, 2), covariance=15000.0)'
    """

    layers: tuple[int, ...] = hyperparameter((0,), "blocks that are edited", paper=(4, 5, 6, 7, 8))
    steps: int = hyperparameter(
        60, "gradient steps for the targets", paper=25, low=1, high=MOST_STEPS
    )
    lr: float = hyperparameter(
        0.4, "learning rate of Adam for the targets", paper=0.5, above=0, high=1e3
    )
    weight_decay: float = hyperparameter(1e-3, "weight of ||d|| / ||h||^2", low=0, high=1e6)
    kl_factor: float = hyperparameter(0.0625, "weight of the KL divergence", low=0, high=1e6)
    clamp: float = hyperparameter(4.0, "greatest ||d|| / ||h||", above=0, high=1e6)
    covariance: float = hyperparameter(
        200.0, "weight of the second moments", paper=15000.0, above=0, high=1e9
    )
    samples: int = hyperparameter(
        3000, "texts for the second moments", paper=100000, low=1, high=MOST_TEXTS
    )
    tokens_per_input: float = hyperparameter(
        0.0,
        "tokens for the second moments, for each input of a down-projection; 0: all of the texts'",
        paper=40.0,
        low=0,
        high=1e6,
    )
    statistics: Literal["current", "base"] = hyperparameter(
        "current",
        "whose second moments: the model's as it is, or the base model's, taken once for all steps"
        " before",
    )
    prefixes: int = hyperparameter(
        0, "random texts put before each prompt, beside none", paper=5, low=0, high=100
    )
    prefix_tokens: int = hyperparameter(10, "length of these texts", low=1, high=1000)
    reads = frozenset({"edits", "statistics"})
    texts: ClassVar[Mapping[str, str]] = {"samples": "statistics"}
    earlier: ClassVar[Mapping[int, Mapping[str, Any]]] = {
        2: {"tokens_per_input": 0.0, "statistics": "current"}
    }

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if the model lacks a layer, or MEMIT cannot write into it."""
        check_layers(model, self.layers, "memit.layers")
        check_anatomy(model)
        check_no_norm_after(model, self.layers, self.name)

    def stored_bytes(self, model: PreTrainedModel) -> int:
        """Return what the second moments take, float64."""
        widths = [down_projection(blocks(model)[layer]).in_features for layer in self.layers]
        return sum(8 * width * width for width in widths)

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest where to edit, how targets are searched, and how firmly the rest is held."""
        return {
            "layers": consecutive(trial, tuning_context),
            "steps": tuning_context.around(trial, cls, "steps", 3, 2),
            "lr": tuning_context.around(trial, cls, "lr", 4, 4),
            "covariance": tuning_context.around(trial, cls, "covariance", 20, 20),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Edit in place; the closed form is computed in float64."""
        gains = stream_gains(lm, self.layers, self.name)
        texts = data.statistics[: self.samples]
        measured = lm if self.statistics == "current" else load_base_model(self.name)
        moments = second_moments(measured, texts, self.layers, self.tokens_per_input)
        del measured  # a base model of its own is not needed any more
        prefixes = self._prefixes(lm)
        targets = self.targets(lm, data.edits, prefixes)
        prompts = EditPrompts.in_parts(lm, data.edits, prefixes, answers=False)
        for i, layer in enumerate(sorted(self.layers)):
            # each layer changes what the next ones see: states and keys are read again
            missing = targets - self._states_at_subjects(lm, prompts, max(self.layers))
            keys = self._keys(lm, prompts, layer)
            share = missing / (len(self.layers) - i)  # of the layers still to come
            share = share / gains[layer]
            moment = moments.pop(layer).to(lm.device)  # one at a time: 1.6 GB for 14,336 inputs
            change = closed_form_change(share, keys, moment, self.covariance)
            _add(down_projection(blocks(lm.model)[layer]), change)
        return lm

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
        last = max(self.layers)
        with torch.no_grad():
            hidden, rest = split_pass(lm.model, prompts.encoded, last)
            neutral_hidden, neutral_rest = split_pass(lm.model, neutral.encoded, last)
            before = F.log_softmax(neutral_rest(neutral_hidden, neutral.subjects).float(), dim=-1)
            # h (edits, hidden), at the bare prompt: the first row of each edit
            start = hidden[prompts.subjects].float()[:: prompts.each]
        size = start.norm(dim=1)
        delta = torch.zeros_like(start, requires_grad=True)
        optimizer = torch.optim.Adam([delta], lr=self.lr)
        done = torch.zeros(len(edits), dtype=torch.bool, device=lm.device)
        progress = tqdm(range(self.steps), desc="memit targets", unit="step", delay=5)
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

    def _prefixes(self, lm: LM) -> list[str]:
        """Return "" and texts that the model itself continues; random, seeded with the step."""
        if not self.prefixes:
            return [""]
        starts = ("The", "Therefore", "Because", "I", "You")
        # padded on the left: a text is continued from its last token
        encoded = lm.encode(
            [starts[i % len(starts)] for i in range(self.prefixes)], padding_side="left"
        )
        with plain_generation(lm.model):
            continued = lm.model.generate(
                **encoded,
                do_sample=True,
                max_new_tokens=self.prefix_tokens,
                min_new_tokens=self.prefix_tokens,
                pad_token_id=lm.tokenizer.pad_token_id,
            )
        texts = lm.tokenizer.batch_decode(continued, skip_special_tokens=True)
        return ["", *(f"{text.strip()}. " for text in texts)]

    @torch.no_grad()
    def _states_at_subjects(self, lm: LM, prompts: Sequence[EditPrompts], layer: int) -> Tensor:
        """Return the hidden states (edits, hidden) at the subject in the bare prompts, float32."""
        return torch.cat(
            [
                hidden_states(lm.model, part.encoded, layer)[part.subjects].float()[:: part.each]
                for part in prompts
            ]
        )

    @torch.no_grad()
    def _keys(self, lm: LM, prompts: Sequence[EditPrompts], layer: int) -> Tensor:
        """Return K (in, edits), float32: inputs at subjects, mean over contexts (equation 19).

        As in the authors' code, the mean is over kinds of contexts: the bare prompt counts as much
        as all prefixes together.
        """
        tapped = {"down": down_projection(blocks(lm.model)[layer])}
        layer_inputs: list[Tensor] = []
        keys = []
        for part in prompts:
            with taps(tapped, lambda _, inputs: layer_inputs.append(inputs)):
                hidden_states(lm.model, part.encoded, layer)
            inputs = by_text(layer_inputs.pop(), part.encoded["attention_mask"])
            at_subjects = inputs[part.subjects].float()  # (edits * each, in)
            contexts = at_subjects.unflatten(0, (-1, part.each))
            bare, prefixed = contexts[:, 0], contexts[:, 1:]
            keys.append(bare if part.each == 1 else (bare + prefixed.mean(1)) / 2)
        return torch.cat(keys).T


def closed_form_change(missing: Tensor, keys: Tensor, moment: Tensor, covariance: float) -> Tensor:
    """Return the change (hidden, in) of a down-projection, R K' (covariance C + K K')^-1, float64.

    Args:
        missing: R' (edits, hidden).
        keys: K (in, edits).
        moment: C (in, in).
        covariance: its weight.

    Source: Meng et al. 2023, equation 14.

    Example:
        >>> keys = torch.tensor([[1.0], [0.0]])
        >>> closed_form_change(torch.tensor([[2.0]]), keys, torch.eye(2), 1.0).round(decimals=3)
        tensor([[1., 0.]], dtype=torch.float64)
    """
    k = keys.double()
    system = (moment.double() * covariance).addmm_(k, k.T)
    # a pruned model has inputs that are always 0: keep the system solvable
    system.diagonal().add_(1e-12 * system.diagonal().mean())
    # the system is symmetric, so that R K' S^-1 is R (S^-1 K)'
    return missing.double().T @ torch.linalg.solve(system, k).T


@torch.no_grad()
def _add(matrix: WeightMatrix, change: Tensor) -> None:
    matrix.weight.copy_(matrix.weight.double() + change)
