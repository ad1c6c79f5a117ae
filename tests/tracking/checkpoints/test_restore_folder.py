"""What a checkpoint is restored to: from which source, to which folder, and what else stays."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from interventions.composition import Composition
from interventions.errors import InvalidInput
from tests.tracking.checkpoints.damage import fit_manifest
from tracking import schema, store
from tracking.chain import Chain
from tracking.checkpoints import load_checkpoint, restore
from tracking.checkpoints.artifacts import LoggedCheckpoints
from tracking.checkpoints.holding import HeldCheckpoints
from tracking.checkpoints.integrity import MANIFEST, content_checksum, damaged_files
from tracking.checkpoints.store import Checkpoints
from tracking.plan import RunContext
from tracking.settings import Settings, settings_params


class Recorded:
    """A run of magnitude pruning and rounding, as a store would give it.

    Attributes:
        cache: has the checkpoints of both steps.
        keys: of the base model and of both.
        params: of the run.
        tags: of the run.
        artifacts: where the run's checkpoints are; nothing is there at first.
    """

    def __init__(self, folder: Path) -> None:
        self.cache = Checkpoints(folder / "cache")
        context = RunContext(Settings(criteria="sparsity", device="cpu"))
        plan = context.plan(Composition.parse("magnitude | rtn"))
        self.chain = Chain(plan, self.cache)
        self.chain.model_after(2)
        self.keys = plan.keys
        self.params = {
            schema.COMPOSITION: plan.spec(),
            **schema.step_params(["magnitude", "rtn"]),
            **settings_params(plan.requested, plan.settings, {}),
        }
        self.tags = {schema.KEY: self.keys[-1]}
        self.artifacts = folder / "artifacts"

    def run(self, *arguments: object) -> SimpleNamespace:
        """Return it as MLflow does."""
        info = SimpleNamespace(run_id="abc", artifact_uri=self.artifacts.as_uri())
        data = SimpleNamespace(params=self.params, tags=self.tags)
        return SimpleNamespace(info=info, data=data, outputs=None)

    def log_step(self, step: int, name: str) -> Path:
        """Log a checkpoint; return where it is logged."""
        folder = self.artifacts / "checkpoints" / f"{step}-{name}"
        return Path(shutil.copytree(self.cache.path(self.keys[step]), folder))


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    run = Recorded(tmp_path)
    monkeypatch.setattr(restore, "recorded_run", run.run)
    monkeypatch.setattr(store, "client", lambda: None)
    return run


def test_what_is_restored_from_the_cache_is_the_users_and_the_caches_own_stays(
    recorded: Recorded, tmp_path: Path
) -> None:
    out = load_checkpoint("abc", 1, tmp_path / "new" / "out", recorded.cache)
    stored = recorded.cache.path(recorded.keys[1])
    assert content_checksum(out) == content_checksum(stored) and damaged_files(out) == []
    for file in out.iterdir():
        assert file.stat().st_mode & 0o200
        assert not file.samefile(stored / file.name)
        assert (stored / file.name).stat().st_mode & 0o222 == 0
    assert recorded.cache.is_sound(recorded.keys[1])
    assert sorted(path.name for path in out.parent.iterdir()) == ["out"]


def test_what_is_restored_from_artifacts_is_the_users(recorded: Recorded, tmp_path: Path) -> None:
    logged = recorded.log_step(2, "rtn")
    recorded.tags[schema.checksum_tag(2)] = content_checksum(logged)
    empty = Checkpoints(tmp_path / "empty")
    out = load_checkpoint("abc", None, tmp_path / "out", empty)
    assert content_checksum(out) == content_checksum(logged)
    assert all(file.stat().st_mode & 0o200 for file in out.iterdir())
    assert not list(empty.folder.glob("*/manifest.json"))  # nothing was computed


def test_a_run_without_checksums_is_restored_from_the_cache_where_its_keys_are_those_of_now(
    recorded: Recorded,
) -> None:
    logged = recorded.log_step(1, "magnitude")
    stored = recorded.cache.path(recorded.keys[1])
    assert load_checkpoint("abc", 1, checkpoints=recorded.cache) == stored
    recorded.tags[schema.KEY] = "of another version"
    with pytest.warns(UserWarning, match="run abc recorded no checksum of step 1"):
        folder = load_checkpoint("abc", 1, checkpoints=recorded.cache)
    assert folder != stored and content_checksum(folder) == content_checksum(logged)


@pytest.mark.parametrize("name", ["trust_remote_code", "allow_pickle"])
def test_what_the_run_trusted_is_refused_before_anything_is_written(
    name: str, recorded: Recorded, tmp_path: Path
) -> None:
    recorded.params[name] = "true"
    with pytest.raises(InvalidInput, match=f"run abc had {name}=true, .*, give {name}=true, too"):
        load_checkpoint("abc", 1, tmp_path / "new" / "out", recorded.cache)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_comes_up_meanwhile_is_not_replaced_even_if_it_is_empty(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    copy = restore._copy

    def copy_meanwhile(checkpoint: Path, complete: Path) -> None:
        copy(checkpoint, complete)
        out.mkdir()

    monkeypatch.setattr(restore, "_copy", copy_meanwhile)
    with pytest.raises(InvalidInput, match=r"cannot write to .*out'?: it exists"):
        load_checkpoint("abc", 1, out, recorded.cache)
    assert not list(out.iterdir())


def test_of_the_folders_above_only_those_go_that_were_made_for_it(
    recorded: Recorded, tmp_path: Path
) -> None:
    recorded.tags[schema.KEY] = "of another version"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="was not logged whole, and cannot be computed again"):
        load_checkpoint("abc", 1, tmp_path / "empty" / "a" / "b" / "out", recorded.cache)
    assert not list((tmp_path / "empty").iterdir())


def test_a_path_of_4000_bytes_is_tried_and_what_exists_refused_before_the_run_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_run(run_id: str) -> None:
        raise InvalidInput("no run")

    monkeypatch.setattr(restore, "recorded_run", no_run)
    for longest in ("a/" * 1999 + "aa", "é" + "/a" * 1999):
        assert len(longest.encode()) == 4000
        with pytest.raises(InvalidInput, match=r"^no run$"):
            load_checkpoint("abc", 1, longest)
        with pytest.raises(InvalidInput, match="of at most 4000 bytes, but got"):
            load_checkpoint("abc", 1, longest + "a")
    with pytest.raises(InvalidInput, match="it exists"):
        load_checkpoint("abc", 1, tmp_path)


def small_checkpoint(folder: Path) -> Path:
    """A checkpoint of one file, with a fitting manifest."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / MANIFEST).write_text(json.dumps({"key": "a"}))
    fit_manifest(folder)
    return folder


