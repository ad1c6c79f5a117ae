"""Findings: what the numbers say, as sentences with the runs that each came from."""
