import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from interventions.data.testbed import MODEL
from interventions.lm import LM
from tracking.checkpoints.store import Checkpoints

SPENT = Cost(1.5, 0.25)


def test_a_checkpoint_comes_back_as_it_was(lm: LM, tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    assert kept.load("a", "float32", "cpu") is None
    kept.save("a", lm, SPENT)
    loaded = kept.load("a", "float32", "cpu")
    assert loaded is not None
    assert loaded[0].fingerprint() == lm.fingerprint()
    assert loaded[1] == SPENT == kept.spent("a")
    kept.save("a", lm, SPENT)  # once more is no error


def test_a_half_written_checkpoint_is_never_found(
    lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoints(tmp_path)

    def cut_off(folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError("Input/output error")

    monkeypatch.setattr(lm, "save", cut_off)
    with pytest.raises(OSError, match="Input/output"):
        kept.save("a", lm, SPENT)
    assert "a" not in kept
    assert {path.name for path in tmp_path.iterdir()} == {"scores", "locks"}


def test_a_flipped_byte_is_found_and_the_checkpoint_dropped(lm: LM, tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save("a", lm, SPENT)
    flip(kept.path("a") / "model.safetensors")
    with pytest.warns(UserWarning, match="checkpoint a is damaged .*computed again"):
        assert kept.load("a", "float32", "cpu") is None
    assert "a" not in kept


def flip(path: Path) -> None:
    """Change the last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_damaged_value_is_measured_again(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save_scores("a", ["ppl", 1], Scores(1.0, 0.5, {"x": 2.5}), SPENT)
    (path,) = (tmp_path / "scores").iterdir()
    flip(path)
    with pytest.warns(UserWarning, match="is damaged: measured again"):
        assert kept.load_scores("a", ["ppl", 1]) is None


def test_what_is_pinned_stays_and_what_was_goes_first(lm: LM, tmp_path: Path) -> None:
    size = (MODEL / "model.safetensors").stat().st_size / 2**30
    kept = Checkpoints(tmp_path, limit_gib=2.5 * size)
    kept.pin("a")
    for key in "abc":
        kept.save(key, lm, SPENT)
    assert [key for key in "abc" if key in kept] == ["a", "c"]
    kept.load("a", "float32", "cpu")  # used last
    kept.unpin("a")
    kept.save("d", lm, SPENT)
    assert [key for key in "abcd" if key in kept] == ["c", "d"]


def test_two_processes_that_want_the_same_take_turns(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tracking.checkpoints import Checkpoints\n"
        "with Checkpoints(Path(sys.argv[1])).claim('a') as waited: print(waited, flush=True); time.sleep(2)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout and other.stdout.readline() == "False\n"
    kept = Checkpoints(tmp_path)
    with kept.claim("b") as waited:
        assert not waited
    with kept.claim("a") as waited:
        assert waited
    other.wait()
    other.stdout.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for one checkpoint and a half."""
    size = sum(file.stat().st_size for file in MODEL.iterdir())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={int(1.5 * size)}", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_on_a_full_disk_the_unused_makes_room_and_else_work_goes_on_without_keeping(
    lm: LM, small_disk: Path
) -> None:
    kept = Checkpoints(small_disk)
    kept.save("a", lm, SPENT)
    assert kept.save("b", lm, SPENT) == kept.path("b")
    assert "a" not in kept
    kept.pin("b")
    with pytest.warns(UserWarning, match="no room in .* for checkpoint c: going on without it"):
        assert kept.save("c", lm, SPENT) is None
    assert "b" in kept and "c" not in kept and kept.sound("b")
    with suppress(OSError), (small_disk / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(2**12))
            filler.flush()
    with pytest.warns(UserWarning, match="no room in .* for a value"):
        kept.save_value("b", ["x"], list(range(10**5)))
    with kept.claim("c") as waited:
        assert not waited
    assert kept.load_value("b", ["x"]) is None


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
