"""What a killed process left in a cache, and all that counts in its size."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interventions.aside import whole_folder
from interventions.composition import digest
from interventions.criteria.cost import Cost
from interventions.data.testbed import MODEL
from interventions.lm import LM
from tracking.checkpoints.integrity import MANIFEST
from tracking.checkpoints.store import Checkpoints

KEY, OTHER = digest("one"), digest("two")
SIZE = (MODEL / "model.safetensors").stat().st_size

KILLED_IN_EVICTION = """
import os, shutil, signal, sys
from pathlib import Path
from tracking.checkpoints.store import Checkpoints

def killed(path, ignore_errors):
    (Path(path) / "manifest.json").unlink()
    os.kill(os.getpid(), signal.SIGKILL)

shutil.rmtree = killed
Checkpoints(Path(sys.argv[1]), limit_gib=0)._make_room("", 0.0)
"""


def test_a_process_that_is_killed_while_it_evicts_leaves_nothing_under_the_key(
    lm: LM, tmp_path: Path
) -> None:
    Checkpoints(tmp_path).save(KEY, lm, Cost())
    subprocess.run([sys.executable, "-c", KILLED_IN_EVICTION, str(tmp_path)], check=False)
    assert not (tmp_path / KEY).exists() and list(tmp_path.glob(".removing-*/model.safetensors"))
    Checkpoints(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"locks"}


def test_a_checkpoint_without_a_manifest_goes_when_the_cache_is_opened(
    lm: LM, tmp_path: Path
) -> None:
    """As an earlier version left it that was killed while it dropped one."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(KEY, lm, Cost())
    (tmp_path / KEY / MANIFEST).unlink()
    for name in ("studies", "notes", KEY[:-1]):
        (tmp_path / name).mkdir()
    (tmp_path / OTHER).symlink_to(tmp_path / "notes")
    again = Checkpoints(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"locks", "studies", "notes", KEY[:-1], OTHER}
    again.save(KEY, lm, Cost())
    assert again.is_sound(KEY)


def test_what_is_left_of_a_checkpoint_is_no_obstacle_and_the_first_to_go(
    lm: LM, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=1.5 * SIZE / 2**30)
    for key in (KEY, OTHER):
        (tmp_path / key).mkdir()
        (tmp_path / key / "model.safetensors").write_bytes(b"0" * (SIZE // 2 + 1))
    checkpoints.save(KEY, lm, Cost())
    assert checkpoints.is_sound(KEY) and not (tmp_path / OTHER).exists()


def test_what_is_being_written_counts_and_second_names_do_not(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=2.5 * SIZE / 2**30)
    checkpoints.save("a", lm, Cost())
    os.utime(checkpoints.path("a"), (1, 1))
    with checkpoints.held("a"):
        checkpoints.save("b", lm, Cost())
        assert "a" in checkpoints and "b" in checkpoints
    os.utime(checkpoints.path("a"), (1, 1))
    with whole_folder(tmp_path / "writing") as elsewhere, whole_folder(tmp_path) as aside:
        for folder in (elsewhere, aside):
            (folder / "half").write_bytes(b"0" * SIZE)
        checkpoints._make_room("b", checkpoints.limit_bytes)
        assert "a" not in checkpoints and "b" in checkpoints


@pytest.mark.parametrize("name", ["scores", "statistics", "requests", "items", ""])
def test_half_written_files_of_a_killed_process_go_when_the_cache_is_opened(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name / ".writing-abc").mkdir(parents=True)
    (tmp_path / name / ".writing-abc" / "half.json").write_text("{")
    Checkpoints(tmp_path)
    assert not (tmp_path / name / ".writing-abc").exists()
