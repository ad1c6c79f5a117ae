"""zsRE: which records are used, in which order, as what."""

import json
import random
from pathlib import Path

import pytest

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
