"""Which runs' tags with facts can be read: of runs without them all, of others the well-formed."""

import json

import pandas as pd
import pytest

from tracking.catalogue import Catalogue, is_readable
from tracking.facts import CriterionFacts, InterventionFacts

CRITERION = {"better": "lower", "unit": "nats", "chance": 0.5, "items": "exact"}
INTERVENTION = {"title": "A", "category": "editing", "strength": "lr", "group": "", "level": None}


def test_runs_without_facts_are_readable() -> None:
    runs = pd.DataFrame({"about_criteria": ["{}", None]}, index=[5, 3])
    assert is_readable(runs).to_dict() == {5: True, 3: True}
    assert is_readable(pd.DataFrame({"run_id": ["a"]})).tolist() == [True]


def test_a_run_is_unreadable_where_either_of_its_tags_is() -> None:
    criteria = json.dumps({"mine": CRITERION})
    interventions = json.dumps({"mine": INTERVENTION})
    runs = pd.DataFrame(
        {
            "about_criteria": [criteria, "[", criteria, criteria, None],
            "about_interventions": [interventions, interventions, "3", None, interventions],
        }
    )
    assert is_readable(runs).tolist() == [True, False, False, True, True]


@pytest.mark.parametrize(
    "odd",
    [
        *({"better": "up"}, {"items": "all"}, {"chance": "0.5"}, {"chance": float("inf")}),
        *({"unit": 3}, {"title": 3}, {"group": 3}, {"category": 3}, {"judges": [3]}),
    ],
)
def test_a_criterion_with_an_odd_fact_makes_its_tag_unreadable(odd: dict[str, object]) -> None:
    tag = json.dumps({"mine": CRITERION, "odd": {**CRITERION, **odd}})
    assert is_readable(pd.DataFrame({"about_criteria": [tag]})).tolist() == [False]
    assert "mine" not in Catalogue.from_runs(pd.DataFrame({"about_criteria": [tag]})).criteria


@pytest.mark.parametrize(
    "odd",
    [{"title": 3}, {"category": 3}, {"strength": 3}, {"group": 3}, {"level": "x"}],
)
def test_an_intervention_with_an_odd_fact_makes_its_tag_unreadable(odd: dict[str, object]) -> None:
    tag = json.dumps({"mine": INTERVENTION, "odd": {**INTERVENTION, **odd}})
    assert is_readable(pd.DataFrame({"about_interventions": [tag]})).tolist() == [False]


def test_what_is_readable_is_read_in_full() -> None:
    runs = pd.DataFrame(
        {
            "about_criteria": [json.dumps({"mine": CRITERION})],
            "about_interventions": [json.dumps({"mine": INTERVENTION})],
        }
    )
    read = Catalogue.from_runs(runs)
    assert read.criteria["mine"] == CriterionFacts("lower", "nats", 0.5, items="exact")
    assert read.interventions["mine"] == InterventionFacts("A", "editing", "lr", "editing", None)
