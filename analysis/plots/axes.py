"""How the axis of a compression's levels is drawn, by the group that the compression belongs to."""

from __future__ import annotations

import math
from dataclasses import dataclass

_LOG_MARGIN = 1.1  # factor beyond both ends of a logarithmic axis
_LINEAR_MARGIN = 0.04  # share of the range beyond both ends of a linear axis


@dataclass(frozen=True)
class LevelAxis:
    """An axis of levels: where it ends, and whether it is logarithmic.

    Attributes:
        uncompressed: the level at which a model is left as it was; None where no level means that.
        ticks: the marked levels of a logarithmic axis to base 2; a linear axis has none of its own.
    """

    uncompressed: float | None = None
    ticks: tuple[int, ...] = ()

    @property
    def logarithmic(self) -> bool:
        """Whether each doubling of the level takes the same length."""
        return bool(self.ticks)

    def limits(self, lowest: float, highest: float) -> tuple[float, float]:
        """Return the ends of the axis, a little beyond the lowest and the highest level.

        Example:
            >>> LevelAxis(ticks=(2, 4)).limits(2.0, 10.0)
            (1.8181818181818181, 11.0)
        """
        if self.logarithmic:
            return lowest / _LOG_MARGIN, highest * _LOG_MARGIN
        margin = _LINEAR_MARGIN * (highest - lowest)
        return lowest - margin, highest + margin

    def exponents(self, lowest: float, highest: float) -> tuple[float, float]:
        """Return the ends of a logarithmic axis as powers of 10, which is how plotly takes them."""
        low, high = self.limits(lowest, highest)
        return math.log10(low), math.log10(high)


# Nothing is pruned at level 0, and weights are stored in 16 bits before they are quantized.
AXES = {
    "pruning": LevelAxis(uncompressed=0.0),
    "quantization": LevelAxis(uncompressed=16.0, ticks=(2, 4, 8, 16)),
}


def axis_of(group: str) -> LevelAxis:
    """Return the axis of a group of compressions; a plain linear one for an unknown group.

    Example:
        >>> axis_of("pruning").uncompressed
        0.0
    """
    return AXES.get(group, LevelAxis())
