"""Harnesses: break a sweep on purpose, again and again, and count how often it was handled.

    python -m tests.robustness kills-grid --count 50 --seed 0
    python -m tests.robustness --list

Each prints its definition and seed, a line for whatever was not handled, and tried / handled. The
slow tests run each of them with a small count; `make soak` runs them all with the full ones.
"""
