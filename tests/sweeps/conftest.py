"""A testbed of a few questions' size, so that a grid of many compositions takes seconds."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from interventions.composition import Composition, sweep
from interventions.criteria.base import CRITERIA
from interventions.data import testbed as bed
from interventions.data.base import Data
from interventions.options import Split
from sweeps.grid import enumerate as enumeration
from sweeps.grid import jobs
from sweeps.grid.jobs import Job
from sweeps.grid.runner import CompositionGrid
from tracking.plan import RunContext
from tracking.settings import Settings

CHEAP = ("edit_success", "edit_locality", "edit_preservation", "average_bits", "sparsity")
TEXT = "ft(steps=1); ga(samples=4); wanda(samples=4, sparsity=[0.5, 0.75])"


def few(edit_batch: int = 0, split: Split = "test") -> Data:
    """The testbed's data, few of everything."""
    data = bed.testbed(edit_batch, split)
    return dataclasses.replace(
        data,
        edits=data.edits[:4],
        locality=data.locality[:8],
        forget=data.forget[:8],
        calibration=data.calibration[:8],
    )


def cheapen(patch: pytest.MonkeyPatch) -> None:
    """Criteria and data of milliseconds."""
    patch.setattr(CRITERIA, "_things", {name: CRITERIA.get(name) for name in CHEAP})
    patch.setattr("tracking.plan.testbed", few)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    cheapen(monkeypatch)


@pytest.fixture
def grid(local_store: str) -> Callable[..., CompositionGrid]:
    """Make a grid: a name and the list of interventions."""

    def make(
        text: str = TEXT, name: str = "mine", lengths: tuple[int, ...] = (0, 1, 2), **settings: Any
    ) -> CompositionGrid:
        return CompositionGrid(name, made(text, lengths, **settings))

    return make


def made(text: str = TEXT, lengths: tuple[int, ...] = (0, 1, 2), **settings: Any) -> list[Job]:
    """The jobs of a list of interventions."""
    ground = RunContext(Settings(**{"checkpoints": "none", **settings}))
    compositions: list[Composition] = enumeration.compositions(sweep(text), lengths)
    return jobs.make(compositions, [ground])
