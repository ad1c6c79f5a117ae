import pandas as pd
from mlflow import MlflowClient

from interventions.base import INTERVENTIONS
from interventions.criteria.base import CRITERIA
from tracking import catalogue, query, schema
from tracking.checkpoints.store import Checkpoints
from tracking.run import run


def test_the_houses_interventions_are_as_they_are_registered() -> None:
    registered = {
        name: catalogue.InterventionFacts(cls.__name__, cls.category, cls.strength)
        for name, cls in INTERVENTIONS.all().items()
        if cls.__module__.startswith("interventions.")
    }
    assert registered == catalogue.INTERVENTIONS


def test_the_houses_criteria_are_as_they_are_registered() -> None:
    registered = {
        name: (one.better, one.unit)
        for name, one in CRITERIA.all().items()
        if one.function.__module__.startswith("interventions.")
    }
    assert registered == {
        name: (facts.better, facts.unit) for name, facts in catalogue.CRITERIA.items()
    }


def test_chance_is_known_of_exactly_the_four_choice_criteria() -> None:
    known = {name for name, facts in catalogue.CRITERIA.items() if facts.chance is not None}
    assert known == {name for name, one in CRITERIA.all().items() if one.unit == "accuracy"}


def test_a_run_says_what_its_interventions_and_criteria_are(
    local_store: str, kept: Checkpoints
) -> None:
    run_id = run("wanda(sparsity=0.25)", checkpoints="none", cache=kept)
    tags = MlflowClient(local_store).get_run(run_id).data.tags
    assert len(tags[schema.ABOUT_CRITERIA]) < 5000  # MLflow's limit
    said = catalogue.Catalogue.of(query.compositions())
    assert said.interventions["wanda"] == catalogue.INTERVENTIONS["wanda"]
    assert said.criteria == catalogue.CRITERIA


def test_a_newer_runs_wording_goes_before_an_older_ones() -> None:
    texts = [
        catalogue.as_tag({"odd": catalogue.CriterionFacts("lower", unit)})
        for unit in ("new", "old")
    ]
    assert (
        catalogue.Catalogue.of(pd.DataFrame({"about_criteria": texts})).criteria["odd"].unit
        == "new"
    )
