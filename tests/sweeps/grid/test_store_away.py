"""A grid whose store is away for a while."""

import pytest
from mlflow import MlflowClient
from sqlalchemy.exc import OperationalError

from sweeps import retry
from sweeps.grid.runner import run_grid
from sweeps.retry import StoreAway
from tests.sweeps.grid.conftest import MakeGrid
from tests.sweeps.grid.recorded import composition_runs
from tracking.checkpoints.store import Checkpoints

pytestmark = pytest.mark.usefixtures("_no_waits")


@pytest.fixture
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "WAITS", (0.0, 0.0, 0.0))


def _connection_refused() -> OperationalError:
    return OperationalError("select 1", {}, Exception("connection refused"))


@pytest.mark.parametrize(
    "client_method", ["create_run", "log_batch", "log_artifacts", "set_terminated"]
)
def test_a_store_that_is_away_for_a_while_costs_no_run(
    grid: MakeGrid, cache: Checkpoints, monkeypatch: pytest.MonkeyPatch, client_method: str
) -> None:
    method, calls = getattr(MlflowClient, client_method), [0]

    def away(self: MlflowClient, *args: object, **kwargs: object) -> object:
        calls[0] += 1
        if 8 <= calls[0] <= 9:
            raise _connection_refused()
        return method(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, client_method, away)
    result = run_grid(grid("ft(steps=1); ga(samples=4); wanda(samples=4)"), cache)
    assert result.finished_now == 10
    runs = composition_runs()
    assert len(runs) == len({run.data.params["composition"] for run in runs}) == 10
    assert composition_runs("RUNNING") == [] == composition_runs("FAILED")


def test_a_store_that_stays_away_ends_the_grid_and_it_goes_on_later(
    grid: MakeGrid, cache: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_run, calls = MlflowClient.create_run, [0]

    def away(self: MlflowClient, *args: object, **kwargs: object) -> object:
        calls[0] += 1
        if calls[0] > 4:
            raise _connection_refused()
        return create_run(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", away)
        with pytest.raises(StoreAway, match="connection refused"):
            run_grid(grid(), cache)
    result = run_grid(grid(), cache)
    assert result.finished_before == 3 and len(composition_runs()) == 15
