"""What a criterion's value depends on, and on which data it is measured."""

from typing import Any

import pytest

from interventions.criteria.criterion import Criterion
from interventions.criteria.scores import Scores
from interventions.criteria.sharing import measuring


class Parts:
    """Data with some parts, whose identities are their names in capitals."""

    def __init__(self, parts: str, limit: int, windows: dict[str, int]) -> None:
        self.parts, self.limit, self.changed_windows = parts.split(), limit, windows

    def has(self, part: str) -> bool:
        return part in self.parts

    def identity(self, part: str) -> str:
        return part.upper()


def criterion(reads: str, *needs: str) -> Criterion:
    def measure(lm: Any, data: Any) -> Scores:
        return next(lm)

    return Criterion("shine", "higher", "share", 3, frozenset(reads.split()), measure, needs=needs)


@pytest.mark.parametrize(
    ("reads", "limit", "windows", "expected"),
    [
        ("window edits", 0, {}, [{"edits": "EDITS", "window": "WINDOW"}]),
        ("edits", 5, {"stride": 2}, [{"edits": "EDITS"}, {"limit": 5}]),
        ("window", 5, {"stride": 2}, [{"window": "WINDOW"}, {"stride": 2}, {"limit": 5}]),
        # of the weights alone: no sample
        ("", 5, {"stride": 2}, [{}]),
    ],
)
def test_a_value_depends_on_the_parts_that_are_read_a_sample_and_other_windows(
    reads: str, limit: int, windows: dict[str, int], expected: list[Any]
) -> None:
    data: Any = Parts("edits window", limit, windows)
    identity = criterion(reads).identity(data)
    assert identity == ["shine", 3, *expected]
    assert list(identity[2]) == sorted(identity[2])


def test_a_criterion_applies_to_data_that_have_what_it_reads_and_needs() -> None:
    data: Any = Parts("edits", 0, {})
    assert criterion("edits").applies_to(data) and criterion("edits").lacks(data) == []
    lacking = criterion("h g edits f e d c b a", "rephrasings", "edits", "aliases")
    assert not lacking.applies_to(data)
    assert lacking.lacks(data) == [*"abcdefgh", "rephrasings", "aliases"]


def test_a_criterion_is_measured_once_within_a_block() -> None:
    scores = [Scores(float(value), 0, {}) for value in range(3)]
    lm, data = iter(scores), Parts("edits", 0, {})
    measured: Any = criterion("edits")
    with measuring():
        assert [measured(lm, data), measured(lm, data)] == [scores[0], scores[0]]
    assert [measured(lm, data), measured(lm, data)] == scores[1:]
