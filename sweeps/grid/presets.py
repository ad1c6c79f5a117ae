"""Named lists of interventions, as plain data, so that a command line can show them at once."""

from __future__ import annotations

# which steps may stand in one composition: of different categories, or of different interventions
PAIRS = ("across", "all")

PRESETS = {
    # Kolbeinsson et al. 2025, section 3.1 and Tables 8-14: 1 base, 28 single, 282 composed
    "paper": (
        "ft; memit; lora; wanda(sparsity=[0.25, 0.35, 0.45, 0.55, 0.65, 0.75]);"
        " sparsegpt(sparsity=[0.25, 0.35, 0.45, 0.55, 0.65, 0.75]); gptq(bits=[2, 3, 4, 8]);"
        " awq(bits=[2, 3, 4, 5, 6, 8]); ga; gd; rmu"
    ),
    "quick": "ft; ga; wanda(sparsity=[0.5, 0.75])",
}

# what recompress=preset comes to; "auto" where nothing is said
RECOMPRESS = {"paper": "paper"}
