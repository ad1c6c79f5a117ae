"""Hyperparameters, their bounds and levels, and criteria are what the reference says they are."""

from tests.quality.reference_pages import (
    CRITERION_FACTS,
    HYPERPARAMETERS,
    criterion_rows,
    hyperparameter_sections,
)

# a file that is dropped in, or a plug-in's class, need not be in the pages


def test_every_intervention_is_what_the_page_of_hyperparameters_says() -> None:
    sections = hyperparameter_sections()
    for printed in HYPERPARAMETERS.read_text().strip().split("\n\n## ")[1:]:
        name = printed.partition("\n")[0]
        assert sections.get(name) == f"## {printed}"


def test_every_criterion_is_what_the_page_of_their_facts_says() -> None:
    table = CRITERION_FACTS.read_text().partition("\n| criterion |")[2].strip()
    printed = table.splitlines()[2:]
    assert printed and set(printed) <= set(criterion_rows().values())
