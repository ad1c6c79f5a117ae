"""The options of a study, as names and defaults; imports nothing, so that help is shown at once."""

from __future__ import annotations

SPACES = ("default", "paper")
SAMPLERS = ("grid", "tpe", "nsga2", "random")
PRUNERS = ("none", "median")

AUTO = "auto"  # let the study choose: its objectives, sampler, number of trials, name
NONE = "none"  # no constraint, no Ray cluster, no intervention yet
JOURNAL = "journal"  # the storage that is a file beside the checkpoints

TRIALS = 40
PRUNE_EVERY = 20  # training steps
TUNING_SPLIT = "validation"  # of the data, by which trials are judged
