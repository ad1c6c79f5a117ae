"""Whether padding on the right leaves a model's predictions as they are, tried out once a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel

from interventions.errors import InvalidInput
from interventions.float32_passes import float32_passes

if TYPE_CHECKING:
    from interventions.lm import LM

Row = TypeVar("Row", bound=Sequence[int])
_TOLERANCE = 1e-3  # relative, in float32; a wrong position moves a tiny model's logits by 5e-3
_HALF_TOLERANCE = 5e-2  # where it is rounded to half precision on the way
_LONGEST = 256  # tokens of a row that is tried: all of its logits are in memory
_PADS: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def pads_harmlessly(lm: LM, rows: Sequence[Sequence[int]]) -> bool:
    """Tell whether the model predicts a text alike by itself and padded beside a longer one.

    Tried out on the first rows of a model that differ in length; then it is known.

    Args:
        lm: the model; not changed.
        rows: token ids of texts, at least one.
    """
    shortest, longest = min(rows, key=len), max(rows, key=len)
    if len(shortest) == len(longest):
        return True
    long = list(longest[:_LONGEST])
    short = list(shortest[: len(long) - 1])
    if lm.model not in _PADS:
        try:
            with precise_passes(lm.model):
                _PADS[lm.model] = _pads(lm, short, long, _TOLERANCE)
        except Exception:  # some families do not compute in another precision than they are held in
            _PADS[lm.model] = _pads(lm, short, long, _HALF_TOLERANCE)
    return _PADS[lm.model]


@torch.no_grad()
def _pads(lm: LM, short: list[int], long: list[int], tolerance: float) -> bool:
    padded = lm.tokenizer.pad(
        {"input_ids": [short, long]}, return_tensors="pt", padding_side="right"
    ).to(lm.device)
    output = lm.model(
        input_ids=padded["input_ids"], attention_mask=padded["attention_mask"], use_cache=False
    )
    return alike(output.logits[0, : len(short)], plain_logits(lm, short), tolerance)


def check_pads(lm: LM, encoded: BatchEncoding, name: str) -> None:
    """Check that padding on the right leaves what the model predicts for texts as it is.

    Args:
        lm: the model; not changed.
        encoded: texts that it is to be trained on, padded.
        name: of the intervention that trains.

    Raises:
        InvalidInput: it does not.
    """
    masks = encoded["attention_mask"].bool()
    rows = [ids[mask].tolist() for ids, mask in zip(encoded["input_ids"], masks, strict=True)]
    if not pads_harmlessly(lm, rows):
        raise InvalidInput(
            f"{name} cannot train a {type(lm.model).__name__}: it predicts a text otherwise where"
            " padding follows it, and batches are padded"
        )


def unpadded(lm: LM, rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Return rows as batches that padding does not change: all in one, or one by one.

    Args:
        lm: the model that is to read them.
        rows: token ids of texts, at least one.
    """
    if pads_harmlessly(lm, rows):
        return [rows]
    return [[row] for row in rows]


def plain_logits(lm: LM, ids: Sequence[int]) -> Tensor:
    """Return the logits (tokens, vocabulary) of one text by itself, without cache or padding."""
    tokens = torch.tensor([list(ids)], device=lm.device)
    logits: Tensor = lm.model(
        input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False
    ).logits[0]
    return logits


def precise_passes(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Let a model of less precision compute in float32 while open: rounding is no difference."""
    if model.dtype in (torch.float32, torch.float64):
        return nullcontext()
    return float32_passes(model, {})


def alike(logits: Tensor, expected: Tensor, tolerance: float = _TOLERANCE) -> bool:
    """Tell whether logits (n, vocabulary) are others but for rounding, each row by itself.

    Example:
        >>> alike(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 2.1]]))
        False
    """
    logits, expected = (
        # a model that diverged, to NaN, does so with and without padding
        torch.nan_to_num(values.float(), nan=0.0, posinf=0.0, neginf=0.0)
        for values in (logits, expected)
    )
    # what all logits have in common predicts nothing
    centered = expected - expected.mean(-1, keepdim=True)
    difference = logits - logits.mean(-1, keepdim=True) - centered
    are_near = (difference.norm(dim=-1) <= tolerance * centered.norm(dim=-1)).all()
    # in a rehearsal no values tell
    return are_near.is_meta or bool(are_near)
