"""zsRE: which records are used, in which order, as what."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from interventions.data import zsre
from interventions.data.base import Edit, Prompt
from interventions.data.paper import paper
from interventions.errors import InvalidInput
from tests.interventions.data.local_copies import UNUSABLE, record


def test_a_zsre_record_is_an_edit_and_a_locality_prompt(copies: Path) -> None:
    data = paper(0, source=copies)
    i = int(data.edits[0].subject.split()[1])
    prompt, rephrasing = (
        f"What river does Bridge {i} cross?",
        f"Which river is crossed by Bridge {i}?",
    )
    assert data.edits[0] == Edit(f"Bridge {i}", prompt, f"River {i}", f"Stream {i}", (rephrasing,))
    assert data.locality[0] == Prompt(f"who sang song {i}", f"Singer {i}")


def test_usable_records_are_shuffled_with_seed_100_and_cut_into_ten_batches_of_50(
    copies: Path,
) -> None:
    order = list(range(510))
    random.Random(100).shuffle(order)
    subjects = [edit.subject for batch in range(10) for edit in paper(batch, source=copies).edits]
    assert subjects == [f"Bridge {i}" for i in order[:500]]


def test_records_that_lack_a_field_or_do_not_name_their_subject_are_skipped(copies: Path) -> None:
    (copies / "zsre_mend_eval.json").write_text(
        json.dumps([*UNUSABLE, *(record(i) for i in range(50))])
    )
    assert {edit.subject for edit in paper(0, source=copies).edits} == {
        f"Bridge {i}" for i in range(50)
    }
    with pytest.raises(
        InvalidInput, match="zsRE has 50 usable records, too few for edit_batch=1, which needs 100"
    ):
        paper(1, source=copies)


def train_file(folder: Path, records: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / zsre.TRAIN).write_text(json.dumps(records))


def authors_slice(records: list[dict[str, Any]], edit_set: int) -> list[dict[str, Any]]:
    """As the authors' get_edits_zsre does, with number_of_edits=50 and edit_set from 1."""
    json_data = list(records)
    state = random.getstate()
    random.seed(100)
    random.shuffle(json_data)
    random.setstate(state)
    return json_data[(edit_set - 1) * 50 : edit_set * 50]


@pytest.mark.parametrize("place", ["", "zsre"])
@pytest.mark.parametrize("edit_batch", [0, 3, 9])
def test_the_edits_are_the_authors_slices_where_the_train_file_is_there(
    place: str, edit_batch: int, copies: Path
) -> None:
    """Shuffled with those that cannot be edited, which are then left out."""
    records = [*(record(i) for i in range(1000, 1300)), *UNUSABLE]
    records += [record(i) for i in range(1300, 1520)]
    train_file(copies / place, records)
    data = paper(edit_batch, source=copies)
    expected = authors_slice(records, edit_batch + 1)
    unusable = {unusable["subject"] for unusable in UNUSABLE}
    usable = [entry for entry in expected if entry["subject"] not in unusable]
    assert [edit.prompt for edit in data.edits] == [entry["src"] for entry in usable]
    assert [edit.target for edit in data.edits] == [entry["alt"] for entry in usable]
    assert [edit.original for edit in data.edits] == [entry["answers"][0] for entry in usable]
    assert [prompt.prompt for prompt in data.locality] == [
        entry["loc"].split("nq question:")[1].strip() for entry in usable
    ]
    assert dict(data.sources)["edits"] == "zsre_mend_train.json"


def test_a_slice_of_the_train_file_lacks_what_cannot_be_edited(copies: Path) -> None:
    records = [record(i) for i in range(50)]
    for entry in records[::5]:
        entry["alt"] = ""
    train_file(copies, records)
    assert len(paper(0, source=copies).edits) == 40
    with pytest.raises(
        InvalidInput, match=r"zsRE has 50 records in zsre_mend_train.json, too few for edit_batch=1"
    ):
        paper(1, source=copies)
    zsre._shuffled.cache_clear()
    train_file(copies, [record(i, alt="") for i in range(50)])
    with pytest.raises(InvalidInput, match="no usable record for edit_batch=0 in zsre_mend_train"):
        paper(0, source=copies)


def test_tuning_takes_the_five_slices_after_the_authors(copies: Path) -> None:
    records = [record(i) for i in range(760)]
    train_file(copies, records)
    edits = paper(2, "validation", copies).edits
    assert [edit.prompt for edit in edits] == [entry["src"] for entry in authors_slice(records, 13)]


def test_without_the_train_file_the_edits_are_those_of_before(copies: Path) -> None:
    """EasyEdit's file of 10,000 has another order, and is not read."""
    before = paper(2, source=copies)
    (copies / "zsre_mend_train_10000.json").write_text(json.dumps([record(i) for i in range(999)]))
    zsre._shuffled.cache_clear()
    after = paper(2, source=copies)
    assert dict(after.sources)["edits"] == "zsre_mend_eval.json"
    assert after.identity("edits") == before.identity("edits")


def test_an_unreadable_train_file_is_named(copies: Path) -> None:
    (copies / zsre.TRAIN).write_text("no JSON")
    with pytest.raises(InvalidInput, match=rf"cannot read zsRE: tried {copies}/{zsre.TRAIN}: "):
        paper(0, source=copies)
