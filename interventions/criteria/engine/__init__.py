"""How texts are scored: encoded once, read in batches by length, logits where they are needed."""
