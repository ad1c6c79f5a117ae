"""The lists of interventions and criteria that a reader gets."""

import pytest

from interventions.base import INTERVENTIONS
from interventions.criteria.base import CRITERIA
from interventions.errors import InvalidInput
from interventions.listing import list_criteria, list_interventions


def test_an_intervention_is_listed_with_every_hyperparameter_and_both_defaults() -> None:
    first_line, *fields = list_interventions(["wanda"]).splitlines()
    assert first_line.startswith("wanda (compression): ")
    assert fields[0] == "    sparsity = 0.5 (data=paper: 0.25): share of the weights to remove"
    assert len(fields) == len(INTERVENTIONS.get("wanda")().params())


def test_a_criterion_is_listed_with_its_direction_unit_and_chance() -> None:
    assert list_criteria(["mmlu"]).splitlines() == [
        "mmlu: Measure four-choice accuracy, 0-shot (Hendrycks et al. 2021).",
        "    better: higher; unit: accuracy; chance: 0.25",
    ]
    assert list_criteria(["wikitext_ppl"]).splitlines()[1] == "    better: lower; unit: perplexity"


def test_without_names_all_are_listed_a_blank_line_apart() -> None:
    interventions = list_interventions().split("\n\n")
    assert [paragraph.split(" ")[0] for paragraph in interventions] == list(INTERVENTIONS.all())
    criteria = list_criteria().split("\n\n")
    assert [paragraph.split(":")[0] for paragraph in criteria] == list(CRITERIA.all())
    assert list_criteria(["wmdp", "mmlu"]).startswith("wmdp: ")


def test_an_unknown_name_is_an_error_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"no criterion is named 'wmpd'\. Did you mean 'wmdp'"):
        list_criteria(["wmpd"])
