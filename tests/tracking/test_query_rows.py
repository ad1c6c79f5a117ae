"""How runs become rows: which params and metrics count, and what rows without a value get."""

from types import SimpleNamespace
from typing import Any

import pytest

from interventions.errors import InvalidInput
from tests.tracking.logged_runs import logged
from tracking import query, schema, store


class Client:
    """A stand-in for MLflow's client: one page of runs, of one experiment.

    Attributes:
        filters: what was searched for.
    """

    def __init__(self, *runs: Any) -> None:
        self._runs = runs
        self.filters: list[str] = []

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="7") if name == "mine" else None

    def search_experiments(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in ("mine", "f", "c", "a", "e", "b")]

    def search_runs(self, experiment_ids: list[str], filter: str, **options: Any) -> Any:
        assert experiment_ids == ["7"]
        self.filters.append(filter)
        return Page(self._runs)


class Page(list[Any]):
    token = None


def rows_of(monkeypatch: pytest.MonkeyPatch, *runs: Any) -> list[dict[Any, Any]]:
    """Return what ``compositions`` says of runs, empty cells left out."""
    use(monkeypatch, Client(*runs))
    frame = query.compositions("mine")
    return [row.dropna().to_dict() for _, row in frame.iterrows()]


def use(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(store, "check_reachable", lambda writing: None)
    monkeypatch.setattr(store, "client", lambda: client)


def test_a_filter_is_handed_on_and_without_one_every_run_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client()
    use(monkeypatch, client)
    query.compositions("mine", "params.seed = '1'")
    query.compositions(["mine"])
    assert client.filters == ["params.seed = '1'", ""]


def test_an_experiment_that_is_missing_is_named_with_a_short_address_and_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, Client())
    monkeypatch.setattr(store, "shown_address", lambda: "x" * 500)
    with pytest.raises(InvalidInput) as error:
        query.compositions("yours")
    assert str(error.value) == (
        f"no experiment is named 'yours' in {'x' * 150}; there are: a, b, c, e, f, mine"
    )


def test_metrics_named_as_settings_or_steps_and_those_of_the_machine_are_no_results() -> None:
    metrics = {"mmlu": 0.5, "seed": 3.0, "step1": 4.0, "system/cpu": 5.0, "composition": 6.0}
    row = query.row_of(logged(1, {"composition": "rtn", "step1": "rtn"}, metrics))
    assert (row["mmlu"], row["step1"], row["composition"]) == (0.5, "rtn", "rtn")
    assert "seed" not in row and "system/cpu" not in row


def test_what_is_measured_and_how_much_is_said_of_all_runs_if_one_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited = logged(2, {"composition": "rtn", "limit": "20", "criteria": "mmlu"})
    old, new = logged(1, {"composition": "rtn"}), limited
    rows = rows_of(monkeypatch, old, new)
    assert [(row["criteria"], row["limit"]) for row in rows] == [("all", 0), ("mmlu", 20)]
    (row,) = rows_of(monkeypatch, old)
    assert "criteria" not in row and "limit" not in row


def test_a_setting_that_a_run_says_only_if_it_is_unusual_is_the_default_beside_one_that_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = logged(1, {"composition": "rtn"})
    unusual = logged(2, {"composition": "rtn", "stride": "16"})
    usual_row, unusual_row = rows_of(monkeypatch, usual, unusual)
    assert (usual_row["stride"], unusual_row["stride"]) == (0, 16)
    assert "tail" not in usual_row and "prompt_format" not in usual_row


def test_first_versions_are_said_of_runs_of_ours_if_one_run_states_a_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = {"composition": "ft", "step1": "ft", "ft.lr": "0.5"}
    old = logged(1, params)
    new = logged(2, {**params, "ft.version": "3"})
    printed = logged(3, params, tags={schema.PUBLISHED: "Table 2"})
    rows = rows_of(monkeypatch, old, new, printed)
    assert [row.get("ft.version") for row in rows] == [1, 3, None]
    assert all("ft.version" not in row for row in rows_of(monkeypatch, old, printed))
