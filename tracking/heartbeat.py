"""What a run's process does beside its work: it shows that it lives, and looks whose the run is."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
from mlflow import MlflowClient

from interventions.errors import InvalidInput
from tracking import schema
from tracking.processes import LAUNCHER, is_here, is_own_run, is_process_gone

HEARTBEAT_SECONDS = 30.0  # between heartbeats
_WATCH_SECONDS = 1.0  # between looks at the process that launched this one


class TakenOver(InvalidInput):
    """Somebody ended the run of a process that lives, deleted it, or went on with it."""


class Watch:
    """Whether a run is still this process's.

    Attributes:
        can_interrupt: whether a signal raises in the block, which is in the main thread then.
    """

    def __init__(self, client: MlflowClient, run_id: str, shared: bool) -> None:
        self._client, self._run_id, self._shared = client, run_id, shared
        self._change = ""  # what became of it
        self.can_interrupt = False

    def look(self) -> bool:
        """Return whether the run is this process's, as the store says."""
        if self._shared:
            return True
        run = self._client.get_run(self._run_id)
        tags = run.data.tags
        if not is_own_run(run):
            self._change = f"is process {tags.get(schema.PID)}'s on {tags.get(schema.HOST)} now"
        elif run.info.lifecycle_stage == "deleted":
            self._change = "was deleted meanwhile"
        elif run.info.status != "RUNNING":
            self._change = f"was ended meanwhile, as {run.info.status}"
        return not self._change

    def check(self) -> None:
        """Raise TakenOver if the last look found another process's hand on the run."""
        if self._change:
            raise TakenOver(
                f"run {self._run_id} {self._change}: this process stops; what it has computed is in"
                " the cache"
            )


def beat(
    client: MlflowClient,
    run_id: str,
    stop: threading.Event,
    is_launcher_gone: Callable[[], bool],
    tick: Callable[[], None],
    watch: Watch,
) -> None:
    """Say every half minute that a run's process lives, until it is told to stop.

    Args:
        client: of the store.
        run_id: the run.
        stop: is set when the run ends.
        is_launcher_gone: says whether the `mlflow run` is gone, with which this process ends too.
        tick: called every second.
        watch: is asked with each heartbeat whether the run is still this process's.
    """
    last_beat = time.monotonic()
    while not stop.wait(_WATCH_SECONDS):
        with suppress(Exception):  # it will be tried again
            tick()
        if is_launcher_gone():
            os.kill(os.getpid(), signal.SIGTERM)  # a killed `mlflow run` would leave us an orphan
            return
        if time.monotonic() - last_beat > HEARTBEAT_SECONDS:
            last_beat = time.monotonic()
            with suppress(Exception):  # a store that is away for a minute must not end the run
                if not watch.look():
                    # of a run that this process has just ended there is nothing to say
                    if watch.can_interrupt and not stop.is_set():
                        os.kill(os.getpid(), signal.SIGTERM)
                    return
                client.set_tag(run_id, schema.HEARTBEAT, str(time.time()))


def launcher_watch() -> Callable[[], bool]:
    """Return a function that says whether the `mlflow run` which started this process is gone.

    The launcher leaves in the environment who it is, so that one that was killed while this process
    imported its libraries is missed. One that leaves nothing (another backend's, an environment
    without this project) is the nearest ancestor that is no shell, which can only be watched from
    now on.
    """
    if "MLFLOW_RUN_ID" not in os.environ:
        return lambda: False
    try:
        owner = json.loads(os.environ[LAUNCHER])
        if is_here(owner):
            return lambda: is_process_gone(owner)
    except (KeyError, ValueError, AttributeError):
        for parent in psutil.Process().parents():
            if parent.name() not in ("bash", "sh"):
                return lambda: not parent.is_running()
    return lambda: False
