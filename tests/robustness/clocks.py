"""Clock steps and namespaces: who lives is told right, wherever it lives and whatever the time."""

from __future__ import annotations

import ctypes
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.robustness.forks import (
    Place,
    command_line,
    fork,
    kill,
    make_empty_database,
    members,
    new_place,
    wait,
)
from tests.robustness.sweeps_on_trial import GRID, NAME, outcome, problem_of
from tests.robustness.tally import Attempts

DEFINITION = (
    "a second grid of the name, started while the first lives, under a clock that is set hours or"
    " seconds forth or back, in this or another namespace of process numbers under the same host"
    " name, is refused and touches no run; after the first was killed in this namespace it goes on;"
    " the grid ends as an undisturbed one"
)
STEPS = (-7200.0, -5.0, 1.5, 60.0, 7200.0)  # seconds
_NEW_PIDS = 0x20000000  # CLONE_NEWPID of unshare(2)


def clocks(count: int, seed: int, folder: Path) -> Attempts:
    """Start a second grid beside the first, with another clock or in another namespace."""
    attempts, rng = Attempts("clocks and namespaces", seed, DEFINITION), random.Random(seed)
    empty = make_empty_database(folder / "empty")
    undisturbed = new_place(folder / "undisturbed", empty)
    command = command_line(GRID.words)
    assert wait(fork(command, undisturbed.log, undisturbed.variables), 600) == 0
    expected = outcome(undisturbed)
    for number in range(count):
        place = new_place(folder / f"round-{number}", empty)
        is_apart = number % 2 == 1
        # in another namespace nothing but heartbeats can be seen, and those go by the clock
        step = rng.choice([seconds for seconds in STEPS if not is_apart or seconds < 600])
        kind = f"{'namespace' if is_apart else 'clock'} {step:+g} s"
        first = fork(in_new_namespace(command) if is_apart else command, place.log, place.variables)
        problem = _wait_for_runs(place, first)
        before = {run.run_id for run in members(place, NAME)}
        # with a cache of its own: the store alone can tell
        variables = place.variables | {"COMPOSABILITY_CACHE": str(place.folder / "second")}
        second = fork(_with_clock(step, command), place.folder / "log-2", variables)
        status = wait(second, 300)
        text = (place.folder / "log-2").read_text()
        if status != 2 or "is being run by process" not in text:
            problem = problem or f"the second ended with {status}: {text[-500:]}"
        if not before <= {run.run_id for run in members(place, NAME)}:
            problem = problem or "the second deleted runs"
        if is_apart:
            ended = wait(first, 600)
            problem = problem or ("" if ended == 0 else f"the first ended with {ended}")
        else:
            kill(first)
            again = wait(fork(_with_clock(step, command), place.log, place.variables), 600)
            problem = problem or ("" if again == 0 else f"the same again ended with {again}")
        attempts.note(kind, problem or problem_of(place, expected))
    return attempts


def _wait_for_runs(place: Place, process: int) -> str:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if len(members(place, NAME)) > 2:
            return ""
        if wait(process, 0.1) is not None:
            return f"the first ended early: {place.log.read_text()[-800:]}"
    return "the first made no runs"


def _with_clock(step: float, command: Callable[[], int]) -> Callable[[], int]:
    """Return a call of a command in a process whose clock is set forth by some seconds."""

    def call() -> int:
        real, real_ns = time.time, time.time_ns
        time.time = lambda: real() + step
        time.time_ns = lambda: real_ns() + int(step * 1e9)
        return command()

    return call


def in_new_namespace(command: Callable[[], int]) -> Callable[[], int]:
    """Return a call of a command as process 1 of a new namespace of process numbers.

    Raises:
        PermissionError: the system does not permit it.
    """

    def call() -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEW_PIDS):
            raise PermissionError(os.strerror(ctypes.get_errno()))
        child = os.fork()
        if child == 0:
            status = 99
            try:
                # what /proc says is of the namespace that it was mounted in
                libc.unshare(0x00020000)
                libc.mount(None, b"/", None, 0x4000 | 0x40000, None)  # MS_REC | MS_PRIVATE
                libc.mount(b"proc", b"/proc", b"proc", 0, None)
                status = command()
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(ended)

    return call
