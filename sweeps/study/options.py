"""The options of a study, as names and defaults; imports little, so that help is shown at once."""

from __future__ import annotations

from interventions.masking import STUDY_STORAGE as STORAGE_VARIABLE

__all__ = [
    "AUTO",
    "ENVIRONMENT",
    "JOURNAL",
    "NONE",
    "PRUNERS",
    "PRUNE_EVERY",
    "SAMPLERS",
    "SPACES",
    "STORAGE_VARIABLE",
    "TRIALS",
    "TUNING_SPLIT",
]

SPACES = ("default", "paper")
SAMPLERS = ("grid", "tpe", "nsga2", "random", "gp")
PRUNERS = ("none", "median", "hyperband")

AUTO = "auto"  # let the study choose: its objectives, sampler, number of trials, name
NONE = "none"  # no constraint, no Ray cluster, no intervention yet
JOURNAL = "journal"  # the storage that is a file beside the checkpoints
ENVIRONMENT = "environment"  # the storage whose address the variable below has, password and all

TRIALS = 40  # of a study, where none are given
MOST_TRIALS = 100_000  # a study of as many would run for months
PRUNE_EVERY = 20  # training steps
TUNING_SPLIT = "validation"  # of the data, by which trials are judged
