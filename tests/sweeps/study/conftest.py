"""A cache of the test's own, a short grid, and what is applied while a study runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from interventions.base import Intervention
from interventions.composition import apply
from interventions.data.base import Data
from interventions.lm import LM
from interventions.unlearning.ga import GA
from tests.sweeps.study.small_study import RATES
from tracking.checkpoints.store import Checkpoints


@pytest.fixture
def four_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four points in GA's grid instead of the paper's eight learning rates and 14 sizes."""
    monkeypatch.setattr(GA, "grid", {"lr": RATES, "samples": (10,)})


@pytest.fixture
def cache(tmp_path: Path, local_store: str) -> Checkpoints:
    """A cache of the test's own, beside a store of its own."""
    return Checkpoints(tmp_path / "cache")


class Applied:
    """Record the interventions that are applied.

    Attributes:
        steps: in order.
        before: called before each, with the step; may raise.
    """

    def __init__(self) -> None:
        self.steps: list[Intervention] = []
        self.before: Callable[[Intervention], None] = lambda step: None

    def apply(self, step: Intervention, lm: LM, data: Data, key: str) -> LM:
        self.steps.append(step)
        self.before(step)
        return apply(step, lm, data, key)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> Applied:
    recorder = Applied()
    monkeypatch.setattr("tracking.chain.apply", recorder.apply)
    return recorder


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for journals; no store is made."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path
