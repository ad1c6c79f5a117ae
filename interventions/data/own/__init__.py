"""Data of somebody's own: a YAML file, or lists and tables, checked and made into ``Data``."""
