"""Several batches of edits as the data of one run."""

import dataclasses

import pytest

from interventions.criteria.base import applicable, criterion_of, measure
from interventions.data import testbed as bed
from interventions.data.base import Data, Edit, Prompt
from interventions.data.edit_sequence import edit_sequence
from interventions.errors import InvalidInput
from interventions.lm import LM


def test_all_edits_are_measured_and_those_of_the_first_by_themselves() -> None:
    data = edit_sequence({k: bed.testbed(k) for k in (2, 0, 1)})
    assert data.edits == bed.testbed(0).edits + bed.testbed(1).edits + bed.testbed(2).edits
    assert data.first_edits == bed.testbed(0).edits
    assert [data.with_batch(k).edits for k in (0, 1, 2)] == [
        bed.testbed(k).edits for k in (0, 1, 2)
    ]
    assert data.with_batch(1).first_edits == ()


def test_locality_prompts_name_no_edited_subject_of_any_batch() -> None:
    data = edit_sequence({k: bed.testbed(k) for k in range(10)})
    subjects = {edit.subject for edit in data.edits}
    assert len(data.locality) == len(set(data.locality)) == len(bed.testbed().locality)
    assert not [p for p in data.locality if any(subject in p.prompt for subject in subjects)]
    # the first batch's own prompts would be about later batches' subjects
    assert [p for p in bed.testbed().locality if any(subject in p.prompt for subject in subjects)]


def test_one_batch_is_the_data_of_that_batch() -> None:
    data, alone = edit_sequence({3: bed.testbed(3)}), bed.testbed(3)
    assert data.with_batch(3).identity("edits") == alone.identity("edits")
    assert [c.identity(data) for c in applicable(data)] == [
        c.identity(alone) for c in applicable(alone)
    ]


def test_batches_that_contradict_one_another_are_refused_and_repetition_is_not() -> None:
    first = bed.testbed(0)
    (edit, *rest) = first.edits
    same = dataclasses.replace(first, edits=(edit,))
    assert len(edit_sequence({0: first, 1: same}).edits) == len(rest) + 2
    other = dataclasses.replace(edit, target="Atlantis")
    # within a batch both are written at once, which is the batch's own affair
    assert edit_sequence({0: dataclasses.replace(first, edits=(edit, other)), 1: bed.testbed(1)})
    with pytest.raises(InvalidInput, match=r"^batches 0 and 1 after the run's give .*'Atlantis'"):
        edit_sequence({0: first, 1: dataclasses.replace(first, edits=(other,))})


def test_the_first_batchs_success_is_a_criterion_where_there_are_several(lm: LM) -> None:
    few = {k: dataclasses.replace(bed.testbed(k), edits=bed.testbed(k).edits[:3]) for k in (0, 1)}
    learned = {k: _as_known(data) for k, data in few.items()}
    data = edit_sequence({0: learned[0], 1: few[1]})
    scores = measure(lm, data, ["edit_success", "edit_success_first"])
    # the model knows the originals, which the first batch here asks for
    assert scores["edit_success_first"].value == pytest.approx(1.0)
    assert scores["edit_success"].value == pytest.approx(0.5, abs=0.1)
    assert len(scores["edit_success_first"].items) == 3
    assert len(data.limited(2).first_edits) == 2
    with pytest.raises(InvalidInput, match="edit_success_first"):
        criterion_of(few[0], "edit_success_first")


def _as_known(data: Data) -> Data:
    edits = tuple(dataclasses.replace(edit, target=edit.original) for edit in data.edits)
    return dataclasses.replace(data, edits=edits)


def test_a_name_within_a_longer_one_is_another_name_and_no_prompt_left_is_said() -> None:
    def data_of(subject: str, near: str) -> Data:
        edit = Edit(subject, f"The home of {subject} is", "Rome", "Oslo", ())
        return Data("own", (edit,), (Prompt(f"The friend of {near} is", "Bea"),))

    kept = edit_sequence({0: data_of("Ann", "Annika"), 1: data_of("Cid", "Ann")})
    assert [prompt.prompt for prompt in kept.locality] == ["The friend of Annika is"]
    with pytest.warns(UserWarning, match="all 2 locality prompts of the batches name a subject"):
        none = edit_sequence({0: data_of("Ann", "Cid"), 1: data_of("Cid", "Ann")})
    assert none.locality == ()
