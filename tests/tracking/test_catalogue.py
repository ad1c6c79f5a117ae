"""What runs say of interventions and criteria, and what is known of runs that do not say it."""

import json

import pandas as pd
import pytest
from mlflow import MlflowClient

from interventions.base import INTERVENTIONS
from interventions.criteria.base import CRITERIA
from interventions.errors import InvalidInput
from tracking import catalogue, query, schema
from tracking.catalogue import Catalogue, CriterionFacts, InterventionFacts
from tracking.checkpoints.store import Checkpoints
from tracking.run import run


def of_tags(**texts: list[str]) -> Catalogue:
    return Catalogue.from_runs(pd.DataFrame(texts))


def old_intervention(**fields: str | None) -> str:
    return json.dumps({"odd": {"title": "Odd", "category": "compression", **fields}})


def test_a_run_says_what_its_interventions_and_criteria_are(
    local_store: str, checkpoints: Checkpoints
) -> None:
    run_id = run("wanda(sparsity=0.25)", checkpoints="none", cache=checkpoints)
    tags = MlflowClient(local_store).get_run(run_id).data.tags
    assert len(tags[schema.ABOUT_CRITERIA]) < 5000  # MLflow's limit
    stated = Catalogue.from_runs(query.compositions())
    assert stated.interventions["wanda"] == catalogue.house_interventions()["wanda"]
    assert stated.criteria == catalogue.house_criteria()


def test_the_facts_of_registered_things_are_those_of_their_files() -> None:
    interventions = [cls for cls in INTERVENTIONS.all().values() if _is_own(cls.__module__)]
    criteria = [entry for entry in CRITERIA.all().values() if _is_own(entry.function.__module__)]
    assert catalogue.facts_of_criteria(criteria) == catalogue.house_criteria()
    facts = catalogue.facts_of_steps(cls() for cls in interventions)
    assert facts == catalogue.house_interventions()


def _is_own(module: str) -> bool:
    return module.startswith("interventions.")


def test_a_tag_comes_back_as_it_was_and_is_short_with_all_criteria() -> None:
    interventions, criteria = catalogue.house_interventions(), catalogue.house_criteria()
    odd = InterventionFacts("Odd", "compression", "sparsity", group="odd ones", level=0.125)
    criterion = CriterionFacts("lower", "nats", 0.5, "Odd", "oddness", ("editing",), "editing")
    tags = catalogue.as_tag({**interventions, "odd": odd})
    criteria_tag = catalogue.as_tag({**criteria, "odd": criterion})
    stated = of_tags(about_interventions=[tags], about_criteria=[criteria_tag])
    assert stated.interventions == {**interventions, "odd": odd}
    assert stated.criteria == {**criteria, "odd": criterion}
    assert max(len(tags), len(criteria_tag)) < 5000  # MLflow's limit


@pytest.mark.parametrize(
    ("strength", "group", "level"),
    [("sparsity", "pruning", 0.25), ("bits", "quantization", 4.0), (None, "compression", None)],
)
def test_an_old_tag_has_the_group_and_level_of_its_strength(
    strength: str | None, group: str, level: float | None
) -> None:
    text = old_intervention(strength=strength)
    expected = InterventionFacts("Odd", "compression", strength, group, level)
    assert of_tags(about_interventions=[text]).interventions["odd"] == expected


def test_a_tag_with_an_empty_group_is_read_as_an_old_one() -> None:
    text = catalogue.as_tag({"odd": InterventionFacts("Odd", "compression", "bits")})
    assert of_tags(about_interventions=[text]).interventions["odd"].group == "quantization"


def test_what_a_new_tag_says_is_not_replaced_by_what_old_tags_mean() -> None:
    facts = InterventionFacts("Odd", "compression", "sparsity", group="odd ones", level=None)
    text = catalogue.as_tag({"odd": facts})
    assert of_tags(about_interventions=[text]).interventions["odd"] == facts


def test_an_old_tag_of_our_own_criteria_is_completed_one_of_others_is_not() -> None:
    fields = {"better": "lower", "unit": "accuracy", "chance": 0.25}
    text = json.dumps({"wmdp_bio": fields, "odd": fields})
    criteria = of_tags(about_criteria=[text]).criteria
    assert criteria["wmdp_bio"] == catalogue.house_criteria()["wmdp_bio"]
    assert criteria["odd"] == CriterionFacts("lower", "accuracy", 0.25)
    turned = json.dumps({"wmdp_bio": {**fields, "better": "higher"}})
    assert of_tags(about_criteria=[turned]).criteria["wmdp_bio"].title == ""


def test_items_of_old_tags_are_nested_where_a_criterion_judges_edits() -> None:
    fields = {"better": "higher", "unit": "share"}
    old = {"odd_edits": {**fields, "category": "editing"}, "odd": fields, "edit_success": fields}
    criteria = of_tags(about_criteria=[json.dumps(old)]).criteria
    assert [criteria[name].items for name in old] == ["nested", "crossed", "nested"]
    stated = json.dumps({"odd_edits": {**fields, "category": "editing", "items": "crossed"}})
    assert of_tags(about_criteria=[stated]).criteria["odd_edits"].items == "crossed"
    unknown = json.dumps({"odd": {**fields, "items": "woven"}})
    assert "odd" not in of_tags(about_criteria=[unknown]).criteria


def test_a_newer_runs_wording_goes_before_an_older_ones() -> None:
    texts = [
        catalogue.as_tag({"odd": CriterionFacts("lower", unit)}) for unit in ("newer", "older")
    ]
    assert of_tags(about_criteria=texts).criteria["odd"].unit == "newer"


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (InterventionFacts("Odd", "editing"), InterventionFacts("Odd", "unlearning")),
        (
            InterventionFacts("Odd", "compression", "bits"),
            InterventionFacts("Odd", "compression", "sparsity"),
        ),
    ],
)
def test_runs_that_contradict_each_other_on_an_intervention_are_refused(
    newer: InterventionFacts, older: InterventionFacts
) -> None:
    texts = [catalogue.as_tag({"odd": facts}) for facts in (newer, older)]
    with pytest.raises(InvalidInput, match=r"runs contradict each other on odd: .* analyse them"):
        of_tags(about_interventions=texts)


def test_runs_that_contradict_each_other_on_a_direction_are_refused() -> None:
    texts = [
        catalogue.as_tag({"odd": CriterionFacts(better, "share")}) for better in ("lower", "higher")
    ]
    with pytest.raises(InvalidInput, match="runs contradict each other on odd"):
        of_tags(about_criteria=texts)


def test_without_tags_our_own_are_known() -> None:
    known = Catalogue.from_runs(pd.DataFrame({"run_id": ["a"]}))
    assert known == Catalogue()
    assert known.interventions == catalogue.house_interventions()
    assert known.criteria == catalogue.house_criteria()
