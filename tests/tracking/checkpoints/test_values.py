"""Scores and other values that were measured on a checkpoint."""

import errno
import hashlib
import math
import os
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


@pytest.mark.parametrize("named", [("b", IDENTITY), ("a", ["wmdp", *IDENTITY[1:]])])
def test_a_file_under_the_name_of_another_is_measured_again(
    named: tuple[str, list[object]], values: MeasuredValues
) -> None:
    """Such as the scores of the unpruned model under the key of the pruned one."""
    values.save_scores("a", IDENTITY, Scores(1.0, 0.5, {"x": 2.5}), SPENT)
    (path,) = values.folder.iterdir()
    values.save(*named, 0.5)
    (target,) = set(values.folder.iterdir()) - {path}
    target.write_bytes(path.read_bytes())
    with pytest.warns(UserWarning, match="is that of another checkpoint or criterion: measured"):
        assert values.load_scores(*named) is None
    assert values.load_scores("a", IDENTITY) is not None


def signed(text: str) -> str:
    """What whoever can write a file can write, its checksum included."""
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def test_a_file_of_an_older_version_is_measured_again_and_says_why(values: MeasuredValues) -> None:
    values.save("a", IDENTITY, 0.5)
    (path,) = values.folder.iterdir()
    for old in ('{"value": 0.5, "stderr": 0.0, "items": {}}', '["answer"]'):
        path.write_text(signed(old))
        with pytest.warns(UserWarning, match="values of an older version do not say"):
            assert values.load("a", IDENTITY) is None
    values.save("a", IDENTITY, 0.25)
    assert values.load("a", IDENTITY) == 0.25


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"value": "x", "stderr": 0, "items": {}, "spent": {}},
        {"value": 0, "stderr": 0, "items": [], "spent": {"seconds": 1, "peak_gib": 1}},
        {"value": 0, "stderr": 0, "items": {}, "spent": {"seconds": 1, "other": 1}},
        {"value": 0, "stderr": 0, "items": {}, "spent": 3},
    ],
)
def test_scores_of_another_form_are_measured_again(value: object, values: MeasuredValues) -> None:
    values.save("a", IDENTITY, value)
    with pytest.warns(UserWarning, match="is damaged: measured again"):
        assert values.load_scores("a", IDENTITY) is None


def test_a_link_a_pipe_or_a_nest_in_the_place_of_a_value_is_measured_again(
    values: MeasuredValues,
) -> None:
    values.save("a", IDENTITY, 0.5)
    (path,) = values.folder.iterdir()
    path.rename(values.folder / "elsewhere")
    path.symlink_to(values.folder / "elsewhere")
    with pytest.warns(UserWarning, match="is damaged: measured again"):
        assert values.load("a", IDENTITY) is None
    path.unlink()
    os.mkfifo(path)
    with pytest.warns(UserWarning, match="is damaged: measured again"):
        assert values.load("a", IDENTITY) is None
    path.unlink()
    path.write_text(signed("[" * 100_000))
    with pytest.warns(UserWarning, match="is damaged: measured again"):
        assert values.load("a", IDENTITY) is None


def test_a_value_that_cannot_be_written_is_not_stored_and_the_work_goes_on(
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
    with pytest.warns(UserWarning, match="no luck in .* for a value: going on without it"):
        values.save("a", IDENTITY, 0.5)
