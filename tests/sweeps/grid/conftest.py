"""A grid on the small testbed, and what is applied while it runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from interventions.composition import apply
from interventions.lm import LM
from sweeps.grid.spec import CompositionGrid
from tests.sweeps.grid.recorded import NAME
from tests.sweeps.small_testbed import INTERVENTIONS, grid_jobs
from tracking.checkpoints.store import Checkpoints


class MakeGrid(Protocol):
    def __call__(
        self,
        interventions: str = INTERVENTIONS,
        name: str = NAME,
        lengths: tuple[int, ...] = (0, 1, 2),
        **settings: Any,
    ) -> CompositionGrid: ...


@pytest.fixture
def grid(local_store: str) -> MakeGrid:
    """Make a grid of a list of interventions, in a store of the test's own."""

    def make_grid(
        interventions: str = INTERVENTIONS,
        name: str = NAME,
        lengths: tuple[int, ...] = (0, 1, 2),
        **settings: Any,
    ) -> CompositionGrid:
        return CompositionGrid(name, grid_jobs(interventions, lengths, **settings))

    return make_grid


class Applied:
    """Record the interventions that are applied.

    Attributes:
        keys: of the checkpoints that were made, in order.
        before: called before each, with the step's name and the number of applications so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[str] = []
        self.before: Callable[[str, int], None] = lambda name, count: None

        def recording_apply(step: object, lm: LM, data: object, key: str, *models: object) -> LM:
            self.keys.append(key)
            self.before(str(step), len(self.keys))
            return apply(step, lm, data, key, *models)  # type: ignore[arg-type]

        monkeypatch.setattr("tracking.chain.apply", recording_apply)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Applied:
    return Applied(monkeypatch)


@pytest.fixture
def cache(tmp_path: Path) -> Checkpoints:
    """A cache of the test's own."""
    return Checkpoints(tmp_path / "cache")
