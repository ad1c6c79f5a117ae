"""The folder of the cache, and who may write to it."""

import os
import tempfile
import warnings
from pathlib import Path

import pytest

from interventions import cache
from interventions.errors import InvalidInput
from tracking.checkpoints.store import Checkpoints


@pytest.mark.parametrize(
    ("mode", "parent_mode", "who"),
    [
        (0o777, 0o700, "all users"),
        (0o1777, 0o700, "all users"),  # others may put a checkpoint in that is not there yet
        (0o700, 0o777, "all users"),  # others may rename the folder, and put theirs in its place
    ],
)
def test_a_cache_that_others_may_write_is_said_once(
    mode: int, parent_mode: int, who: str, tmp_path: Path
) -> None:
    folder = tmp_path / "parent" / "cache"
    folder.mkdir(parents=True)
    folder.chmod(mode)
    folder.parent.chmod(parent_mode)
    with pytest.warns(UserWarning, match=f"{who} may write to the cache .*COMPOSABILITY_CACHE"):
        Checkpoints(folder)
    Checkpoints(folder)


@pytest.mark.parametrize(
    ("mode", "parent_mode"), [(0o755, 0o755), (0o700, 0o1777), (0o755, 0o1777)]
)
def test_nothing_is_said_of_a_folder_of_ones_own(
    mode: int, parent_mode: int, tmp_path: Path
) -> None:
    folder = tmp_path / "parent" / "cache"
    folder.mkdir(parents=True)
    folder.chmod(mode)
    folder.parent.chmod(parent_mode)
    cache.warn_if_others_may_write(folder)


def test_a_folder_in_tmp_needs_no_word() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        cache.warn_if_others_may_write(Path(folder))


def test_a_missing_folder_is_no_error(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.warn_if_others_may_write(tmp_path / "missing")


def test_a_group_counts_unless_it_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o770)
    monkeypatch.setattr(cache, "_is_private_group", lambda group_id: True)
    cache.warn_if_others_may_write(folder)
    cache._checked.clear()
    monkeypatch.setattr(cache, "_is_private_group", lambda group_id: False)
    with pytest.warns(UserWarning, match=r"group \d+ may write"):
        cache.warn_if_others_may_write(folder)


def test_the_folder_of_another_user_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, owner = tmp_path / "cache", os.getuid() or 12345
    folder.mkdir()
    if not os.getuid():
        os.chown(folder, owner, -1)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.warns(UserWarning, match=f"user {owner} may write"):
        cache.warn_if_others_may_write(folder)


def test_the_private_group_of_a_user_has_the_users_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    class User:
        pw_name, pw_gid = "ada", 7

    class Group:
        gr_name, gr_mem = "ada", ["ada"]

    monkeypatch.setattr(pwd, "getpwuid", lambda number: User)
    monkeypatch.setattr(grp, "getgrgid", lambda number: Group)
    assert cache._is_private_group(7)
    assert not cache._is_private_group(8)
    monkeypatch.setattr(Group, "gr_mem", ["bob"])
    assert not cache._is_private_group(7)

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(grp, "getgrgid", unknown)
    assert not cache._is_private_group(7)


@pytest.mark.parametrize(("gib", "left"), [("3", "abc"), ("2", "bc"), ("1.9", "b"), ("0", "b")])
def test_statistics_used_longest_ago_go_until_the_rest_fits(
    gib: str, left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 1 GiB each; b stays in any case."""
    monkeypatch.setenv(cache.LIMIT, gib)
    paths = {name: tmp_path / name for name in "abc"}
    for path in paths.values():
        path.touch()
    used = [(3.0, 2**30, paths["c"]), (1.0, 2**30, paths["a"]), (2.0, 2**30, paths["b"])]
    monkeypatch.setattr(cache, "statistics_files", lambda folder: used)
    cache.bound_statistics([paths["b"]])
    assert "".join(sorted(path.name for path in tmp_path.iterdir())) == left


@pytest.mark.parametrize("text", ["much", "-0.1", "nan"])
def test_a_size_that_is_no_number_of_at_least_0_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.LIMIT, text)
    with pytest.raises(InvalidInput, match=f"must be a number of at least 0, but got '{text}'"):
        cache.limit_gib()
