"""The steps of a composition: how many, in which order with branches, and what they start from."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from interventions import composition
from interventions.base import make
from interventions.composition import Composition, digest
from interventions.data.base import Data
from interventions.errors import InvalidInput

NO_DATA = Data("own")
MERGING = "merge(ft | ga, rmu) | wanda"


def test_a_hundred_steps_are_a_composition_and_more_are_none() -> None:
    step = make("magnitude")
    assert len(Composition([step] * 100)) == 100
    with pytest.raises(InvalidInput, match=r"may have 100 steps, but got more$"):
        Composition([step] * 101)


@pytest.mark.parametrize("steps", ["ft", 5, None])
def test_what_is_no_list_of_steps_is_refused_as_such(steps: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^a composition is made of interventions, but got"):
        Composition(steps)


def test_a_composition_without_steps_is_written_as_none() -> None:
    assert str(Composition()) == "none" and not Composition.parse("none")
    assert str(Composition.parse(MERGING)) == f"{MERGING}(sparsity=0.5)"


def test_the_key_of_a_merge_has_the_last_key_of_every_branch() -> None:
    merging, wanda = Composition.parse(MERGING)
    start, merged, last = Composition.parse(MERGING).keys("origin", NO_DATA)
    ends = [Composition.parse(text).keys_after(start, NO_DATA)[-1] for text in ("ft | ga", "rmu")]
    assert merging.reads == frozenset()
    no_parts: dict[str, str] = {}
    assert merged == digest(
        start, merging.name, merging.version, merging.identity(), no_parts, ends
    )
    parts = {part: NO_DATA.identity(part) for part in wanda.reads}
    assert last == digest(merged, wanda.name, wanda.version, wanda.identity(), parts)


def test_branches_are_applied_before_what_merges_them_from_where_it_starts() -> None:
    steps = Composition.parse(MERGING)
    start, merged, last = steps.keys("origin", NO_DATA)
    of_edited = Composition.parse("ft | ga").keys_after(start, NO_DATA)
    applied = steps.applications([start, merged, last], NO_DATA)
    assert [(key, step.name) for key, step in applied] == [
        (of_edited[0], "ft"),
        (of_edited[1], "ga"),
        (Composition.parse("rmu").keys_after(start, NO_DATA)[0], "rmu"),
        (merged, "merge"),
        (last, "wanda"),
    ]


def test_models_of_branches_are_those_that_are_given_or_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources: list[Any] = []

    def noted(models: Any) -> Any:
        sources.append(models)
        return MagicMock()

    monkeypatch.setattr(composition, "branch_models", noted)
    monkeypatch.setattr(composition, "computed_branches", lambda *arguments: "computed")
    step: Any = SimpleNamespace(apply=lambda lm, data: lm, own_data=lambda data: data)
    given: Any = "given"
    for models in (None, given):
        composition.apply(step, MagicMock(), NO_DATA, "ab" * 16, models)
    assert sources == ["computed", "given"]
