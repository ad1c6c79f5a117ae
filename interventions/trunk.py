"""A model in two parts: a trunk, which ends in hidden states, and a head, run at some positions.

The head of a model of 10 million weights with 32,000 tokens is most of its work, and the logits of
8,192 positions of one with 128,000 tokens are 4 GiB in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from interventions.padding import alike, plain_logits, precise_passes
from interventions.partial_pass import replaced

if TYPE_CHECKING:
    from interventions.lm import LM

_LONGEST = 64  # tokens of the trial
_TOLERANCE = 1e-3  # relative, in float32
_HALF_TOLERANCE = 5e-2  # where it is rounded to half precision on the way
# model -> its trunk; None where its logits are computed of whole passes only
_TRUNKS: WeakKeyDictionary[PreTrainedModel, nn.Module | None] = WeakKeyDictionary()


class _TrunkEnded(Exception):
    """Ends a forward pass where the trunk does."""


@dataclass(frozen=True)
class TrunkPass:
    """A pass up to the head.

    Attributes:
        model: that it is of.
        trunk: its part that was run.
        output: of the trunk; its first part are the hidden states (n, tokens, hidden).

    Example:
        >>> from interventions.data.testbed import MODEL
        >>> from interventions.lm import LM
        >>> lm = LM.load(MODEL)
        >>> encoded = lm.encode(["The capital of Vesk is", "A river"])
        >>> trunk = trunk_of(lm, encoded["input_ids"][0].tolist())
        >>> last = encoded["attention_mask"].sum(1) - 1
        >>> logits = trunk_pass(lm.model, trunk, encoded).logits(torch.arange(2), last)
        >>> logits.shape == (2, lm.model.config.vocab_size)
        True
    """

    model: PreTrainedModel
    trunk: nn.Module
    output: Any

    def logits(self, rows: Tensor, positions: Tensor) -> Tensor:
        """Return the logits (k, vocabulary) at k positions, each of a row.

        What the model does to its head's output (a scale, a soft cap) is done to them.
        """
        # as k texts of one token: no text is longer than what the model reads at once
        states = self.output[0][rows, positions][:, None]  # (k, 1, hidden)
        ids = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
        output = _with_states(self.output, states)
        with replaced(self.trunk, lambda *_, **__: output):
            logits: Tensor = self.model(input_ids=ids, use_cache=False).logits[:, 0]
        return logits


def trunk_pass(
    model: PreTrainedModel, trunk: nn.Module, encoded: Mapping[str, Tensor]
) -> TrunkPass:
    """Run a model up to its head.

    Args:
        model: not changed.
        trunk: of the model, as ``trunk_of`` returns it.
        encoded: token ids and attention mask (n, tokens).
    """
    outputs: list[Any] = []

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        outputs.append(output)
        raise _TrunkEnded

    handle = trunk.register_forward_hook(hook)
    try:
        model(**encoded, use_cache=False)
    except _TrunkEnded:
        return TrunkPass(model, trunk, outputs[0])
    finally:
        handle.remove()
    raise RuntimeError(f"the forward pass of {type(model).__name__} never ran its trunk")


def trunk_of(lm: LM, ids: Sequence[int]) -> nn.Module | None:
    """Return the part of a model after which its head reads positions one by one.

    Tried out on the first text of a model, against a whole pass; then it is known.

    Args:
        lm: the model; not changed.
        ids: tokens of a text, at least one.

    Returns:
        None where what follows the trunk reads several positions at once, or no trunk is known.
    """
    model = lm.model
    if model not in _TRUNKS:
        tried = list(ids[:_LONGEST])
        trunks = (trunk for trunk in _candidates(model) if _splits(lm, trunk, tried))
        _TRUNKS[model] = next(trunks, None)
    return _TRUNKS[model]


def _candidates(model: PreTrainedModel) -> Iterator[nn.Module]:
    """Yield the parts of a model that could be its trunk."""
    parts: list[Any] = [model.base_model]
    # OPT runs its decoder, and never the model around it
    with suppress(Exception):  # code of somebody else's may not know one
        parts.append(model.get_decoder())
    for part in parts:
        if isinstance(part, nn.Module) and part is not model:
            yield part


def _splits(lm: LM, trunk: nn.Module, ids: list[int]) -> bool:
    """Tell whether the logits of some positions are those of a whole pass."""
    # some families do not compute in another precision than they are held in
    for precision, tolerance in (
        (precise_passes(lm.model), _TOLERANCE),
        (nullcontext(), _HALF_TOLERANCE),
    ):
        try:
            with torch.no_grad(), precision:
                return _is_alike(lm, trunk, ids, tolerance)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever a trunk of another form raises
            continue
    return False


def _is_alike(lm: LM, trunk: nn.Module, ids: list[int], tolerance: float) -> bool:
    tokens = torch.tensor([ids], device=lm.device)
    encoded = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    # every second one: what reads its neighbours gives something else
    positions = torch.arange(len(ids) - 1, -1, -2, device=lm.device)
    passed = trunk_pass(lm.model, trunk, encoded)
    logits = passed.logits(torch.zeros_like(positions), positions)
    return alike(logits, plain_logits(lm, ids)[positions], tolerance)


def _with_states(output: Any, states: Tensor) -> Any:
    """Return a trunk's output with other hidden states."""
    if isinstance(output, ModelOutput):
        named = dict(output.items())
        return type(output)(**{**named, next(iter(named)): states})
    return (states, *output[1:])
