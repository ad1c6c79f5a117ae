"""Every composition of a list of interventions, each a run under one parent run."""

from interventions.moved import attribute_of_old_module

__getattr__ = attribute_of_old_module("sweeps.grid")