def test_a_link_that_takes_a_files_place_is_not_followed_when_it_is_copied(tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path / "checkpoint")
    (checkpoint / "config.json").rename(tmp_path / "elsewhere")
    (checkpoint / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match=r"config\.json is no plain file: damaged while it was"):
        restore._copy(checkpoint, tmp_path / "complete")


@pytest.fixture
def logged_of(recorded: Recorded, tmp_path: Path) -> Callable[[], LoggedCheckpoints]:
    """What gives the run's logged checkpoints, as nobody has looked at them."""
    held = HeldCheckpoints(recorded.chain)
    return lambda: LoggedCheckpoints(
        recorded.run(),
        ["magnitude", "rtn"],
        held,
        tmp_path / "aside" / str(len(list(tmp_path.glob("aside/*")))),
    )


def test_what_is_not_logged_or_is_an_empty_folder_is_no_damage(
    recorded: Recorded, logged_of: Callable[[], LoggedCheckpoints]
) -> None:
    for exists in (False, True):
        if exists:
            (recorded.artifacts / "checkpoints" / "2-rtn").mkdir(parents=True)
        logged = logged_of()
        assert logged.whole(2) is None
        assert (logged.damage, logged.damaged_step) == ("", 0)


def test_the_step_whose_artifact_is_damaged_is_told(
    recorded: Recorded, logged_of: Callable[[], LoggedCheckpoints]
) -> None:
    folder = small_checkpoint(recorded.artifacts / "checkpoints" / "2-rtn")
    recorded.tags[schema.checksum_tag(2)] = content_checksum(folder)
    logged = logged_of()
    whole = logged.whole(2)
    assert whole is not None and content_checksum(whole) == content_checksum(folder)
    (folder / "config.json").write_text("[]")
    logged = logged_of()
    assert logged.whole(2) is None
    assert (logged.damage, logged.damaged_step) == ("config.json", 2)
