"""Made-up runs of FT and Wanda in both orders, at two levels."""

from typing import Any

import pandas as pd

from tests.analysis.synthetic import frame, run


def measured(
    order: str, level: float, edit_success: float, mmlu: float, bits: float, **more: Any
) -> dict[str, Any]:
    return run(order, level=level, edit_success=edit_success, mmlu=mmlu, average_bits=bits, **more)


def runs(**more: Any) -> pd.DataFrame:
    """Pruning first keeps the edits, pruning last keeps a little of MMLU."""
    return frame(
        [
            measured("ft | wanda", 0.25, 0.8, 0.60, 12.0, **more),
            measured("wanda | ft", 0.25, 0.9, 0.58, 12.0, **more),
            measured("ft | wanda", 0.50, 0.5, 0.50, 8.0, **more),
            measured("wanda | ft", 0.50, 0.8, 0.46, 8.0, **more),
        ]
    )
