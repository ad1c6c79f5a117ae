"""What applying a step showed: whether it changed any weight, and what it measured of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IDENTITY = ["step facts", 1]  # beside a checkpoint's key, where they are stored


@dataclass(frozen=True)
class StepFacts:
    """What is known of a step once it was applied.

    Attributes:
        changed: whether the weights are others than before it.
        metrics: what it recorded of itself, by metric: ``awq/scaled``.
        weights: a hash of all weights after it; "" where a version of before did not store it.
    """

    changed: bool
    metrics: Mapping[str, float]
    weights: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return a value that ``from_json`` reads."""
        return {"changed": self.changed, "metrics": dict(self.metrics), "weights": self.weights}

    @classmethod
    def from_json(cls, value: Any) -> StepFacts | None:
        """Return the facts; None if there are none, or it is something else.

        Example:
            >>> StepFacts.from_json({"changed": True, "metrics": {"awq/scaled": 1.0}})
            StepFacts(changed=True, metrics={'awq/scaled': 1.0}, weights='')
            >>> StepFacts.from_json([]) is None
            True
        """
        if not isinstance(value, dict) or not isinstance(value.get("changed"), bool):
            return None
        metrics, weights = value.get("metrics"), value.get("weights", "")
        if not isinstance(metrics, dict) or not isinstance(weights, str):
            return None
        numbers = {str(name): float(number) for name, number in metrics.items()}
        return cls(value["changed"], numbers, weights)
