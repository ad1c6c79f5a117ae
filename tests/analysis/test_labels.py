import math

import pytest

from analysis.labels import (
    Labels,
    counted,
    level_text,
    levels_text,
    number,
    percent,
    place,
    strength_of,
    suffixes,
    with_levels,
)
from tracking.catalogue import Catalogue, CriterionFacts, InterventionFacts


def test_files_of_different_contexts_have_different_names() -> None:
    assert suffixes(["a=1"]) == {"a=1": ""}
    assert suffixes(["a=1", "a 1", "b"]) == {"a=1": "-a-1", "a 1": "-a-1-2", "b": "-b"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.254, "0.25"),
        (12.929, "12.93"),
        (1748954.75, "1.7e+06"),
        (math.inf, "∞"),
        (math.nan, "–"),
        (0.0, "0.00"),
    ],
)
def test_numbers_are_readable(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-math.inf, "-∞"), (9999.5, "9999.50"), (10_000, "1.0e+04")]
)
def test_large_numbers_have_a_power_of_ten(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.874, "87%"), (0.99, "99%"), (1.0, ">99%"), (math.nan, "–")]
)
def test_resamples_are_never_certain(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("strength", "levels", "text"),
    [
        ("awq.bits", [4.0], "4 bits"),
        ("awq.bits", [2.0, 4.0], "2, 4 bits"),
        ("wanda.sparsity", [0.25], "sparsity 0.25"),
        ("shrink.ratio", [0.25, 0.5], "ratio 0.25, 0.5"),
        ("shrink.loss", [0.5], "loss 0.5"),
        ("", [math.nan], ""),
    ],
)
def test_levels_are_written_as_people_say_them(
    strength: str, levels: list[float], text: str
) -> None:
    assert levels_text(strength, levels) == text
    assert level_text(strength, levels[0]) == levels_text(strength, levels[:1])


def test_a_level_that_is_missing_is_not_written() -> None:
    assert level_text("wanda.sparsity", math.nan) == ""
    assert with_levels("FT → Wanda", "wanda.sparsity", [0.5]) == "FT → Wanda at sparsity 0.5"
    assert with_levels("FT → GA", "", [math.nan]) == "FT → GA"


def test_the_strength_is_the_last_part_of_its_column() -> None:
    assert (strength_of("awq.bits"), strength_of("bits"), strength_of("")) == ("bits", "bits", "")


def test_titles_are_those_of_the_facts() -> None:
    titles = Labels(
        Catalogue(
            {"shrink": InterventionFacts("Shrink!", "compression")},
            {
                "toxic_share": CriterionFacts("lower", "share"),
                "truth": CriterionFacts("neither", "points", title="Truth (points)"),
            },
        )
    )
    assert titles.method("shrink") == "Shrink!"
    assert titles.method("shrink", "samples=64") == "Shrink! (samples=64)"
    assert (titles.method(""), titles.method("unheard_of")) == ("None", "unheard_of")
    assert titles.order("shrink", "unheard_of") == "Shrink! → unheard_of"
    assert titles.criterion("toxic_share") == "toxic share ↓"
    assert titles.criterion("toxic_share", unit=True) == "toxic share ↓"
    assert titles.criterion("truth", unit=True) == "Truth (points)"


def test_a_unit_that_the_title_lacks_is_added() -> None:
    titles = Labels(Catalogue())
    assert titles.criterion("edit_success", unit=True) == "Edit success (F1) ↑"
    assert titles.criterion("wikitext_ppl", unit=True) == "WikiText perplexity ↓"


def test_methods_of_the_paper_come_first() -> None:
    assert sorted(["rtn", "awq", "wanda", "hqq"], key=place) == ["wanda", "awq", "hqq", "rtn"]


def test_long_contexts_are_cut() -> None:
    names = suffixes(["a" * 100, "b" * 59 + "cd"])
    assert list(names.values()) == ["-" + "a" * 60, "-" + "b" * 59 + "c"]


@pytest.mark.parametrize(("count", "text"), [(0, "0 pairs"), (1, "1 pair"), (2, "2 pairs")])
def test_nouns_are_in_the_plural_but_for_one(count: int, text: str) -> None:
    assert counted(count, "pair") == text


@pytest.mark.parametrize(
    ("facts", "plain", "with_unit"),
    [
        (CriterionFacts("higher", "F1", title="Success"), "Success ↑", "Success (F1) ↑"),
        (CriterionFacts("lower", "bits", title="Average bits"), "Average bits ↓", "Average bits ↓"),
    ],
)
def test_a_criterion_has_its_unit_where_it_is_asked_for(
    facts: CriterionFacts, plain: str, with_unit: str
) -> None:
    titles = Labels(Catalogue({}, {"measure": facts}))
    assert titles.criterion("measure") == plain
    assert titles.criterion("measure", unit=True) == with_unit
