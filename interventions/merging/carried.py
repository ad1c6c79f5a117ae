"""What steps leave with a model for later ones, after merging."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from interventions.errors import InvalidInput, shown
from interventions.lm import LM
from interventions.merging.task_vectors import is_equal

# of a model; all else that it has is what steps leave for later ones
_MERGED = frozenset({"model", "tokenizer", "grids", "prompt_format"})


def carried(before: LM, branches: Mapping[str, LM]) -> dict[str, Any]:
    """Return what a merged model carries beside weights and grids: what any branch has added.

    Args:
        before: the model that the branches start from.
        branches: models at the end of the branches that count, by spec.

    Raises:
        InvalidInput: two branches have left different things, of which there is no sum.
    """
    fields = [field.name for field in dataclasses.fields(before) if field.name not in _MERGED]
    merged = {}
    for name in fields:
        start = getattr(before, name)
        added = {
            spec: value
            for spec, branch in branches.items()
            if not _is_same(value := getattr(branch, name), start)
        }
        values = list(added.values())
        if any(not _is_same(value, values[0]) for value in values[1:]):
            raise InvalidInput(
                f"merge cannot tell which {name} the merged model has: it is not the same after"
                f" {' and '.join(shown(spec, 60) for spec in added)}"
            )
        merged[name] = values[0] if values else start
    return merged


def _is_same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return is_equal(left, right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_is_same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)
