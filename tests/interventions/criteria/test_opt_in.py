"""Criteria that are measured only where a run names them."""

import pytest

from interventions.criteria.base import (
    CRITERIA,
    applicable,
    criterion,
    criterion_of,
    measure,
    selected,
)
from interventions.criteria.scores import Scores
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from sweeps.study.run import tune

BY_NAME = {name for name, each in CRITERIA.all().items() if each.opt_in}


def names(data: Data, text: str) -> list[str]:
    return [each.name for each in selected(data, text)]


def test_all_leaves_them_out_and_a_name_takes_them(data: Data) -> None:
    assert "edit_exact" in BY_NAME
    usual = names(data, "all")
    assert not BY_NAME & set(usual)
    assert usual == [each.name for each in applicable(data)]
    assert names(data, "edit_exact") == ["edit_exact"]
    both = names(data, "all, edit_exact")
    assert set(both) == {*usual, "edit_exact"} and len(both) == len(usual) + 1
    assert names(data, "edit_exact,all") == both
    assert names(data, "mmlu,all") == usual


def test_a_name_twice_or_unknown_is_refused_beside_all(data: Data) -> None:
    with pytest.raises(InvalidInput, match="criteria names 'all' twice"):
        selected(data, "all,all")
    with pytest.raises(InvalidInput, match="no criterion is named 'edit_exakt'"):
        selected(data, "all,edit_exakt")


def test_measuring_without_names_leaves_them_out(lm: LM) -> None:
    nothing = Data("none")

    @criterion(better="higher", unit="", opt_in=True)
    def by_name(lm: LM, data: Data) -> Scores:
        return Scores(1.0, 0.0, {})

    try:
        assert criterion_of(nothing, "by_name").opt_in and "by_name" not in measure(lm, nothing)
        assert measure(lm, nothing, ["by_name"])["by_name"].value == 1
    finally:
        CRITERIA.remove("by_name")


def test_a_study_that_is_judged_by_one_says_how_it_is_measured(local_store: str) -> None:
    with pytest.raises(InvalidInput, match=r"criteria=all,extraction_strength$"):
        tune("rmu", objective="extraction_strength:min")
