"""Two processes at one instant: a grid of one name runs once, a study of one name is shared."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from tests.robustness.forks import command_line, fork, make_empty_database, new_place, wait
from tests.robustness.sweeps_on_trial import CHEAP, outcome, problem_of
from tests.robustness.tally import Attempts

GRID = ("grid", "--interventions", "magnitude(sparsity=[0.3, 0.6])", "--length", "0..1", *CHEAP)
STUDY = (
    *("tune", "magnitude", "--sampler", "random", "--trials", "3"),
    *("--objective", "sparsity:max", *CHEAP),
)
DEFINITION = (
    "of two grids one runs and the other says in one line that it is being run, or finds it done;"
    " of two studies both end well; every job has one FINISHED run with the values of an untouched"
    " sweep, there is one parent, FINISHED, and nothing is RUNNING"
)


def races(count: int, seed: int, folder: Path) -> Attempts:
    """Start two processes at one instant, with a cache for each in every second round."""
    attempts, rng = Attempts("two at one instant", seed, DEFINITION), random.Random(seed)
    empty = make_empty_database(folder / "empty")
    expected = {}
    for kind, words in (("grid", GRID), ("study", STUDY)):
        place = new_place(folder / f"undisturbed-{kind}", empty)
        assert wait(fork(command_line(words), place.log, place.variables), 300) == 0
        expected[kind] = outcome(place)
    for number in range(count):
        kind = "grid" if number % 2 else "study"
        words = GRID if kind == "grid" else STUDY
        place = new_place(folder / f"round-{number}", empty)
        reading, writing = os.pipe()
        processes = []
        for index in range(2):
            # a grid's lock file is in the cache: with two caches only the store can tell
            cache = (
                place.cache if kind == "study" or number % 4 == 1 else folder / f"c{number}{index}"
            )
            variables = place.variables | {"COMPOSABILITY_CACHE": str(cache)}
            call = _at_the_signal(reading, writing, rng.uniform(0, 0.02), command_line(words))
            processes.append(fork(call, place.folder / f"log-{index}", variables))
        os.close(reading)
        os.close(writing)  # both go
        statuses = [wait(process, 300) for process in processes]
        problem = problem_of(place, expected[kind])
        if 0 not in statuses or not set(statuses) <= ({0, 2} if kind == "grid" else {0}):
            problem = problem or f"they ended with {statuses}"
        for index, status in enumerate(statuses):
            text = (place.folder / f"log-{index}").read_text()
            if status == 2 and "is being " not in text:
                problem = problem or f"the refusal says {text[-500:]}"
        attempts.note(kind, problem)
    return attempts


def _at_the_signal(
    reading: int, writing: int, delay: float, command: Callable[[], int]
) -> Callable[[], int]:
    def call() -> int:
        import time

        os.close(writing)
        os.read(reading, 1)  # returns when the harness closes its end
        time.sleep(delay)
        return command()

    return call
