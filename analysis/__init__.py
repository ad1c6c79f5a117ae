"""From runs to composability: reads the store through `tracking.query`, writes tables, figures and a report."""

from analysis.recommendation import Recommendation, recommend

__all__ = ["Recommendation", "recommend"]
