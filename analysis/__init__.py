"""From runs to composability: reads the store through `tracking.query`, writes tables, figures and a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.inference.recommend import Recommendation as Recommendation
    from analysis.inference.recommend import recommend as recommend

__all__ = ["Recommendation", "recommend"]


def __getattr__(name: str) -> Any:
    """`analysis.recommend`, imported when it is first asked for: the command line starts without pandas and scipy."""
    if name in __all__:
        from analysis.inference import recommend

        return getattr(recommend, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
