"""From runs to composability: reads the store through `tracking.query`, writes tables, figures, a report."""
