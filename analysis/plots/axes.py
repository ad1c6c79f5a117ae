"""How the axis of a compression's levels is drawn, by the group that the compression belongs to.

It is linear in the level, whatever the level is: areas are integrated over that same axis.
"""

from __future__ import annotations

from dataclasses import dataclass

_MARGIN = 0.04  # share of the range beyond both ends


@dataclass(frozen=True)
class LevelAxis:
    """An axis of levels: where it ends.

    Attributes:
        uncompressed: the level at which a model is left as it was; None where no level means that.
    """

    uncompressed: float | None = None

    def limits(self, lowest: float, highest: float) -> tuple[float, float]:
        """Return the ends of the axis, a little beyond the lowest and the highest level.

        Example:
            >>> LevelAxis().limits(0.0, 100.0)
            (-4.0, 104.0)
        """
        margin = _MARGIN * (highest - lowest)
        return lowest - margin, highest + margin


# Nothing is pruned at level 0, and weights are stored in 16 bits before they are quantized.
AXES = {"pruning": LevelAxis(uncompressed=0.0), "quantization": LevelAxis(uncompressed=16.0)}


def axis_of(group: str) -> LevelAxis:
    """Return the axis of a group of compressions; one without an end for an unknown group.

    Example:
        >>> axis_of("pruning").uncompressed
        0.0
    """
    return AXES.get(group, LevelAxis())
