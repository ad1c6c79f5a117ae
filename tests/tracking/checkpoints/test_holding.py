"""Checkpoints that are logged from a cache with little room, and what they share with artifacts."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from interventions.composition import Composition
from interventions.criteria.cost import Cost
from interventions.data.testbed import MODEL
from interventions.files import set_read_only
from interventions.lm import LM
from tests.tracking.checkpoints.damage import flip_last_byte
from tests.tracking.checkpoints.test_restore import logged
from tracking import schema
from tracking.chain import Chain
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.holding import HeldCheckpoints
from tracking.checkpoints.integrity import damaged_files, sha256
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext
from tracking.run import run
from tracking.settings import Settings

STEPS = "magnitude(sparsity=0.5) | rtn"
SIZE_GIB = (MODEL / "model.safetensors").stat().st_size / 2**30


def run_quickly(cache: Checkpoints, policy: str, steps: str = STEPS) -> str:
    return run(steps, checkpoints=policy, criteria="sparsity", cache=cache)


def is_linked(path: Path, other: Path) -> bool:
    return os.path.samefile(path, other)


def test_what_changed_is_logged_from_a_cache_without_room_for_two_checkpoints(
    local_store: str, tmp_path: Path
) -> None:
    """A step's checkpoint took the place of the one before, from which it is told apart."""
    cache = Checkpoints(tmp_path / "cache", limit_gib=1.5 * SIZE_GIB)
    run_id = run_quickly(cache, "changed", f"{STEPS} | wanda(sparsity=0.6)")
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"
    for step, name in ((1, "magnitude"), (2, "rtn"), (3, "wanda")):
        assert (logged(run_id) / f"{step}-{name}" / "changes.json").exists()
        whole = load_checkpoint(run_id, step, tmp_path / str(step), Checkpoints(tmp_path / "two"))
        assert damaged_files(whole) == []
    size = sum(file.stat().st_size for file in cache.folder.glob("*/model.safetensors"))
    assert size <= 1.5 * SIZE_GIB * 2**30
    assert not list(cache.folder.glob(".writing-*"))


