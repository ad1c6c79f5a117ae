"""Measure what the commands cost, side by side with what a user would take instead."""
