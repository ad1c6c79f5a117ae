"""Checkpoints on disk: kept by key, logged as what changed, restored from a run."""
