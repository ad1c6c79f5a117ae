"""Branches of a merge: what they may be, and how many."""

from typing import Any

import pytest

from interventions.composition import Composition
from interventions.errors import InvalidInput
from interventions.merging.branch_texts import read_branches

EDITED = Composition.parse("ft | ga")


def test_texts_and_compositions_are_branches_with_a_profiles_defaults() -> None:
    for branches in (["ft | ga", "rmu"], (EDITED, "rmu")):
        read = read_branches(branches, "testbed")
        assert read == (EDITED, Composition.parse("rmu"))
    paper = read_branches(["lora", "rmu"], "paper")
    assert paper[0] == Composition.parse("lora", "paper") != Composition.parse("lora")


@pytest.mark.parametrize("branches", ["ft", EDITED, 5, ["ft", 5], [5, "ft"], {"ft": "rmu"}])
def test_what_are_no_compositions_is_refused(branches: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^merge\.branches must be two or more compositions"):
        read_branches(branches, "testbed")


def test_two_to_ten_branches_are_merged() -> None:
    for count in (2, 10):
        assert len(read_branches(["ft"] * count, "testbed")) == count
    for count in (0, 1, 11):
        with pytest.raises(InvalidInput, match=f"must be 2 to 10 compositions, .* got {count}: "):
            read_branches(["ft"] * count, "testbed")


def test_a_branch_that_cannot_be_read_or_has_no_step_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"^merge\.branches, in 'fft': no intervention is nam"):
        read_branches(["ft", "fft"], "testbed")
    for empty in ("none", Composition()):
        with pytest.raises(InvalidInput, match="must be compositions of at least one step, but g"):
            read_branches(["ft", empty], "testbed")
