"""What an interval is over, of moments whose every number is chosen."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.basis import basis_columns
from analysis.inference.units import BATCHES, ONE_BATCH, SEEDS
from tracking.catalogue import CriterionFacts

CRITERIA = {
    "mmlu": CriterionFacts("higher", "accuracy"),
    "average_bits": CriterionFacts("lower", "bits", items="exact"),
}
COLUMNS = ["criterion", "kind", "crossed", "items", "over_units", "se", "basis", "scope"]
ROWS = [
    ("mmlu", BATCHES, True, 1, True, 0.1, "edit batches and items", ""),
    ("mmlu", SEEDS, True, 0, True, 0.1, "seeds", "these items"),
    ("mmlu", SEEDS, False, 2, True, 0.1, "seeds", ""),
    ("mmlu", SEEDS, False, 0, True, 0.1, "seeds", ""),
    ("average_bits", BATCHES, True, 0, True, 0.1, "edit batches", ""),
    ("mmlu", ONE_BATCH, True, 2, True, 0.1, "this batch only", ""),
    ("mmlu", ONE_BATCH, True, 2, False, 0.1, "this batch only", ""),
    ("mmlu", SEEDS, True, 2, False, 0.1, "items only", ""),
    ("mmlu", SEEDS, True, 0, False, 0.1, "items only", ""),
    ("mmlu", SEEDS, True, 2, False, np.nan, "", ""),
    ("mmlu", BATCHES, True, 0, True, np.nan, "", "these items"),
]


def test_an_interval_is_over_units_over_items_or_over_both() -> None:
    table = pd.DataFrame(ROWS, columns=COLUMNS)
    numbers = np.arange(len(table))
    of_table: Any = {name: table[name].to_numpy() for name in COLUMNS}
    # the points are numbered from the last row to the first
    units: Any = SimpleNamespace(
        kinds=of_table["kind"][::-1],
        orders=SimpleNamespace(catalogue=SimpleNamespace(criteria=CRITERIA)),
    )
    points = table[["criterion"]].assign(point=numbers[::-1])
    moments: Any = SimpleNamespace(
        units=numbers.astype(float), crossed=of_table["crossed"], items=of_table["items"]
    )
    estimates: Any = SimpleNamespace(se=of_table["se"], over_units=of_table["over_units"])
    columns = basis_columns(units, points, moments, estimates)
    pd.testing.assert_frame_equal(
        pd.DataFrame(columns), table[["basis", "scope"]].assign(units=numbers), check_like=True
    )
