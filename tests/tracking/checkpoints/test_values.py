"""Scores and other values that were measured on a checkpoint."""

import errno
import math
import re
from pathlib import Path

import pytest

from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from tests.tracking.checkpoints.damage import flip_last_byte
from tracking.checkpoints import values as values_module
from tracking.checkpoints.values import MeasuredValues

SPENT = Cost(1.5, 0.25)
IDENTITY = ["ppl", 1, {"test_text": "abc"}]


@pytest.fixture
def values(tmp_path: Path) -> MeasuredValues:
    return MeasuredValues(tmp_path / "scores")


def test_scores_come_back_exactly(values: MeasuredValues) -> None:
    scores = Scores(math.inf, 0.1 + 0.2, {"x": 1 / 3, "y": math.inf})
    assert values.load_scores("a", IDENTITY) is None
    values.save_scores("a", IDENTITY, scores, SPENT)
    assert values.load_scores("a", IDENTITY) == (scores, SPENT)


def test_an_undefined_standard_error_comes_back(values: MeasuredValues) -> None:
    values.save_scores("a", IDENTITY, Scores(1.0, math.nan, {}), SPENT)
    loaded = values.load_scores("a", IDENTITY)
    assert loaded is not None and math.isnan(loaded[0].stderr)


def test_what_is_written_is_strict_json(values: MeasuredValues) -> None:
    scores = Scores(math.inf, math.nan, {"x": math.inf})
    values.save_scores("a", IDENTITY, scores, SPENT)
    (path,) = values.folder.iterdir()
    assert not {"Infinity", "NaN"} & set(re.findall(r"\w+", path.read_text()))


@pytest.mark.parametrize(
    ("key", "identity"),
    [
        ("b", IDENTITY),
        ("a", ["wmdp", *IDENTITY[1:]]),
        ("a", ["ppl", 2, {"test_text": "abc"}]),
        ("a", ["ppl", 1, {"test_text": "another"}]),
        ("a", ["ppl", 1, {}]),
    ],
)
def test_a_value_belongs_to_a_checkpoint_and_all_of_an_identity(
    key: str, identity: list[object], values: MeasuredValues
) -> None:
    values.save("a", IDENTITY, 0.5)
    assert values.load("a", list(IDENTITY)) == 0.5
    assert values.load(key, identity) is None


def test_a_value_is_replaced_by_a_newer_one(values: MeasuredValues) -> None:
    values.save("a", IDENTITY, 0.5)
    values.save("a", IDENTITY, ["text"])
    assert values.load("a", IDENTITY) == ["text"]
    assert len(list(values.folder.iterdir())) == 1


def test_a_damaged_value_is_measured_again(values: MeasuredValues) -> None:
    values.save_scores("a", IDENTITY, Scores(1.0, 0.5, {"x": 2.5}), SPENT)
    (path,) = values.folder.iterdir()
    flip_last_byte(path)
    with pytest.warns(UserWarning, match="is damaged: measured again"):
        assert values.load_scores("a", IDENTITY) is None
    path.write_bytes(b"\xff")
    with pytest.warns(UserWarning, match="is damaged: measured again"):
        assert values.load("a", IDENTITY) is None


def test_on_a_full_disk_a_value_is_not_stored_other_errors_are_raised(
    values: MeasuredValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(number: int) -> None:
        def write(path: Path, text: str) -> None:
            raise OSError(number, "no luck")

        monkeypatch.setattr(values_module, "write_whole", write)

    failing(errno.ENOSPC)
    with pytest.warns(UserWarning, match="no room in .* for a value: going on without it"):
        values.save("a", IDENTITY, 0.5)
    failing(errno.EACCES)
    with pytest.raises(OSError, match="no luck"):
        values.save("a", IDENTITY, 0.5)
