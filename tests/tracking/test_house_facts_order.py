"""Criteria in the order of tables, and facts of classes, from small folders of source files."""

from pathlib import Path

import pytest

from tracking.house_facts import house_criteria, house_earlier, house_interventions

CRITERIA = """
@criterion("higher", "share", category="compression")
def packed(lm, data): ...

@criterion("higher", "share", category="of a reader")
def odd(lm, data): ...

@criterion("higher", "share", judges=("of a reader", "editing"))
def judged_by_a_reader(lm, data): ...

@criterion("higher", "share", judges=("compression", "editing"))
def judged_by_compression(lm, data): ...

@criterion("higher", "share")
def judged_by_none(lm, data): ...

@criterion("higher", "share", judges=("editing", "compression"))
def judged_by_editing(lm, data): ...

@criterion("higher", "share", category="unlearning", judges=("unlearning",))
def forgotten(lm, data): ...

@criterion("higher", "share", category="unlearning", judges=("editing",))
def forgotten_too(lm, data): ...

@criterion("neither", "share", category="editing")
def drift(lm, data): ...

@criterion("higher", "share", category="editing", group="rewritten")
def rewritten_part(lm, data): ...

@criterion("higher", "share", category="editing", group="no criterion")
def rewritten(lm, data): ...
"""
INTERVENTIONS = """
class Sharp(Intervention, category="editing"):
    strength = "lr"
    earlier = {1: {"steps": 25}}

class Blunt(Intervention, category="compression"):
    first = title = "Blunt tool"
    earlier: ClassVar[dict] = {2: {"bits": 3}, 1: {}}

class Helper:
    earlier = some_constant
"""


def test_criteria_are_sorted_by_category_direction_part_and_what_is_tuned_by_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "all.py").write_text(CRITERIA)
    assert list(house_criteria(tmp_path)) == [
        *("rewritten", "rewritten_part", "drift"),
        # equal in all: as in their file
        *("forgotten", "forgotten_too"),
        *("judged_by_editing", "judged_by_none", "judged_by_compression", "judged_by_a_reader"),
        *("packed", "odd"),
    ]


def test_what_a_class_had_at_earlier_versions_is_read(tmp_path: Path) -> None:
    (tmp_path / "merging").mkdir()
    (tmp_path / "merging" / "tools.py").write_text(INTERVENTIONS)
    with pytest.warns(UserWarning, match="Helper in tools.py .* its earlier is some_constant, not"):
        earlier = house_earlier(tmp_path)
    assert earlier == {"sharp": {1: {"steps": 25}}, "blunt": {2: {"bits": 3}, 1: {}}}
    earlier.clear()
    assert list(house_earlier(tmp_path)) == ["sharp", "blunt"]  # a caller's changes stay its own


def test_interventions_are_sorted_by_name(tmp_path: Path) -> None:
    (tmp_path / "merging").mkdir()
    (tmp_path / "merging" / "tools.py").write_text(INTERVENTIONS)
    facts = house_interventions(tmp_path)
    assert [(name, of_class.title) for name, of_class in facts.items()] == [
        ("blunt", "Blunt tool"),
        ("sharp", "Sharp"),
    ]
    assert (facts["sharp"].strength, facts["sharp"].group) == ("lr", "editing")
