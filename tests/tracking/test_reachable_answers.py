"""How long an answer holds, what a server is asked, and which databases pass."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from mlflow.utils import rest_utils

from tracking import reachable
from tracking.reachable import StoreUnreachable


def test_a_store_that_has_answered_is_asked_again_after_thirty_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_at: list[float] = []
    clock = SimpleNamespace(seconds=5.0)
    monkeypatch.setattr(reachable, "_answered_at", {})
    monkeypatch.setattr(reachable, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    monkeypatch.setattr(reachable, "_ask_server", lambda address: asked_at.append(clock.seconds))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    for clock.seconds in (5.0, 5.5, 34.5, 35.0, 64.5, 65.5):
        reachable.check_reachable()
    assert asked_at == [5.0, 35.0, 65.5]


def test_an_address_is_shown_in_150_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for length in (150, 151):
        monkeypatch.setattr(reachable, "shown_address", lambda length=length: "x" * length)
        shown[length] = reachable._short_address()
    assert shown == {150: "x" * 150, 151: "x" * 149 + "…"}


def test_a_server_is_asked_for_one_experiment_and_not_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[dict[str, Any]] = []

    def answer(host: object, path: str, method: str, **options: Any) -> Any:
        requests.append({"path": path, "method": method, **options})
        return SimpleNamespace(status_code=200, text="{}")

    monkeypatch.setattr(rest_utils, "http_request", answer)
    reachable._ask_server("http://host:5000")
    assert requests == [
        {
            "path": "/api/2.0/mlflow/experiments/search",
            "method": "POST",
            "max_retries": 0,
            "timeout": 5,
            "raise_on_status": False,
            "json": {"max_results": 1},
        }
    ]


@pytest.mark.parametrize(
    ("tables", "refusal"),
    [
        ({}, None),
        ({"contacts": "a"}, None),
        ({"alembic_version": "ffffffffffff"}, "without MLflow's tables"),
        ({"alembic_version": "ffffffffffff", "experiments": "a"}, "another version of MLflow"),
        ({"alembic_version": None, "experiments": "a"}, "without MLflow's tables"),
    ],
)
def test_a_database_may_have_other_programs_tables_but_none_of_another_mlflow(
    tables: dict[str, str | None],
    refusal: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{tmp_path}/stand-in.db", poolclass=sqlalchemy.pool.NullPool
    )
    with engine.begin() as connection:
        for name, version in tables.items():
            connection.execute(sqlalchemy.text(f"create table {name} (version_num text)"))
            if version is not None:
                statement = sqlalchemy.text(f"insert into {name} values ('{version}')")
                connection.execute(statement)
    monkeypatch.setattr(sqlalchemy, "create_engine", lambda address, **options: engine)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://host/runs")
    if refusal is None:
        reachable._ask_database("postgresql://host/runs")
    else:
        with pytest.raises(StoreUnreachable, match=refusal):
            reachable._ask_database("postgresql://host/runs")


def test_how_to_install_a_driver_is_said_of_the_one_that_an_extra_has() -> None:
    assert reachable._reason(ImportError("No module named 'psycopg2'")) == (
        "its driver is missing: No module named 'psycopg2'"
        "; pip install 'composable-interventions[postgres]'"
    )
    assert reachable._reason(ImportError("No module named 'MySQLdb'")) == (
        "its driver is missing: No module named 'MySQLdb'"
    )
