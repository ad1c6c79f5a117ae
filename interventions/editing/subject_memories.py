"""Write wanted states into the down-projections of several blocks, as MEMIT and AlphaEdit do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interventions.anatomy import blocks, check_anatomy, check_layers, down_projection, taps
from interventions.data.base import Edit
from interventions.editing.prompts import EditPrompts
from interventions.editing.stream import check_no_norm_after
from interventions.lm import LM
from interventions.partial_pass import hidden_states
from interventions.token_taps import by_text

# layer, R' (edits, hidden), K (in, edits) -> the change of its down-projection (hidden, in)
ChangeOfLayer = Callable[[int, Tensor, Tensor], Tensor]


def check_writable(model: PreTrainedModel, layers: Sequence[int], name: str) -> None:
    """Check that wanted states can be written into a model's down-projections.

    Args:
        model: its weights may be on the meta device.
        layers: indices of blocks.
        name: of the intervention that asks.

    Raises:
        InvalidInput: the model lacks a layer, or what its MLPs write does not reach the stream as
            it is.
    """
    check_layers(model, layers, f"{name}.layers")
    check_anatomy(model)
    check_no_norm_after(model, layers, name)


def moments_bytes(model: PreTrainedModel, layers: Sequence[int]) -> int:
    """Return what the second moments of layers' down-projections take, float64."""
    widths = [down_projection(blocks(model)[layer]).in_features for layer in layers]
    return sum(8 * width * width for width in widths)


@torch.no_grad()
def write_targets(
    lm: LM,
    edits: Sequence[Edit],
    targets: Tensor,
    gains: dict[int, float],
    prefixes: Sequence[str],
    change_of_layer: ChangeOfLayer,
) -> None:
    """Change down-projections in place, layer by layer, so that subjects get their targets.

    What is missing to the targets is divided by the layers still to come.

    Args:
        lm: the model; changed.
        edits: whose subjects.
        targets: (edits, hidden), the states wanted after the last layer.
        gains: by layer, the number with which a block multiplies what its MLP writes.
        prefixes: what stands before the prompts; the first is empty.
        change_of_layer: solves for the change of a layer's down-projection.

    Source: Meng et al. 2023, "Mass-Editing Memory in a Transformer", algorithm 1.
    """
    prompts = EditPrompts.in_parts(lm, edits, prefixes, answers=False)
    layers = sorted(gains)
    for i, layer in enumerate(layers):
        # each layer changes what the next ones see: states and keys are read again
        missing = targets - states_at_subjects(lm, prompts, layers[-1])
        keys = keys_at_subjects(lm, prompts, layer)
        share = missing / (len(layers) - i)  # of the layers still to come
        share = share / gains[layer]
        weight = down_projection(blocks(lm.model)[layer]).weight
        weight.copy_(weight.double() + change_of_layer(layer, share, keys))


@torch.no_grad()
def states_at_subjects(lm: LM, prompts: Sequence[EditPrompts], layer: int) -> Tensor:
    """Return the hidden states (edits, hidden) at the subject in the bare prompts, float32."""
    return torch.cat(
        [
            hidden_states(lm.model, part.encoded, layer)[part.subjects].float()[:: part.each]
            for part in prompts
        ]
    )


@torch.no_grad()
def keys_at_subjects(lm: LM, prompts: Sequence[EditPrompts], layer: int) -> Tensor:
    """Return K (in, edits), float32: inputs at subjects, mean over contexts (equation 19).

    As in the authors' code, the mean is over kinds of contexts: the bare prompt counts as much as
    all prefixes together.
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
