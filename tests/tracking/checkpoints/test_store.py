"""Checkpoints on disk: whole or not at all, verified, within a size."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from interventions.criteria.cost import Cost
from interventions.data.testbed import MODEL
from interventions.lm import LM
from tests.tracking.checkpoints.damage import flip_last_byte
from tracking.checkpoints.eviction import _known_sizes
from tracking.checkpoints.integrity import damaged_files
from tracking.checkpoints.store import Checkpoints

SPENT = Cost(1.5, 0.25)
SIZE_GIB = (MODEL / "model.safetensors").stat().st_size / 2**30


def stored(checkpoints: Checkpoints, keys: str) -> str:
    return "".join(key for key in keys if key in checkpoints)


def use_at(checkpoints: Checkpoints, key: str, seconds_ago: float) -> None:
    """Say that a checkpoint was used last at some time."""
    moment = time.time() - seconds_ago
    os.utime(checkpoints.path(key), (moment, moment))


def test_a_checkpoint_comes_back_as_it_was(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load("a", "float32", "cpu") is None
    assert checkpoints.cost("a") is None
    assert checkpoints.save("a", lm, SPENT) == checkpoints.path("a")
    loaded = checkpoints.load("a", "float32", "cpu")
    assert loaded is not None
    assert loaded[0].fingerprint() == lm.fingerprint()
    assert loaded[1] == SPENT == checkpoints.cost("a")
    checkpoints.save("a", lm, SPENT)  # once more is no error


def test_a_manifest_lists_its_files_by_name(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("a", lm, SPENT)
    names = list(json.loads((checkpoints.path("a") / "manifest.json").read_text())["sha256"])
    assert len(names) > 3 and names == sorted(names)


def test_a_half_written_checkpoint_is_never_found(
    lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)

    def cut_off(folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError("Input/output error")

    monkeypatch.setattr(lm, "save", cut_off)
    with pytest.warns(UserWarning, match=r"Input/output error in .* for checkpoint a: going on"):
        assert checkpoints.save("a", lm, SPENT) is None
    assert "a" not in checkpoints
    assert {path.name for path in tmp_path.iterdir()} == {"locks"}


def test_a_flipped_byte_is_found_and_the_checkpoint_dropped(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("a", lm, SPENT)
    flip_last_byte(checkpoints.path("a") / "model.safetensors")
    with pytest.warns(UserWarning, match=r"checkpoint a is damaged \(model.* computed again"):
        assert checkpoints.load("a", "float32", "cpu") is None
    assert not checkpoints.path("a").exists()


def restored_copy(checkpoints: Checkpoints, folder: Path, tmp_path: Path) -> Path:
    return checkpoints.add_restored(Path(shutil.copytree(folder, tmp_path / "aside")))


def test_a_restored_checkpoint_never_gets_a_key(lm: LM, tmp_path: Path) -> None:
    checkpoints, elsewhere = Checkpoints(tmp_path / "one"), Checkpoints(tmp_path / "two")
    folder = elsewhere.save("a", lm, SPENT)
    assert folder is not None
    stored = restored_copy(checkpoints, folder, tmp_path)
    assert "a" not in checkpoints and stored.name.startswith("restored-")
    assert damaged_files(stored) == [] and not (tmp_path / "aside").exists()
    assert restored_copy(checkpoints, folder, tmp_path) == stored  # another process was first
    shutil.rmtree(tmp_path / "aside")
    flip_last_byte(stored / "model.safetensors")
    assert restored_copy(checkpoints, folder, tmp_path) == stored
    assert damaged_files(stored) == []


def test_a_restored_checkpoint_counts_and_goes_when_room_is_needed(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "one", limit_gib=1.5 * SIZE_GIB)
    folder = Checkpoints(tmp_path / "two").save("a", lm, SPENT)
    assert folder is not None
    checkpoints.save("b", lm, SPENT)
    stored = restored_copy(checkpoints, folder, tmp_path)
    assert "b" not in checkpoints and stored.exists()
    checkpoints.save("c", lm, SPENT)
    assert "c" in checkpoints and not stored.exists()


def test_a_checkpoint_under_the_key_of_another_is_dropped(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("a", lm, SPENT)
    shutil.copytree(checkpoints.path("a"), checkpoints.path("b"))
    with pytest.warns(UserWarning, match=r"checkpoint b is damaged \(its manifest is that of 'a'"):
        assert checkpoints.load("b", "float32", "cpu") is None
    assert "b" not in checkpoints and "a" in checkpoints


@pytest.mark.parametrize("name", ["adapter_config.json", "modeling_x.py"])
def test_a_checkpoint_with_a_foreign_file_is_dropped(name: str, lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("a", lm, SPENT)
    (checkpoints.path("a") / name).write_text("{}")
    with pytest.warns(UserWarning, match=f"damaged .'{name}' does not belong to it.: computed"):
        assert checkpoints.load("a", "float32", "cpu") is None
    assert "a" not in checkpoints


def test_a_link_planted_under_a_key_gives_way_and_its_target_stays(lm: LM, tmp_path: Path) -> None:
    checkpoints, elsewhere = Checkpoints(tmp_path / "one"), Checkpoints(tmp_path / "two")
    target = elsewhere.save("a", lm, SPENT)
    assert target is not None
    checkpoints.path("a").symlink_to(target)
    with pytest.warns(UserWarning, match=r"checkpoint a is damaged \(a is a link\)"):
        assert not checkpoints.is_sound("a")
    checkpoints.path("a").symlink_to(tmp_path / "nowhere")
    checkpoints.save("a", lm, SPENT)
    assert checkpoints.is_sound("a") and not checkpoints.path("a").is_symlink()
    (checkpoints.path("b") / "sub").mkdir(parents=True)  # no checkpoint, but in the way
    checkpoints.save("b", lm, SPENT)
    assert checkpoints.is_sound("b") and elsewhere.is_sound("a")


def test_what_is_planted_in_a_checkpoint_does_not_keep_others_from_being_stored(
    lm: LM, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=1.5 * SIZE_GIB)
    checkpoints.save("a", lm, SPENT)
    (checkpoints.path("a") / "link").symlink_to(tmp_path / "nowhere")
    _known_sizes.clear()  # as another process knows none
    checkpoints.save("b", lm, SPENT)
    assert stored(checkpoints, "ab") == "b"


@pytest.mark.parametrize("spent", ["3", "[]", '{"seconds": "x", "peak_gib": 1}', '{"other": 1}'])
def test_a_cost_of_another_form_is_unknown(spent: str, lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("a", lm, SPENT)
    manifest = checkpoints.path("a") / "manifest.json"
    record = json.loads(manifest.read_text())
    manifest.chmod(0o600)  # a checkpoint's files are read-only
    manifest.write_text(json.dumps({**record, "spent": json.loads(spent)}))
    assert checkpoints.cost("a") is None and checkpoints.load("a", "float32", "cpu") is None


def test_a_link_planted_as_a_lock_does_not_touch_what_it_points_at(tmp_path: Path) -> None:
    checkpoints, foreign = Checkpoints(tmp_path / "cache"), tmp_path / "foreign.txt"
    foreign.write_text("of somebody else")
    (tmp_path / "cache" / "locks" / "a.lock").symlink_to(foreign)
    with checkpoints.claim("a") as waited:
        assert not waited
    assert foreign.read_text() == "of somebody else"


# within a size


def test_statistics_count_in_the_size_and_go_in_their_turn(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=2.7 * SIZE_GIB)
    old, new = (tmp_path / "statistics" / f"{name}.safetensors" for name in ("old", "new"))
    old.parent.mkdir()
    for file in (old, new):
        file.write_bytes(b"0" * int(0.4 * SIZE_GIB * 2**30))
    os.utime(old, (1, 1))
    checkpoints.save("a", lm, Cost())
    assert old.exists() and new.exists()
    checkpoints.save("b", lm, Cost())
    assert (
        not old.exists()
        and new.exists()
        and {"a", "b"} <= {path.name for path in tmp_path.iterdir()}
    )


def test_the_checkpoints_used_longest_ago_go_first(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=3.5 * SIZE_GIB)
    for key, seconds_ago in (("a", 100), ("b", 300), ("c", 200)):
        checkpoints.save(key, lm, SPENT)
        use_at(checkpoints, key, seconds_ago)
    checkpoints.save("d", lm, SPENT)
    assert stored(checkpoints, "abcd") == "acd"
    use_at(checkpoints, "d", 50)
    checkpoints.save("e", lm, SPENT)
    assert stored(checkpoints, "abcde") == "ade"


def test_loading_a_checkpoint_counts_as_use(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=2.5 * SIZE_GIB)
    for key, seconds_ago in (("a", 200), ("b", 100)):
        checkpoints.save(key, lm, SPENT)
        use_at(checkpoints, key, seconds_ago)
    assert checkpoints.load("a", "float32", "cpu")
    checkpoints.save("c", lm, SPENT)
    assert stored(checkpoints, "abc") == "ac"


def test_no_more_goes_than_has_to(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=3.5 * SIZE_GIB)
    for key, seconds_ago in (("a", 300), ("b", 200), ("c", 100)):
        checkpoints.save(key, lm, SPENT)
        use_at(checkpoints, key, seconds_ago)
    assert stored(checkpoints, "abc") == "abc"
    checkpoints.save("d", lm, SPENT)
    assert stored(checkpoints, "abcd") == "bcd"


def test_the_newest_checkpoint_stays_however_small_the_limit(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=0.5 * SIZE_GIB)
    checkpoints.save("a", lm, SPENT)
    assert "a" in checkpoints


def test_what_is_pinned_stays_and_what_is_unpinned_goes_first(lm: LM, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, limit_gib=2.5 * SIZE_GIB)
    checkpoints.pin("a")
    for key in "abc":
        checkpoints.save(key, lm, SPENT)
    assert stored(checkpoints, "abc") == "ac"
    checkpoints.load("a", "float32", "cpu")  # used last
    checkpoints.unpin("ax")
    checkpoints.save("d", lm, SPENT)
    assert stored(checkpoints, "abcd") == "cd"


def test_the_environment_sets_folder_and_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSABILITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COMPOSABILITY_CACHE_GIB", raising=False)
    assert Checkpoints().folder == tmp_path / "cache"
    assert Checkpoints().limit_bytes == 10 * 2**30
    monkeypatch.setenv("COMPOSABILITY_CACHE_GIB", "0.5")
    assert Checkpoints().limit_bytes == 2**29
    assert Checkpoints(limit_gib=2).limit_bytes == 2**31


# several processes, a full disk


def test_two_processes_that_want_the_same_take_turns(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tracking.checkpoints import Checkpoints\n"
        "with Checkpoints(Path(sys.argv[1])).claim('a') as waited:\n"
        "    print(waited, flush=True); time.sleep(2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "False\n"
    checkpoints = Checkpoints(tmp_path)
    with checkpoints.claim("b") as waited:
        assert not waited
    with checkpoints.claim("a") as waited:
        assert waited
    process.wait()
    process.stdout.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for one checkpoint and a half."""
    size = sum(file.stat().st_size for file in MODEL.iterdir())
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"mode=700,size={int(1.5 * size)}",
        "tmpfs",
        str(tmp_path),
    ]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_on_a_full_disk_the_unused_makes_room_and_else_work_goes_on_without_storing(
    lm: LM, small_disk: Path
) -> None:
    checkpoints = Checkpoints(small_disk)
    checkpoints.save("a", lm, SPENT)
    assert checkpoints.save("b", lm, SPENT) == checkpoints.path("b")
    assert "a" not in checkpoints
    checkpoints.pin("b")
    with pytest.warns(UserWarning, match=r"no room in .* for checkpoint c: going on without it"):
        assert checkpoints.save("c", lm, SPENT) is None
    assert "b" in checkpoints and "c" not in checkpoints and checkpoints.is_sound("b")
    with suppress(OSError), (small_disk / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(2**12))
            filler.flush()
    with pytest.warns(UserWarning, match=r"no room in .* for a value"):
        checkpoints.values.save("b", ["x"], list(range(10**5)))
    with checkpoints.claim("c") as waited:
        assert not waited
    assert checkpoints.values.load("b", ["x"]) is None
