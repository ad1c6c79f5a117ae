"""How well two interventions compose: runs in, composability out, all as DataFrames.

`point` and `area` are the paper's order-free error and order sensitivity (section 2.2) at a level
and over the levels, `wins` is the last row of its tables, `missing` names what is not there.

The paper's text takes the better of the two orders ("the area above the maximum of two curves"),
while its equation 1 prints `min`. Its Tables 2 to 4 follow the text, as the default
``error="best"`` does; ``error="worst"`` is the printed equation.
"""

from analysis.metrics.areas import area
from analysis.metrics.bounds import within
from analysis.metrics.comparable_areas import comparable_areas
from analysis.metrics.missing import missing
from analysis.metrics.points import point
from analysis.metrics.wins import cells, duels, wins

__all__ = ["area", "cells", "comparable_areas", "duels", "missing", "point", "wins", "within"]
