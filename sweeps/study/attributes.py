"""Names of what Optuna's storage keeps of a study and its trials; recorded studies have them."""

from __future__ import annotations

# of a study
ABOUT = "about"  # what it tunes and how, as JSON

# of a trial
SLOT = "slot"  # which of the study's places it fills
AFTER = "after"  # the number of the failed trial that it replaces; -1 if it is the slot's first
CLAIMANT = "claimant"  # the identity of the last process that tried to claim it
OWNER = "by"  # the identity of the process that has claimed it; also of a turn
ERROR = "error"  # why it failed
DUPLICATE = "duplicate"  # the number of the trial that was put in before it for the same reason
RUNS = "runs"  # the ids of its runs, and the seconds that they took
