"""The paper's tables, as Markdown, CSV and LaTeX."""

from interventions.moved import attribute_of_old_module

__getattr__ = attribute_of_old_module("analysis.tables")
