"""Merging the models of branches into one."""
