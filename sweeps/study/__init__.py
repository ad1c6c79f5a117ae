"""Tuning: trials of a composition's hyperparameters, each a run under one parent run."""
