"""Whether a backend's package is installed; imports none of them."""

from __future__ import annotations

import importlib.util

from torch import nn

from interventions.anatomy import check_only_linears
from interventions.errors import InvalidInput, shown

_MODULES_OF_MODELS = "transformers_modules."  # where transformers imports their code to
_MODULES = {  # backend -> what it imports
    "gptqmodel": "gptqmodel",
    "autoawq": "awq",
    "llmcompressor": "llmcompressor",
}


def require(backend: str, model: object = None) -> None:
    """Check that a backend can work on a model.

    Args:
        backend: "autoawq", "gptqmodel" or "llmcompressor".
        model: what it is to work on, if that is known.

    Raises:
        InvalidInput: its package is not installed, the model has code of its own, which a backend
            would have to load anew and is not trusted with, or weight matrices of its blocks that
            are no linear layers'.
    """
    if type(model).__module__.startswith(_MODULES_OF_MODELS):
        raise InvalidInput(
            f"backend={backend!r} does not run a model's own code"
            f" ({shown(type(model).__name__, 100)}); use backend='own'"
        )
    if importlib.util.find_spec(_MODULES[backend]) is None:
        raise InvalidInput(
            f"backend={backend!r} needs a package that is not installed:"
            f" pip install 'composable-interventions[{backend}]', or use backend='own'"
        )
    if isinstance(model, nn.Module):
        check_only_linears(model, f"backend={backend!r}")
