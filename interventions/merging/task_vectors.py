"""The weights whose differences are task vectors, and whether those of two models can be added."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interventions.errors import InvalidInput, shown
from interventions.lm import LM


def tensors_of(lm: LM) -> dict[str, Tensor]:
    """Return the floating-point parameters of a model by name; a tied one once, by its first name.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> next(iter(tensors_of(LM.load(MODEL))))
        'model.embed_tokens.weight'
    """
    parameters = lm.model.named_parameters()
    return {name: weight.data for name, weight in parameters if weight.is_floating_point()}


def check_mergeable(before: LM, after: LM, spec: str) -> None:
    """Check that what a branch changed of a model is a task vector.

    Args:
        before: the model that the branch starts from.
        after: the model at its end.
        spec: of the branch, for the message.

    Raises:
        InvalidInput: they differ in the names, shapes, dtypes or tying of their weights, or in what
            is no floating-point weight.
    """
    weights, changed = _all_weights(before.model), _all_weights(after.model)
    for name in sorted({*weights, *changed}):
        if _described(weights.get(name)) != _described(changed.get(name)):
            raise InvalidInput(
                f"merge needs branches with the weights of the model before it, but after"
                f" {shown(spec, 60)} {name} is {_described(changed.get(name))}, and before"
                f" {_described(weights.get(name))}"
            )
    if _tied(before.model) != _tied(after.model):
        raise InvalidInput(
            f"merge needs branches that tie the weights which the model before it ties, but"
            f" {shown(spec, 60)} ties {_in_words(_tied(after.model))}, and the model before"
            f" {_in_words(_tied(before.model))}"
        )
    fixed, changed = _without_gradients(before.model), _without_gradients(after.model)
    for name in sorted({*fixed, *changed}):
        if name not in fixed or name not in changed or not is_equal(fixed[name], changed[name]):
            raise InvalidInput(
                f"merge adds up floating-point weights, but {shown(spec, 60)} changed {name},"
                " which is none: merge it without that branch"
            )


def _all_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    return dict(model.named_parameters(remove_duplicate=False))


def _described(weight: Tensor | None) -> str:
    if weight is None:
        return "missing"
    return f"{tuple(weight.shape)} of {str(weight.dtype).removeprefix('torch.')}"


def _tied(model: PreTrainedModel) -> set[tuple[str, ...]]:
    """Return the names of weights that are one."""
    names_of_weight: dict[int, list[str]] = defaultdict(list)
    for name, weight in model.named_parameters(remove_duplicate=False):
        names_of_weight[id(weight)].append(name)
    return {tuple(sorted(names)) for names in names_of_weight.values() if len(names) > 1}


def _in_words(tied: set[tuple[str, ...]]) -> str:
    return "; ".join(" and ".join(names) for names in sorted(tied))[:100] or "none"


def _without_gradients(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return what a checkpoint has beside floating-point weights: buffers, integers."""
    floating = {name for name, weight in _all_weights(model).items() if weight.is_floating_point()}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in floating}


def is_equal(before: Tensor, after: Tensor) -> bool:
    """Tell whether two tensors are of one shape and dtype, and equal where values are known."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    return before.is_meta or torch.equal(before, after)
