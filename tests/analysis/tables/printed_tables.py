"""The paper's tables from some runs, by number."""

import pandas as pd

from analysis.labels import Labels
from analysis.metrics.align import both_orders
from analysis.metrics.composability import point
from analysis.metrics.levels import chosen_levels
from analysis.tables.appendix import appendix_tables
from analysis.tables.composed import composed_tables
from analysis.tables.table import Table


def composed(runs: pd.DataFrame) -> dict[int, Table]:
    points = point(runs)
    catalogue = both_orders(runs).catalogue
    shown = point(runs, levels=chosen_levels(points, catalogue))
    return {table.number: table for table in composed_tables(shown, Labels(catalogue))}


def appendix(runs: pd.DataFrame) -> dict[int, Table]:
    return {table.number: table for table in appendix_tables(both_orders(runs), point(runs))}