def test_no_step_is_applied_and_no_model_loaded_twice_for_what_it_changed(
    local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[int] = []
    loaded: list[object] = []
    real, real_load = Chain._apply, LM.load

    def noted(self: Chain, j: int) -> None:
        applied.append(j)
        real(self, j)

    def noted_load(source: str | Path, *arguments: Any, **options: Any) -> LM:
        loaded.append(source)
        return real_load(source, *arguments, **options)

    monkeypatch.setattr(Chain, "_apply", noted)
    monkeypatch.setattr(LM, "load", noted_load)
    run_quickly(Checkpoints(tmp_path / "cache", limit_gib=1.5 * SIZE_GIB), "changed")
    assert applied == [1, 2] and loaded == [str(MODEL)]


def test_a_checkpoint_above_the_bound_is_said_once_before_the_run_which_works(
    local_store: str, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path / "cache", limit_gib=0.5 * SIZE_GIB)
    with pytest.warns(UserWarning) as warned:
        run_id = run_quickly(cache, "changed")
        again = run_quickly(cache, "all")
    texts = [str(warning.message) for warning in warned if "bound" in str(warning.message)]
    assert len(texts) == 1
    sizes = re.search(r"has ([\d.]+) GiB, over the cache's bound of ([\d.]+) GiB", texts[0])
    assert sizes is not None and "(COMPOSABILITY_CACHE_GIB)" in texts[0]
    expected = (SIZE_GIB, 0.5 * SIZE_GIB)
    assert tuple(map(float, sizes.groups())) == pytest.approx(expected, abs=1e-5)
    for each in (run_id, again):
        assert MlflowClient().get_run(each).info.status == "FINISHED"
        folder = load_checkpoint(each, 2, tmp_path / each, Checkpoints(tmp_path / "two"))
        assert damaged_files(folder) == []
    enough = Checkpoints(tmp_path / "cache", limit_gib=1.5 * SIZE_GIB)
    run_quickly(enough, "none", "rtn")  # a warning would be an error


def test_a_held_checkpoint_survives_another_process_that_makes_room(
    local_store: str, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path / "cache")
    plan = RunContext(Settings(criteria="sparsity"))
    chain = Chain(plan.plan(Composition.parse("magnitude")), cache)
    with HeldCheckpoints(chain) as held:
        folder = held.folder(1)
        Checkpoints(tmp_path / "cache", limit_gib=0)._make_room("", 0.0)
        assert chain.keys[1] not in cache and damaged_files(folder) == []
        assert held.folder(1) == folder
    assert not folder.exists()


# one file, two names


def test_an_artifact_is_the_caches_file_and_neither_is_to_be_written_to(
    local_store: str, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path / "cache")
    run_id = run_quickly(cache, "none")
    key = MlflowClient().get_run(run_id).data.tags[schema.KEY]
    set_read_only(cache.path(key), read_only=False)  # as a version of before wrote them
    run_id = run_quickly(cache, "last")
    stored, artifact = cache.path(key), logged(run_id) / "2-rtn"
    assert {path.name for path in stored.iterdir()} == {path.name for path in artifact.iterdir()}
    for path in stored.iterdir():
        assert is_linked(path, artifact / path.name)
        assert path.stat().st_mode & 0o222 == 0
    restored = load_checkpoint(run_id, 2, tmp_path / "restored", cache)
    weights = restored / "model.safetensors"
    assert weights.stat().st_mode & 0o200  # it is the user's
    assert not is_linked(weights, stored / weights.name)
    shutil.rmtree(artifact)  # as `mlflow gc` does
    assert cache.is_sound(key)


def test_damage_to_an_artifact_is_noticed_by_either_name(local_store: str, tmp_path: Path) -> None:
    cache = Checkpoints(tmp_path / "cache")
    run_id = run_quickly(cache, "all")
    key = MlflowClient().get_run(run_id).data.tags[schema.KEY]
    artifact = logged(run_id) / "2-rtn" / "model.safetensors"
    flip_last_byte(artifact, in_place=True)
    with pytest.warns(UserWarning, match="is damaged"):
        assert cache.load(key, "float32", "cpu") is None
    with pytest.warns(UserWarning, match="is damaged"):
        load_checkpoint(run_id, 2, tmp_path / "restored", Checkpoints(tmp_path / "two"))
    # what is computed again is a file of its own, which the damaged artifact is nothing to
    again = run_quickly(cache, "all")
    assert sha256(artifact) != sha256(logged(again) / "2-rtn" / artifact.name)
    assert damaged_files(logged(again) / "2-rtn") == []


def test_what_is_dropped_from_the_cache_stays_among_the_artifacts(
    local_store: str, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path / "cache")
    run_id = run_quickly(cache, "all")
    cache._make_room("", 0.0)
    assert not list(cache.folder.glob("*/model.safetensors"))
    assert damaged_files(logged(run_id) / "2-rtn") == []


def test_where_there_are_no_links_files_are_copied(
    local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*names: object, **options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    cache = Checkpoints(tmp_path / "cache", limit_gib=1.5 * SIZE_GIB)
    run_id = run_quickly(cache, "changed")
    assert damaged_files(load_checkpoint(run_id, 2, tmp_path / "two", cache)) == []
    run_id = run_quickly(cache, "all")
    artifact = logged(run_id) / "1-magnitude"
    assert damaged_files(artifact) == []
    assert all(path.stat().st_mode & 0o222 == 0 for path in artifact.iterdir())


def test_a_checkpoint_that_this_process_has_written_is_hashed_once(
    lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = sha256

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return real(path)

    monkeypatch.setattr("tracking.checkpoints.writing.sha256", counted)
    monkeypatch.setattr("tracking.checkpoints.integrity.sha256", counted)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("a", lm, Cost(1.0, 1.0))
    assert "model.safetensors" not in hashed and "config.json" in hashed  # while it was written
    hashed.clear()
    with checkpoints.held("a"):
        assert checkpoints.is_sound("a", again=False) and not hashed
    assert checkpoints.is_sound("a", again=False) and not hashed
    assert checkpoints.load("a", "float32", "cpu") and "model.safetensors" in hashed
    flip_last_byte(checkpoints.path("a") / "config.json")
    with pytest.warns(UserWarning, match="is damaged"):
        assert not checkpoints.is_sound("a", again=False)
