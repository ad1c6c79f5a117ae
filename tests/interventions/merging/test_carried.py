"""What a merged model carries on of what steps have left, with models of no weights."""

import dataclasses
from typing import Any, cast

import pytest
import torch

from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.merging.carried import carried


@dataclasses.dataclass
class Remembering(LM):
    """A model that carries something of a step."""

    note: Any = "start"
    count: Any = 0


def lm_with(note: Any = "start", count: Any = 0) -> Remembering:
    return Remembering(cast(Any, None), cast(Any, None), note=note, count=count)


def carried_of(*branches: LM, before: LM | None = None) -> dict[str, Any]:
    """What is carried on of branches a, b and so on."""
    return carried(before or lm_with(), dict(zip("abc", branches, strict=False)))


def test_what_any_branch_has_added_is_carried_on_and_else_what_was_before() -> None:
    start = lm_with()
    added = carried_of(start, lm_with(count=3), lm_with("note"))
    assert (added["note"], added["count"]) == ("note", 3)
    assert not added.keys() & {"model", "tokenizer", "grids", "prompt_format"}
    unchanged = carried_of(start, start)
    assert (unchanged["note"], unchanged["count"]) == ("start", 0)
    twice = carried_of(lm_with("note"), start, lm_with("note"))
    assert twice["note"] == "note"


def test_two_branches_that_have_left_different_things_are_refused_by_name() -> None:
    for branches in (
        (lm_with("one"), lm_with(), lm_with("two")),
        (lm_with(torch.ones(2)), lm_with(), lm_with(torch.zeros(2))),
        (lm_with(torch.ones(2)), lm_with(), lm_with("two")),
        (lm_with({"k": 1}), lm_with(), lm_with({"k": 2})),
        (lm_with({"k": 1}), lm_with(), lm_with({"l": 1})),
        (lm_with({"k": 1}), lm_with(), lm_with("two")),
        (lm_with(1), lm_with(), lm_with(1.0)),
    ):
        with pytest.raises(InvalidInput, match=r"which note the merged .* after 'a' and 'c'$"):
            carried_of(*branches)
    with pytest.raises(InvalidInput, match=r"after 'a' and 'b'$"):
        carried_of(lm_with("one"), lm_with("two"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])),
        ({"k": torch.ones(2), "l": {"m": 1}}, {"l": {"m": 1}, "k": torch.ones(2)}),
        (("a", 1), ("a", 1)),
        (None, None),
    ],
)
def test_two_branches_that_have_left_what_is_equal_agree(left: Any, right: Any) -> None:
    assert carried_of(lm_with(left), lm_with(right))["note"] is left
    before = lm_with(left)
    assert carried_of(lm_with(right), lm_with("new"), before=before)["note"] == "new"
