"""Names of the columns that tables of points, areas and wins share."""

from __future__ import annotations

POINT = ["intervention", "partner", "strength", "level", "settings"]
VARIANT = ["context", "intervention_variant", "partner_variant"]
REPLICATE = ["seed", "edit_batch"]
MEASURES = ("order_free_error", "order_sensitivity")
ADJUSTED = "order_free_error_adjusted"
DESCRIBED = ["better", "unit", "intervention_group", "partner_group"]
CURVE = ["intervention", "partner", "criterion", "strength", "settings", *VARIANT, *DESCRIBED]
