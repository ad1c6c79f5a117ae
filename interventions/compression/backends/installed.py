"""Whether a backend's package is installed; imports none of them."""

from __future__ import annotations

import importlib.util

from interventions.errors import InvalidInput

_MODULES = {  # backend -> what it imports
    "gptqmodel": "gptqmodel",
    "autoawq": "awq",
    "llmcompressor": "llmcompressor",
}


def require(backend: str) -> None:
    """Raise InvalidInput if the package of a backend ("autoawq", …) is not installed."""
    if importlib.util.find_spec(_MODULES[backend]) is None:
        raise InvalidInput(
            f"backend={backend!r} needs a package that is not installed:"
            f" pip install 'composable-interventions[{backend}]', or use backend='own'"
        )
