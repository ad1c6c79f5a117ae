import pytest

from analysis.metrics.groups import (
    canonical,
    category_of,
    group_of,
    group_rank,
    groups_of_category,
)
from tracking.catalogue import Catalogue, InterventionFacts

OWN = InterventionFacts("Distil", "compression", group="distillation")


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["wanda", "ft"], ("ft", "wanda")),
        (["awq", "ga"], ("ga", "awq")),
        (["ga", "lora"], ("lora", "ga")),
        (["wanda", "gptq"], ("gptq", "wanda")),
        (["awq", "unheard_of"], ("awq", "unheard_of")),
    ],
)
def test_a_pair_is_written_in_the_papers_order(names: list[str], pair: tuple[str, str]) -> None:
    assert canonical(names, Catalogue()) == pair
    assert canonical(reversed(names), Catalogue()) == pair


def test_an_intervention_says_its_group_itself() -> None:
    catalogue = Catalogue({"distil": OWN, "cut": InterventionFacts("Cut", "unlearning")})
    assert group_of("distil", catalogue) == "distillation"
    assert group_of("cut", catalogue) == "unlearning"
    assert groups_of_category("compression", catalogue) == {"distillation"}
    assert category_of("distil", catalogue) == "compression"


def test_an_intervention_that_no_run_describes_is_of_no_category() -> None:
    assert category_of("unheard_of", Catalogue()) == "other"
    assert group_of("unheard_of", Catalogue()) == "other"


def test_groups_are_shown_in_the_papers_order_and_unknown_ones_last() -> None:
    groups = ["quantization", "distillation", "editing", "pruning", "unlearning", "compression"]
    assert sorted(groups, key=group_rank) == [
        *("editing", "unlearning", "pruning", "quantization", "compression", "distillation")
    ]
