"""Benchmarks: `python -m benchmarks.main_job`."""
