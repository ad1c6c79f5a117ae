"""From runs to composability: measures, intervals, tables, figures, a report of recorded runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interventions import moved

if TYPE_CHECKING:
    from analysis.inference.recommend import Recommendation as Recommendation
    from analysis.inference.recommend import recommend as recommend

__all__ = ["Recommendation", "recommend"]

moved.install()


def __getattr__(name: str) -> Any:
    """Import ``recommend`` when it is first used: the command line starts without pandas."""
    if name in __all__:
        from analysis.inference import recommend

        return getattr(recommend, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
