"""Adapters that somebody has trained already: read with suspicion, merged into the weights."""
