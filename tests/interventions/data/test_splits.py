"""What the testbed keeps apart: training texts from scored ones, and the splits from each other."""

import json

import pytest

from interventions.data import testbed as bed
from interventions.options import Split


@pytest.mark.parametrize("split", ["test", "validation"])
@pytest.mark.parametrize("part", ["retain", "calibration", "statistics", "forget"])
def test_nothing_that_is_learned_from_is_scored_for_perplexity(part: str, split: Split) -> None:
    """The authors' retain set is the test split on which perplexity is then measured; not here."""
    data = bed.testbed(split=split)
    learned = {text.strip() for text in getattr(data, part)}
    assert learned and data.test_text
    assert not learned & {text.strip() for text in data.test_text}
    assert not [text for text in learned for scored in data.test_text if scored in text]


def test_the_splits_share_no_edit_locality_prompt_known_fact_question_or_prose() -> None:
    by_split: dict[str, dict[str, set[str]]] = {}
    for split in bed.BATCHES:
        batches = [bed.testbed(i, split) for i in range(bed.BATCHES[split])]
        questions = batches[0].questions
        assert questions.folder and all(batch.questions == questions for batch in batches)
        rows = [
            json.loads(line)["question"]
            for criterion, _ in questions.tasks
            for line in (questions.folder / f"{criterion}.{questions.split}.jsonl")
            .read_text()
            .splitlines()
        ]
        by_split[split] = {
            "edits": {edit.prompt for batch in batches for edit in batch.edits},
            "phrasings": {p for batch in batches for edit in batch.edits for p in edit.rephrasings},
            "facts": {
                f"{e.subject}: {e.original} {e.rephrasings}"
                for batch in batches
                for e in batch.edits
            },
            "locality": {prompt.prompt for batch in batches for prompt in batch.locality},
            "known": {fact.prompt for batch in batches for fact in batch.facts},
            "questions": set(rows),
            "prose": {text for batch in batches for text in batch.test_text},
        }
        assert questions.split == split
        assert len(by_split[split]["edits"]) == 50 * len(batches)
    assert set(by_split) == {"test", "validation"}
    for kind, validation_values in by_split["validation"].items():
        assert validation_values and by_split["test"][kind]
        assert not validation_values & by_split["test"][kind], kind
    assert not by_split["validation"]["locality"] & by_split["test"]["edits"]
