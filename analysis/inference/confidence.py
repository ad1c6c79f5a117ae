"""The confidence of intervals and claims, unless another is given."""

from __future__ import annotations

from interventions.errors import InvalidInput

CONFIDENCE = 0.95  # of an interval, where none is given


def check_confidence(confidence: float) -> None:
    """Raise InvalidInput if the confidence is not between 0 and 1.

    Example:
        >>> check_confidence(0.9)
    """
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence must be between 0 and 1, but got {confidence}")
