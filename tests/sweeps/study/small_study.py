"""A study of four learning rates on the small testbed, and what it has left in the test's store."""

from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from sweeps.study.request import StudyRequest
from sweeps.study.spec import StudySpec
from tracking import schema, store

NAME = "mine"
SPEC = "ga(samples=4, last_layers=1)"  # its learning rates are open
RATES = (1e-5, 1e-4, 5e-4, 1e-3)
OPTIONS = {
    "objective": "edit_locality:max",
    "space": "paper",
    "sampler": "grid",
    "name": NAME,
}


def study_spec(composition: str = SPEC, **options: Any) -> StudySpec:
    """Return a small study; the options are fields of StudyRequest."""
    return StudySpec(StudyRequest(composition, **{**OPTIONS, **options}))


def study_runs(condition: str = "", status: str = "FINISHED") -> list[Run]:
    """Return the study's runs with a status, those of the final test included."""
    is_member = f"tags.`{schema.SWEEP}` = '{NAME}' and attributes.status = '{status}'"
    return _search(is_member + condition)


def trial_runs() -> list[Run]:
    return study_runs(" and params.split = 'validation'")


def final_runs() -> list[Run]:
    return study_runs(" and params.split = 'test'")


def parent_run() -> Run:
    (parent,) = _search(f"tags.`{schema.SWEEP_ROOT}` = '{NAME}'")
    return parent


def all_runs() -> list[Run]:
    return _search("")


def _search(condition: str) -> list[Run]:
    client = MlflowClient(store.uri())
    return list(client.search_runs([store.ensure_experiment()], condition))
