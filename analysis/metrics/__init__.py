"""Both orders of a pair side by side, and the paper's measures of how well they compose."""
