"""Facts are read from source files, which nobody runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interventions.criteria.base import CRITERIA
from tracking.facts import CriterionFacts, InterventionFacts
from tracking.house_facts import SOURCES, house_criteria, house_interventions

INTERVENTION = '''
import no_such_module
from typing import ClassVar

@dataclass(frozen=True)
class Halving(Intervention, category="compression", version=3):
    """Half of every weight."""

    share: float = hyperparameter(0.5, "of the weight")
    title = "Halving (ours)"
    strength: ClassVar[str | None] = "share"
    family = "shrinking"
    paper_level = 0.5

class _Helper:
    title = "no intervention"

@dataclass(frozen=True)
class Plain(Intervention, category="editing"):
    title: ClassVar[str]
'''
CRITERION = '''
import no_such_module

@criterion("lower", "nats", ("edits",), 2, chance=0.5, judges=("editing",), category="editing")
def surprise(lm, data):
    """How surprised it is."""

@base.criterion(better="neither", unit="share", title="Odd share", group="surprise")
def odd_share(lm, data): ...

@functools.cache
def helper(): ...
'''


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    copied = tmp_path / "interventions"
    shutil.copytree(SOURCES, copied, ignore=shutil.ignore_patterns("data", "__pycache__"))
    return copied


def test_a_new_file_in_a_folder_is_read(sources: Path) -> None:
    (sources / "compression" / "halving.py").write_text(INTERVENTION)
    (sources / "criteria" / "surprise.py").write_text(CRITERION)
    halving = InterventionFacts("Halving (ours)", "compression", "share", "shrinking", 0.5)
    plain = InterventionFacts("Plain", "editing", None, "editing", None)
    expected = {**house_interventions(), "halving": halving, "plain": plain}
    assert house_interventions(sources) == expected
    surprise = CriterionFacts("lower", "nats", 0.5, "", "", ("editing",), "editing", "nested")
    odd_share = CriterionFacts("neither", "share", None, "Odd share", "surprise")
    expected_criteria = {**house_criteria(), "surprise": surprise, "odd_share": odd_share}
    assert house_criteria(sources) == expected_criteria


def test_a_package_in_a_folder_is_read(sources: Path) -> None:
    (sources / "unlearning" / "package").mkdir()
    (sources / "unlearning" / "package" / "__init__.py").write_text(INTERVENTION)
    assert "halving" in house_interventions(sources)


@pytest.mark.parametrize("fact", ["title", "strength", "family", "paper_level"])
def test_a_fact_of_an_intervention_that_is_no_literal_is_a_warning(
    fact: str, sources: Path
) -> None:
    code = f'class Odd(Intervention, category="editing"):\n    {fact} = some_constant\n'
    (sources / "editing" / "odd.py").write_text(code)
    with pytest.warns(UserWarning, match=f"Odd in odd.py is left out .* its {fact} is some_const"):
        assert "odd" not in house_interventions(sources)


@pytest.mark.parametrize("fact", ["better", "unit", "chance", "title", "group", "judges", "items"])
def test_a_fact_of_a_criterion_that_is_no_literal_is_a_warning(fact: str, sources: Path) -> None:
    facts = {"better": '"lower"', "unit": '"share"', fact: "some_constant"}
    arguments = ", ".join(f"{key}={value}" for key, value in facts.items())
    code = f"@criterion({arguments})\ndef odd(lm, data): ...\n"
    (sources / "criteria" / "odd.py").write_text(code)
    with pytest.warns(UserWarning, match=f"odd in odd.py is left out .* its {fact} is some_const"):
        assert "odd" not in house_criteria(sources)


def test_no_fact_of_ours_is_left_out_and_nothing_is_read_twice() -> None:
    assert house_interventions() == house_interventions(SOURCES)
    assert house_interventions() is not house_interventions()  # a caller's changes stay its own
    assert set(house_criteria()) == set(CRITERIA.all())


def test_criteria_come_in_the_order_of_tables() -> None:
    ordered = [
        *("edit_success", "edit_generalization", "edit_locality", "edit_preservation"),
        *("edit_portability", "edit_portability_hop", "edit_portability_alias"),
        *("wmdp", "wmdp_bio", "wmdp_cyber"),
        *("mmlu", "facts_exact", "wikitext_ppl"),
        *("average_bits", "sparsity"),
    ]
    # a reader's own criteria are among them
    assert [name for name in house_criteria() if name in ordered] == ordered


def test_chance_is_known_of_exactly_the_four_choice_criteria() -> None:
    chances = {name: facts.chance for name, facts in house_criteria().items() if facts.chance}
    four_choice = [entry.name for entry in CRITERIA.all().values() if entry.unit == "accuracy"]
    assert chances == dict.fromkeys(four_choice, 0.25)


def test_no_torch_is_imported() -> None:
    code = "import sys, tracking.catalogue as c; c.Catalogue(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "items"),
    [
        ('reads=("edits", "questions")', "nested"),
        ('reads=("locality",)', "nested"),
        ('reads=("questions",)', "crossed"),
        ("reads=()", "crossed"),
        ('items="exact"', "exact"),
        ('reads=("questions",), items="nested"', "nested"),
    ],
)
def test_items_are_as_declared_or_follow_from_what_is_read(
    arguments: str, items: str, sources: Path
) -> None:
    code = f'@criterion("lower", "share", {arguments})\ndef odd(lm, data): ...\n'
    (sources / "criteria" / "odd.py").write_text(code)
    assert house_criteria(sources)["odd"].items == items
