"""The paper's figures, as PNG and as interactive plots."""
