"""A cache that can only be read, and one in which nothing can be kept for other reasons."""

import errno
import os
from pathlib import Path

import pytest
from mlflow import MlflowClient

from interventions.criteria.cost import Cost
from interventions.errors import InvalidInput
from interventions.files import set_read_only
from interventions.lm import LM
from tests.tracking.checkpoints.damage import flip_last_byte
from tests.tracking.checkpoints.read_only import read_only
from tests.tracking.checkpoints.test_holding import STEPS, run_quickly
from tests.tracking.checkpoints.test_restore import logged
from tracking.chain import Chain
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.integrity import damaged_files
from tracking.checkpoints.store import Checkpoints


@pytest.mark.filterwarnings("ignore:.*going on without it")
@pytest.mark.parametrize("policy", ["all", "changed"])
def test_a_cache_that_can_only_be_read_serves_and_what_is_new_is_computed(
    policy: str, local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_quickly(Checkpoints(tmp_path / "cache"), "none", "magnitude(sparsity=0.5)")
    applied: list[int] = []
    real = Chain._apply

    def noted(self: Chain, j: int) -> None:
        applied.append(j)
        real(self, j)

    monkeypatch.setattr(Chain, "_apply", noted)
    with read_only(tmp_path / "cache"):
        before = sorted((tmp_path / "cache").rglob("*"))
        with pytest.warns(UserWarning, match="can only be read: what is in it is used"):
            cache = Checkpoints(tmp_path / "cache")
        run_id = run_quickly(cache, policy, STEPS)
        assert set(applied) == {2}
        assert MlflowClient().get_run(run_id).info.status == "FINISHED"
        assert sorted((tmp_path / "cache").rglob("*")) == before
        for step in (1, 2):
            folder = load_checkpoint(run_id, step, tmp_path / str(step), cache)
            assert damaged_files(folder) == []
        with pytest.raises(InvalidInput, match=r"Read-only file system|Permission denied"):
            load_checkpoint(run_id, 2, checkpoints=cache)


def test_what_is_damaged_in_a_cache_that_can_only_be_read_is_not_logged(
    local_store: str, tmp_path: Path
) -> None:
    run_quickly(Checkpoints(tmp_path / "cache"), "none", "magnitude(sparsity=0.5)")
    (weights,) = (tmp_path / "cache").glob("*/model.safetensors")
    flip_last_byte(weights)
    with read_only(tmp_path / "cache"):
        with pytest.warns(UserWarning, match=r"can only be read|is damaged"):
            cache = Checkpoints(tmp_path / "cache")
            run_id = run_quickly(cache, "all", "magnitude(sparsity=0.5)")
        assert damaged_files(logged(run_id) / "1-magnitude") == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ENOSPC])
@pytest.mark.filterwarnings("ignore:.*going on without it")
def test_whatever_goes_wrong_while_something_is_kept_costs_only_the_keeping(
    number: int, local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Checkpoints(tmp_path / "cache")

    def failing(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tracking.checkpoints.store.write_checkpoint", failing)
    monkeypatch.setattr("tracking.checkpoints.values.write_whole", failing)
    monkeypatch.setattr("tracking.checkpoints.store.file_lock", failing)
    monkeypatch.setattr("interventions.editing.second_moments.whole_file", failing)
    run_id = run_quickly(cache, "all", "magnitude(sparsity=0.5)")
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"
    assert damaged_files(logged(run_id) / "1-magnitude") == []
    assert not list(cache.folder.glob("*/model.safetensors"))


def test_an_error_that_is_none_of_the_disks_is_raised(
    lm: LM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        raise ValueError("no such format")

    monkeypatch.setattr(lm, "save", broken)
    with pytest.raises(ValueError, match="no such format"):
        Checkpoints(tmp_path).save("a", lm, Cost())


@pytest.mark.parametrize("limit_gib", [0.0, 0.001])
def test_a_cache_smaller_than_a_checkpoint_works_and_says_so(
    limit_gib: float, local_store: str, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path / "cache", limit_gib)
    with pytest.warns(UserWarning, match="over the cache's bound of"):
        run_id = run_quickly(cache, "changed")
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"
    assert len(list(cache.folder.glob("*/model.safetensors"))) == 1
    folder = load_checkpoint(run_id, 2, tmp_path / "restored", cache)
    assert damaged_files(folder) == []


@pytest.mark.parametrize("name", ["cache", "artifact"])
def test_damage_to_either_name_of_a_file_with_its_time_set_back_is_noticed(
    name: str, local_store: str, tmp_path: Path
) -> None:
    cache = Checkpoints(tmp_path / "cache")
    run_id = run_quickly(cache, "all", "magnitude(sparsity=0.5)")
    artifact = logged(run_id) / "1-magnitude" / "model.safetensors"
    (stored,) = cache.folder.glob("*/model.safetensors")
    assert os.path.samefile(artifact, stored)
    damaged = artifact if name == "artifact" else stored
    status = damaged.stat()
    flip_last_byte(damaged, in_place=True)
    set_read_only(damaged.parent)
    os.utime(damaged, ns=(status.st_atime_ns, status.st_mtime_ns))
    cache = Checkpoints(tmp_path / "cache")  # as another process has it, which has read nothing
    with pytest.warns(UserWarning, match="is damaged"):
        again = run_quickly(cache, "all", "magnitude(sparsity=0.5) | rtn")
    for step, method in ((1, "magnitude"), (2, "rtn")):
        assert damaged_files(logged(again) / f"{step}-{method}") == []
    with pytest.warns(UserWarning, match="is damaged"):
        folder = load_checkpoint(run_id, 1, tmp_path / "restored", cache)
    assert damaged_files(folder) == []
