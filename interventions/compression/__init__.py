"""Compression: make the model smaller."""
