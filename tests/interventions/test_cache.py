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


@pytest.mark.parametrize(
    ("lines", "is_checkout"),
    [
        (None, False),
        ("name: composable-interventions\nentry_points:\n", True),
        ("name: composable-interventions-of-others\n", False),
        ("name: other\n", False),
    ],
)
def test_a_checkout_is_a_folder_with_our_project_in_it(
    lines: str | None, is_checkout: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lines is not None:
        (tmp_path / "MLproject").write_text(lines)
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "interventions" / "cache.py"))
    monkeypatch.chdir("/")
    monkeypatch.delenv("COMPOSABILITY_CACHE", raising=False)
    assert cache.checkout() == (tmp_path if is_checkout else None)
    root = tmp_path if is_checkout else Path("/")
    assert cache.root() == root
    assert cache.folder() == root / ".cache" / "checkpoints"
    monkeypatch.setenv("COMPOSABILITY_CACHE", "")
    assert cache.folder() == root / ".cache" / "checkpoints"
    monkeypatch.setenv("COMPOSABILITY_CACHE", "/elsewhere")
    assert cache.folder() == Path("/elsewhere")


def test_statistics_are_the_plain_files_of_their_folder(tmp_path: Path) -> None:
    assert cache.statistics_files(tmp_path) == []
    folder = tmp_path / "statistics"
    (folder / "below").mkdir(parents=True)
    (folder / "moments").write_text("12345")
    (folder / "link").symlink_to(folder / "moments")
    os.utime(folder / "moments", (7, 9))
    assert cache.statistics_files(tmp_path) == [(9.0, 5, folder / "moments")]


def test_a_missing_cache_is_made_with_the_folders_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    assert cache.make_writable(folder) and (folder / "locks").is_dir()
    assert cache.make_writable(folder)


def test_a_cache_that_can_only_be_read_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK | os.X_OK)
    line = f"the cache '{tmp_path}' can only be read: what is in it is used, and nothing is kept"
    with pytest.warns(UserWarning) as said:
        assert cache.make_writable(tmp_path) is False
        assert cache.make_writable(tmp_path) is False
    assert [str(warning.message) for warning in said] == [line]
    # one that was not there cannot be only read
    with pytest.raises(InvalidInput, match="permission denied"):
        cache.make_writable(tmp_path / "new")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "no space left on device"),
        (OSError("Odd"), "odd"),
        (None, "permission denied"),
    ],
)
def test_a_cache_that_can_neither_be_written_nor_read_is_refused(
    error: OSError | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdir(path: Path, **options: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InvalidInput) as refusal:
        cache.make_writable(tmp_path)
    assert str(refusal.value) == (
        f"cannot write to the cache '{tmp_path}': {reason};"
        " name another folder with COMPOSABILITY_CACHE"
    )
