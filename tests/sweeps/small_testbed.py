"""A testbed of a few questions, so that a sweep of many compositions takes seconds."""

import dataclasses
from typing import Any

import pytest

from interventions.criteria.base import CRITERIA
from interventions.data import testbed
from interventions.data.base import Data
from interventions.options import Split
from interventions.specs import sweep
from sweeps.grid.enumerate import enumerate_compositions
from sweeps.grid.jobs import Job, make_jobs
from tracking.plan import RunContext
from tracking.settings import Settings

CHEAP_CRITERIA = (
    "edit_success",
    "edit_locality",
    "edit_preservation",
    "average_bits",
    "sparsity",
)
INTERVENTIONS = "ft(steps=1); ga(samples=4); wanda(samples=4, sparsity=[0.5, 0.75])"


def small_testbed(edit_batch: int = 0, split: Split = "test") -> Data:
    """Return the testbed's data, but few items of each kind."""
    data = testbed.testbed(edit_batch, split)
    return dataclasses.replace(
        data,
        edits=data.edits[:4],
        locality=data.locality[:8],
        forget=data.forget[:8],
        calibration=data.calibration[:8],
    )


def use_small_testbed(patch: pytest.MonkeyPatch) -> None:
    """Leave only criteria and data that take milliseconds."""
    cheap = {name: CRITERIA.get(name) for name in CHEAP_CRITERIA}
    patch.setattr(CRITERIA, "_entries", cheap)
    patch.setattr("tracking.run_data.testbed", small_testbed)


def grid_jobs(
    interventions: str = INTERVENTIONS, lengths: tuple[int, ...] = (0, 1, 2), **settings: Any
) -> list[Job]:
    """Return the jobs of a list of interventions."""
    context = RunContext(Settings(**{"checkpoints": "none", **settings}))
    return make_jobs(enumerate_compositions(sweep(interventions), lengths), [context])
