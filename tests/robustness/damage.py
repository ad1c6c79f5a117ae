"""Damage harness: files of a cache and of a run's artifacts are spoilt; no number may be wrong."""

from __future__ import annotations

import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from tests.robustness.forks import Place, fork, make_empty_database, new_place, wait
from tests.robustness.tally import Attempts

STEPS = "magnitude(sparsity=0.5) | rtn(bits=4)"
DEFINITION = (
    "the same composition run again in a new process has the values and the checkpoints' checksums"
    " of before, its artifacts are whole, and each of the first run's checkpoints is restored with"
    " its recorded checksum or refused in one line"
)


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    _write(path, bytes(content))


def truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    _write(path, content[: rng.randrange(len(content) or 1)])


def empty(path: Path, rng: random.Random) -> None:
    _write(path, b"")


def zero(path: Path, rng: random.Random) -> None:
    _write(path, bytes(path.stat().st_size))


def delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def swap(path: Path, rng: random.Random) -> None:
    """Give a file the content of another of the same kind."""
    siblings = [
        sibling
        for sibling in path.parent.parent.rglob(f"*{path.suffix}")
        if sibling != path and sibling.is_file()
    ]
    _write(path, rng.choice(sorted(siblings) or [path]).read_bytes())


def extra(path: Path, rng: random.Random) -> None:
    (path.parent / rng.choice(("adapter_config.json", "modeling.py", "0.json"))).write_text("{}")


def symlink(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice(("/etc/passwd", "/dev/zero", "nowhere", "/")))


KINDS: tuple[Callable[[Path, random.Random], None], ...] = (
    flip,
    truncate,
    empty,
    zero,
    delete,
    swap,
    extra,
    symlink,
)


def _write(path: Path, content: bytes) -> None:
    """Write in place, whichever name of the file this is, and set its time back."""
    status = path.stat()
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(status.st_mode & 0o777)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def damage(count: int, seed: int, folder: Path) -> Attempts:
    """Spoil one file after another, each time in a fresh copy of a run's store and cache."""
    rng, attempts = random.Random(seed), Attempts("damage", seed, DEFINITION)
    original = new_place(folder / "place", make_empty_database(folder / "empty"))
    run_first = fork(lambda: _run(original, "all"), original.log, original.variables)
    assert wait(run_first, 600) == 0, original.log.read_text()[-3000:]
    whole = folder / "whole"
    _copy(original.folder, whole)
    for number in range(count):
        shutil.rmtree(original.folder)
        # at the same place, which the store's artifact addresses name; links stay links
        _copy(whole, original.folder)
        kind = KINDS[number % len(KINDS)]
        spoilt = rng.choice(_files(original))
        kind(spoilt, rng)
        process = fork(lambda: _check(original), original.log, original.variables)
        status = wait(process, 600)
        name = f"{kind.__name__} {spoilt.relative_to(original.folder)}"
        problem = "" if status == 0 else f"{name}: {original.log.read_text()[-800:]}"
        attempts.note(kind.__name__, problem)
    return attempts


def _files(place: Place) -> list[Path]:
    """Return the files that may be spoilt: of the cache, and the artifacts that restoring reads."""
    parts = [*place.cache.rglob("*"), *place.folder.glob("mlruns/**/checkpoints/*/*")]
    return sorted(path for path in parts if path.is_file() and path.parent.name != "locks")


def _copy(source: Path, target: Path) -> None:
    """Copy a folder, with hard links within it as hard links."""
    copied: dict[int, Path] = {}
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir() and not path.is_symlink():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        inode = path.lstat().st_ino
        if inode in copied:
            os.link(copied[inode], place)
        else:
            shutil.copy2(path, place, follow_symlinks=False)
            copied[inode] = place


def _run(place: Place, policy: str) -> int:
    from tracking.run import run

    warnings.simplefilter("ignore")
    run(STEPS, checkpoints=policy, criteria="sparsity,average_bits")
    return 0


def _check(place: Place) -> int:
    from mlflow import MlflowClient

    from interventions.errors import InvalidInput
    from tracking import schema, store
    from tracking.artifact_files import local_artifacts
    from tracking.checkpoints import load_checkpoint
    from tracking.checkpoints.integrity import content_checksum, damaged_files

    client = MlflowClient()
    (first,) = client.search_runs([store.ensure_experiment()])
    # restoring from a cache of its own, then from the one that was spoilt
    for number, cache in enumerate((place.folder / "elsewhere", place.cache)):
        os.environ["COMPOSABILITY_CACHE"] = str(cache)
        for step in (1, 2):
            out = place.folder / f"restored-{number}-{step}"
            warnings.simplefilter("ignore")
            try:
                restored = load_checkpoint(first.info.run_id, step, out)
            except InvalidInput as error:
                print(f"refused: {error}")
                continue
            if content_checksum(restored) != first.data.tags[schema.checksum_tag(step)]:
                print("restored something else")
                return 1
            if damaged_files(restored):
                print("restored something damaged")
                return 1
    _run(place, "all")
    again = client.search_runs([store.ensure_experiment()])[0]
    for kind in ("metrics", "tags"):
        values, before = getattr(again.data, kind), getattr(first.data, kind)
        names = [
            name
            for name in before
            if name.startswith((schema.CHECKSUM, schema.WEIGHTS, "sparsity", "average_bits"))
        ]
        for name in names:
            if values.get(name) != before[name]:
                print(f"{kind} {name}: {values.get(name)} for {before[name]}")
                return 1
    artifacts = local_artifacts(again.info.artifact_uri)
    assert artifacts is not None
    for logged in (artifacts / schema.CHECKPOINTS).iterdir():
        if damaged_files(logged):
            print(f"logged {logged.name} damaged: {damaged_files(logged)}")
            return 1
    return 0
