"""One analysis of recorded runs: its request, its findings in words, its report."""

from interventions.moved import attribute_of_old_module

__getattr__ = attribute_of_old_module("analysis.report")
