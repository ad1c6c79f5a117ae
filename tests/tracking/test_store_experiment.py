"""With what an experiment is made, and why one is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from interventions.errors import InvalidInput
from tracking import schema, store


class Client:
    """A store without experiments.

    Attributes:
        made: name -> what an experiment was made with.
    """

    def __init__(self, takes: bool = True) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self._takes = takes

    def get_experiment_by_name(self, name: str) -> Any:
        if name not in self.made:
            return None
        return SimpleNamespace(experiment_id="7", lifecycle_stage="active")

    def create_experiment(self, name: str, **options: Any) -> None:
        if not self._takes:
            raise MlflowException("no room")
        self.made[name] = options


def use(monkeypatch: pytest.MonkeyPatch, client: Client, address: str) -> None:
    monkeypatch.setattr(store, "check_reachable", lambda: None)
    monkeypatch.setattr(store, "client", lambda: client)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)


def test_an_experiment_is_described_by_what_is_given_or_by_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = Client()
    use(monkeypatch, client, f"sqlite:///{tmp_path}/mlflow.db")
    assert [store.ensure_experiment(name) for name in ("mine", store.REPORTS)] == ["7", "7"]
    store.ensure_experiment("described", "in words")
    notes = {name: options["tags"][schema.NOTE] for name, options in client.made.items()}
    assert notes == {
        "mine": store.DESCRIPTION,
        store.REPORTS: store.REPORTS_DESCRIPTION,
        "described": "in words",
    }
    folder = (tmp_path / "mlruns" / "mine").as_uri()
    assert client.made["mine"]["artifact_location"] == folder


def test_a_server_has_a_place_of_its_own_for_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    use(monkeypatch, client, "http://host:5000")
    store.ensure_experiment("mine")
    assert client.made["mine"]["artifact_location"] is None


def test_an_experiment_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Client(takes=False), "http://ada:s3cret@host:5000")
    with pytest.raises(InvalidInput) as error:
        store.ensure_experiment("mine")
    assert str(error.value) == "experiment 'mine' could not be made in http://ada:***@host:5000"


def test_no_tables_are_made_in_what_is_no_missing_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = tmp_path / "mlflow.db"
    database.write_text("as it was")
    for address in (f"sqlite:///{database}", "http://host:5000"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        store.prepare_database()
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert database.read_text() == "as it was"
