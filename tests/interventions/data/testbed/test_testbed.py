"""The testbed's data: batches of edits, locality, texts to learn from."""

import pytest

from interventions.data import testbed as bed
from interventions.data.testbed.prose import prose
from interventions.data.testbed.world import HAZARDS, world
from interventions.errors import InvalidInput


def test_a_batch_edits_each_subject_once_and_batches_share_no_edit() -> None:
    batches = [bed.testbed(i).edits for i in range(bed.BATCHES["test"])]
    assert all(len({edit.subject for edit in batch}) == len(batch) == 50 for batch in batches)
    prompts = [edit.prompt for batch in batches for edit in batch]
    assert len(set(prompts)) == 1000


def test_locality_is_asked_of_unedited_subjects_and_edits_are_new() -> None:
    data = bed.testbed(3)
    edited = {edit.subject for edit in data.edits}
    assert not [p for p in data.locality if any(subject in p.prompt for subject in edited)]
    assert all(edit.subject in edit.prompt and edit.target != edit.original for edit in data.edits)
    assert all(edit.prompt not in edit.rephrasings for edit in data.edits)


def test_known_facts_are_edited_by_no_batch_of_their_split_and_the_same_in_all() -> None:
    for split, count in bed.BATCHES.items():
        batches = [bed.testbed(i, split) for i in range(count)]
        edited = {edit.prompt for batch in batches for edit in batch.edits}
        assert len({batch.identity("facts") for batch in batches}) == 1
        known = {fact.prompt: fact.answer for fact in batches[0].facts}
        assert len(known) == bed.RECALLED and not known.keys() & edited
        taught = {p: f.object for f in world().all_facts() for p in f.prompts(trained=True)[1]}
        assert known.items() <= taught.items()


def test_a_batch_that_does_not_exist_is_named() -> None:
    with pytest.raises(InvalidInput, match="edit_batch must be 0 to 19 on the testbed, but got 20"):
        bed.testbed(20)


def test_no_test_text_is_trained_retained_or_calibrated_on() -> None:
    data = bed.testbed()
    learned = {*data.retain, *data.calibration, *data.forget, *prose("train"), *prose("validation")}
    assert not learned & set(data.test_text)


def test_what_is_retained_is_not_hazardous_and_what_is_forgotten_alternates() -> None:
    data, subjects = bed.testbed(), {d: {f.subject for f in world().facts[d]} for d in HAZARDS}
    hazardous = set().union(*subjects.values())
    assert not [text for text in data.retain if any(subject in text for subject in hazardous)]
    domains = [
        next(d for d in HAZARDS if any(s in text for s in subjects[d])) for text in data.forget[:20]
    ]
    assert domains == [*HAZARDS] * 10


# by the code of commit 7ccd0b6, locality with that of twenty batches of edits, and edits with
# that of version 3; they enter every checkpoint's key
IDENTITIES = {
    "edits": "7e238bc810cb53b95a60c7649943e8b5",
    "locality": "46408574bd8cedfc6da97af3e551dd30",
    "forget": "f816e2eab57417aa3a4d0a519b5aae99",
    "retain": "9e16cadc962fa4733a1f46d3a979c18f",
    "calibration": "94b055a5cc3105b915aa862ef5d4c14e",
    "statistics": "751c3cfa9c929a71af4ee57f6a5a43af",
    "test_text": "5e0d7b513336fc44d7b75c61c01263cb",
}


def test_the_first_batch_is_the_same_data_as_ever() -> None:
    data = bed.testbed()
    assert {part: data.identity(part) for part in IDENTITIES} == IDENTITIES


def test_a_split_that_does_not_exist_is_named() -> None:
    with pytest.raises(InvalidInput, match="split must be test or validation on the testbed"):
        bed.testbed(0, "held_out")
    with pytest.raises(
        InvalidInput, match="edit_batch must be 0 to 4 on the testbed with split=validation, but"
    ):
        bed.testbed(5, "validation")
