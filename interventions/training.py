"""What methods that train have in common: which weights learn, and how much is read at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BatchEncoding, PreTrainedModel

from interventions.anatomy import (
    blocks,
    check_anatomy,
    check_layers,
    context_length,
    residual_writers,
)
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.trunk import trunk_of, trunk_pass
from interventions.weight_matrix import routers

# of one pass with gradients: of more, an 8B model's activations do not fit on 80 GB beside its
# training (about 5 MB a token)
PASS_TOKENS = 1024


def check_writers(model: PreTrainedModel, layers: Sequence[int], field: str) -> None:
    """Check that the model has these layers, and that each has a down-projection.

    Args:
        model: its weights may be on the meta device.
        layers: indices of blocks.
        field: how the message calls them, such as "ft.layers".

    Raises:
        InvalidInput: the model lacks a layer, one is named twice, or its weights are not known.
    """
    check_layers(model, layers, field)
    check_anatomy(model)
    for layer in layers:
        for name, matrix in residual_writers(blocks(model)[layer]).items():
            # only the last of them is known as a down-projection
            if matrix.expert is None and ".experts." in f".{name}":
                raise InvalidInput(
                    f"{field} names layer {layer}, whose experts are modules of their own in"
                    f" {type(model).__name__}; only experts in one parameter can be trained"
                )


def writers(model: nn.Module, layers: Iterable[int]) -> list[nn.Parameter]:
    """Return the down-projections of some blocks' MLPs: what writes to the residual stream.

    That of a block with experts is one parameter with those of all experts, and the shared
    expert's. A router is none of them.

    Args:
        model: a transformers model.
        layers: indices of blocks.

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.lm import skeleton
        >>> [tuple(weight.shape) for weight in writers(skeleton(MODEL), [0])]
        [(128, 512)]
    """
    matrices = [
        matrix for layer in layers for matrix in residual_writers(blocks(model)[layer]).values()
    ]
    # fused experts share one parameter
    return list({id(matrix.parameter): matrix.parameter for matrix in matrices}.values())


def block_weights(block: nn.Module) -> list[nn.Parameter]:
    """Return all parameters of a block but its routers': experts learn, their choice does not."""
    router_weights = {id(weight) for router in routers(block) for weight in router.parameters()}
    return [weight for weight in block.parameters() if id(weight) not in router_weights]


def readable(model: nn.Module, tokens: int) -> int:
    """Return how many tokens of a text are used: ``tokens``, or what the model reads at once."""
    return min(tokens, context_length(model) or tokens)


def characters(texts: Sequence[str]) -> int:
    """Return how long a batch of texts is, padding included, as far as characters tell.

    Example:
        >>> characters(["one", "three"])
        10
    """
    return max(map(len, texts)) * len(texts)


def label_losses(lm: LM, encoded: BatchEncoding, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return every label's negative log-likelihood in nats, with its gradient, and their mask.

    The head is run where a label counts only: of 8B parameters it is a twelfth, and a token's
    logits are 0.5 MB in float32.

    Args:
        lm: the model; ``trunk_of`` is asked outside of contexts that change its passes.
        encoded: of n texts.
        labels: (n, tokens); -100 where a token does not count.

    Returns:
        Losses, 0 where none counts, and mask, both (n, tokens - 1).
    """
    targets = labels[:, 1:]
    counted = targets != -100
    trunk = trunk_of(lm, encoded["input_ids"][0].tolist())
    if trunk is None or not bool(counted.any()):
        return lm.token_losses(encoded, labels)
    places = counted.nonzero(as_tuple=True)
    logits = trunk_pass(lm.model, trunk, encoded).logits(*places)
    losses = F.cross_entropy(logits.float(), targets[places], reduction="none")
    return losses.new_zeros(targets.shape).index_put(places, losses), counted


def row_slices(lengths: Sequence[int], tokens: int, together: int = 1) -> list[slice]:
    """Return consecutive slices of rows whose padded batches have at most so many tokens.

    Args:
        lengths: tokens of each row.
        tokens: of a batch, padding included; a batch has one group of rows at least.
        together: rows that are not torn apart, such as the prompts of one edit.

    Example:
        >>> row_slices([3, 3, 5, 2], 10)
        [slice(0, 2, None), slice(2, 4, None)]
        >>> row_slices([3, 3, 5, 2], 1, together=2)
        [slice(0, 2, None), slice(2, 4, None)]
    """
    slices: list[slice] = []
    start = longest = 0
    for end in range(together, len(lengths) + 1, together):
        group = max(lengths[end - together : end])
        if end - together > start and (end - start) * max(longest, group) > tokens:
            slices.append(slice(start, end - together))
            start, longest = end - together, 0
        longest = max(longest, group)
    return [*slices, slice(start, len(lengths))] if lengths else []


def add_gradients(lm: LM, texts: Sequence[str], max_tokens: int, factor: float) -> None:
    """Add the gradients of a batch's loss, times a factor, to those of the weights.

    The loss is the mean negative log-likelihood, in nats, over the tokens of all texts. Padding and
    the first token of a text do not count. A long text weighs more than a short one.

    Args:
        lm: the model.
        texts: one batch.
        max_tokens: tokens of a text that are used, of those that the model reads at once.
        factor: such as -1, to ascend.
    """
    add_text_gradients(lm, lm.encode(texts, readable(lm.model, max_tokens)), factor)


def add_text_gradients(lm: LM, encoded: BatchEncoding, factor: float) -> None:
    """Add gradients as ``add_gradients`` does, of texts that are token ids already.

    Args:
        lm: the model.
        encoded: token ids and attention mask (n, tokens), padded on the right.
        factor: as of ``add_gradients``.
    """
    labels = lm.text_labels(encoded)
    # texts of one token have nothing to count
    count = (labels[:, 1:] != -100).sum().clamp(min=1)
    rows = max(1, PASS_TOKENS // labels.shape[1])
    for start in range(0, len(labels), rows):
        part = slice(start, start + rows)
        texts_of_pass = BatchEncoding({key: value[part] for key, value in encoded.items()})
        losses, _ = label_losses(lm, texts_of_pass, labels[part])
        (factor * (losses.sum() / count)).backward()
