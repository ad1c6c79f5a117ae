from pathlib import Path

import pytest

from interventions.criteria.base import Scores
from interventions.data.testbed import MODEL
from interventions.lm import LM
from tracking.checkpoints import Checkpoints, Spent

SPENT = Spent(1.5, 0.25)


def test_a_checkpoint_comes_back_as_it_was(lm: LM, tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    assert kept.load("a", "float32", "cpu") is None
    kept.save("a", lm, SPENT)
    loaded = kept.load("a", "float32", "cpu")
    assert loaded is not None
    assert loaded[0].fingerprint() == lm.fingerprint()
    assert loaded[1] == SPENT == kept.spent("a")
    kept.save("a", lm, SPENT)  # once more is no error


def test_a_half_written_checkpoint_is_never_found(lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(tmp_path)

    def cut_off(folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(lm, "save", cut_off)
    with pytest.raises(OSError, match="No space"):
        kept.save("a", lm, SPENT)
    assert "a" not in kept
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_a_flipped_byte_is_found_and_the_checkpoint_dropped(lm: LM, tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    weights = kept.save("a", lm, SPENT) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.warns(UserWarning, match="checkpoint a is damaged .*computed again"):
        assert kept.load("a", "float32", "cpu") is None
    assert "a" not in kept


def test_the_checkpoints_used_longest_ago_make_room(lm: LM, tmp_path: Path) -> None:
    size = (MODEL / "model.safetensors").stat().st_size / 2**30
    kept = Checkpoints(tmp_path, limit_gib=2.5 * size)
    for key in "abc":
        kept.save(key, lm, SPENT)
    assert [key for key in "abc" if key in kept] == ["b", "c"]


def test_scores_come_back_exactly(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    scores = Scores(float("inf"), 0.1 + 0.2, {"x": 1 / 3, "y": float("inf")})
    assert kept.load_scores("a", ["ppl", 1]) is None
    kept.save_scores("a", ["ppl", 1], scores, SPENT)
    assert kept.load_scores("a", ["ppl", 1]) == (scores, SPENT)
    assert kept.load_scores("a", ["ppl", 2]) is None  # another version
