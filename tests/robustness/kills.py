"""Kill harness: a sweep is hit by signals at random moments, and the same command goes on."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.robustness.forks import (
    Place,
    command_line,
    finished_ids,
    fork,
    kill,
    make_empty_database,
    new_place,
    wait,
)
from tests.robustness.sweeps_on_trial import (
    CHECKPOINT_BYTES,
    EVICTING_GIB,
    NAME,
    SWEEPS,
    cache_bytes,
    leftovers,
    outcome,
    problem_of,
)
from tests.robustness.tally import Attempts

DEFINITION = (
    "the process ends as the signal says (KILL; TERM 143, INT 130 with no run left RUNNING once its"
    " runs began; STOP goes on after CONT), what was finished stays, and the same command at last"
    " ends with every job FINISHED once, nothing RUNNING, hyperparameters and values of each job as"
    " in an undisturbed sweep, no leftover in cache or temporary folder, and the cache within its"
    " bound (4 checkpoints)"
)
SIGNALS = {
    "KILL": signal.SIGKILL,
    "TERM": signal.SIGTERM,
    "INT": signal.SIGINT,
    "STOP": signal.SIGSTOP,
}
# how they may end: TERM before there is a handler ends a process as it ends any
ENDS = {"KILL": {-9}, "TERM": {143, -15}, "INT": {130, -2}}
SECONDS = 600.0


def kills(kind: str, count: int, seed: int, folder: Path) -> Attempts:
    """Hit a sweep of a kind at ``count`` moments."""
    sweep, rng = SWEEPS[kind], random.Random(seed)
    attempts = Attempts(f"kills, {kind}", seed, DEFINITION)
    empty = make_empty_database(folder / "empty")
    command = command_line(sweep.words)

    def start(place: Place) -> int:
        bound = {"COMPOSABILITY_CACHE_GIB": str(EVICTING_GIB)}
        return fork(command, place.log, place.variables | bound)

    undisturbed = new_place(folder / "undisturbed", empty)
    began = time.monotonic()
    status = wait(start(undisturbed), SECONDS)
    assert status == 0, undisturbed.log.read_text()[-3000:]
    expected, lasts = outcome(undisturbed), time.monotonic() - began
    print(f"{kind}: {len(expected)} jobs, {lasts:.0f} s undisturbed", flush=True)
    number = 0
    while sum(attempts.tried.values()) < count:
        place = new_place(folder / f"round-{number}", empty)
        number += 1
        most = min(count - sum(attempts.tried.values()), 12)
        hits = _hit(place, start, rng, most, lasts)
        status = wait(start(place), SECONDS)
        problem = "" if status == 0 else f"the last ended with {status}"
        problem = problem or problem_of(place, expected)
        problem = problem or _problem_on_disk(place)
        for hit, own_problem in hits:
            attempts.note(hit, own_problem or problem)
        if problem:
            print(place.log.read_text()[-3000:], flush=True)
    return attempts


def _hit(
    place: Place, start: Callable[[Place], int], rng: random.Random, most: int, lasts: float
) -> list[tuple[str, str]]:
    """Hit one sweep until it has ended or was hit often enough; return signals and problems."""
    hits: list[tuple[str, str]] = []
    process, before = start(place), set[str]()
    while len(hits) < most:
        # half of the moments are in the first second, in which a sweep is opened
        time.sleep(rng.choice((rng.uniform(0, 1), rng.uniform(0.5, max(1.0, lasts / 6)))))
        name = rng.choice(list(SIGNALS))
        if wait(process, 0.001) is not None:
            return hits
        os.kill(process, SIGNALS[name])
        if name == "STOP":
            time.sleep(rng.uniform(0.1, 1.0))
            os.kill(process, signal.SIGCONT)
            hits.append((name, ""))
            continue
        status = wait(process, 120)
        if status is None:
            kill(process)
        has_ended = status in ENDS[name] or (status == 0 and name != "KILL")
        problem = "" if has_ended else f"ended with {status}: {place.log.read_text()[-1500:]}"
        finished = finished_ids(place, NAME)
        if not before <= finished:
            problem = problem or f"{len(before - finished)} finished runs are gone"
        before = finished
        hits.append((name, problem))
        process = start(place)
    kill(process)
    return hits


def _problem_on_disk(place: Place) -> str:
    left = leftovers(place)
    if left:
        return f"left: {left[:3]}"
    # the newest one stays, whatever the bound
    size, most = cache_bytes(place.cache), int(EVICTING_GIB * 2**30) + CHECKPOINT_BYTES
    return f"the cache has {size} bytes for {most}" if size > most else ""
