"""Where a model's text model is: its configuration, its context, its decoder blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import nn
from transformers import PreTrainedConfig

from interventions.errors import InvalidInput

# the names that configurations give to the longest input
_CONTEXT_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")


class Configured(Protocol):
    """A model of transformers, of which nothing but the configuration is read."""

    @property
    def config(self) -> Any:
        """The configuration."""


def text_config(model: Configured) -> PreTrainedConfig:
    """Return the configuration of the text model: that of a multimodal model has several.

    Its sizes are the text model's: ``text_config(model).hidden_size``.
    """
    config: Any = model.config
    text: PreTrainedConfig = config.get_text_config(decoder=True)
    return text


def context_length(model: Configured) -> int | None:
    """Return how many tokens the model can read at once; None if nothing bounds them (ALiBi).

    Args:
        model: a transformers model; its weights may be on the meta device.

    Example:
        >>> from types import SimpleNamespace
        >>> from transformers import BloomConfig, GPT2Config
        >>> context_length(SimpleNamespace(config=GPT2Config(n_positions=64)))
        64
        >>> context_length(SimpleNamespace(config=BloomConfig())) is None
        True
    """
    config = text_config(model)
    # Falcon has both kinds of positions, and then no use for the other's number
    if getattr(config, "alibi", False) is True:
        return None
    for name in _CONTEXT_LENGTHS:
        length = getattr(config, name, None)
        # XLNet has no limit, and says -1
        if isinstance(length, int) and length > 0:
            return length
    return None


def length_borders(model: Configured) -> tuple[int, ...]:
    """Return the lengths beyond which a model reads all texts of a batch in another way.

    LongRoPE has other rotary factors for a batch whose longest text is longer than those that the
    model was first trained on, so that a short text beside it would be read with these, too.

    Source: Ding et al. 2024, "LongRoPE", section 3.3; transformers' ``dynamic_rope_update``.

    Example:
        >>> from types import SimpleNamespace
        >>> from transformers import Phi3Config
        >>> length_borders(SimpleNamespace(config=Phi3Config()))
        (4096,)
    """
    config = text_config(model)
    scaling = getattr(config, "rope_parameters", None)
    of_scaling = scaling if isinstance(scaling, dict) else {}
    name = "original_max_position_embeddings"
    lengths = {getattr(config, name, None), of_scaling.get(name)}
    return tuple(sorted(length for length in lengths if isinstance(length, int)))


def blocks(model: nn.Module) -> nn.ModuleList:
    """Return the decoder blocks of the text model.

    Args:
        model: a transformers model, in which its ``get_decoder`` finds the text model; or a module
            with one list of modules.

    Raises:
        InvalidInput: there is no list of decoder blocks, or more than one.

    Example:
        >>> len(blocks(nn.ModuleDict({"layers": nn.ModuleList([nn.Identity(), nn.Identity()])})))
        2
    """
    find_decoder: Any = getattr(model, "get_decoder", lambda: model)
    candidates = list(_outermost_lists(find_decoder()))
    config: Any = getattr(model, "config", None)
    if len(candidates) > 1 and config is not None:
        depth = getattr(config.get_text_config(decoder=True), "num_hidden_layers", None)
        candidates = [candidate for candidate in candidates if len(candidate) == depth]
    if len(candidates) != 1:
        count = "no list" if not candidates else f"{len(candidates)} lists"
        raise InvalidInput(
            f"{type(model).__name__} has {count} of decoder blocks: its text model is not known"
        )
    return candidates[0]


def _outermost_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    """Yield the lists of modules that are in no other list."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            if len(child):
                yield child
        else:
            yield from _outermost_lists(child)
