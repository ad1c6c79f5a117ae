"""Tuning: trials of a composition's hyperparameters, each a run under one parent run."""

from interventions.moved import attribute_of_old_module

__getattr__ = attribute_of_old_module("sweeps.study")
