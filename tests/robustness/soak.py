"""Soak: many compositions of a stub step in one process; nothing grows with their number."""

from __future__ import annotations

import gc
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from interventions.base import Intervention
from interventions.data.base import Data
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from tests.robustness.forks import Place, fork, make_empty_database, new_place, wait
from tests.robustness.tally import Attempts

WINDOWS = 10
FLAT = 0.10  # by which the last half may differ from the first
DEFINITION = (
    "of the windows into which the compositions are divided, the first left out, the later half has"
    " within 10 % the resident memory, open files, bytes of the store per composition and processor"
    " seconds per composition of the earlier half (medians)"
)


def soak(count: int, seed: int, folder: Path) -> Attempts:
    """Run ``count`` compositions, and compare the later half of the windows with the earlier."""
    attempts = Attempts("soak", seed, DEFINITION)
    place = new_place(folder / "place", make_empty_database(folder / "empty"))
    rows = place.folder / "rows"
    process = fork(lambda: _compositions(place, count, rows), place.log, place.variables)
    status = wait(process, 36_000)
    assert status == 0, place.log.read_text()[-3000:]
    windows = [list(map(float, line.split())) for line in rows.read_text().splitlines()][1:]
    names = ("memory, MiB", "open files", "store, KiB per composition", "seconds per composition")
    for name, values in zip(names, zip(*windows, strict=True), strict=True):
        half = len(values) // 2
        early, late = statistics.median(values[:half]), statistics.median(values[half:])
        grown = late / early - 1
        print(f"soak: {name}: {early:.4g} -> {late:.4g} ({grown:+.1%})", flush=True)
        attempts.note(name, "" if abs(grown) <= FLAT else f"{early:.4g} -> {late:.4g}")
    attempts.tried["compositions"] = 0  # named, not counted
    attempts.name = f"soak, {count} compositions"
    return attempts


def _compositions(place: Place, count: int, rows: Path) -> int:
    from tracking.run import run

    _register_stub()
    process, per_window = psutil.Process(), max(1, count // WINDOWS)
    for window in range(WINDOWS):
        size, began = _bytes_of_store(place), time.process_time()
        for index in range(per_window):
            level = window * per_window + index
            run(f"stub(level={level})", criteria="sparsity", checkpoints="none", device="cpu")
        seconds = (time.process_time() - began) / per_window
        gc.collect()
        kib = (_bytes_of_store(place) - size) / per_window / 1024
        memory, files = process.memory_info().rss / 2**20, len(os.listdir("/proc/self/fd"))
        with rows.open("a") as file:
            file.write(f"{memory} {files} {kib} {seconds}\n")
    return 0


def _bytes_of_store(place: Place) -> int:
    paths = [place.database, *place.folder.glob("mlruns/**/*")]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _register_stub() -> None:
    """Make the step known, in this process only."""

    @dataclass(frozen=True)
    class Stub(Intervention, category="unlearning"):
        """Scale one matrix by next to nothing."""

        level: int = hyperparameter(0, "tells compositions apart", low=0)

        def apply(self, lm: LM, data: Data) -> LM:
            """Return the model with one matrix scaled."""
            next(lm.model.parameters()).data.mul_(1 + 1e-6 * (self.level + 1))
            return lm
