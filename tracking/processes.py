"""Tell which process a run belongs to, and whether that process still lives."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

import psutil
from mlflow.entities import Run

from tracking import schema

SILENT_SECONDS = 600.0  # after which a run on another host counts as dead


def process_tags() -> dict[str, str]:
    """Return tags that tell which process a run is made by, and that it lives."""
    return {
        schema.PID: str(os.getpid()),
        schema.HOST: socket.gethostname(),
        schema.PROCESS_STARTED: str(psutil.Process().create_time()),
        schema.HEARTBEAT: str(time.time()),
    }


def is_own_run(run: Run) -> bool:
    """Return whether a run is, or was, this process's."""
    tags = run.data.tags
    owner = (tags.get(schema.PID), tags.get(schema.HOST))
    return owner == (str(os.getpid()), socket.gethostname())


def is_run_dead(run: Run) -> bool:
    """Return whether a run that says RUNNING has no process any more."""
    tags = run.data.tags
    if schema.PID not in tags:
        # `mlflow run` makes the run some seconds before our process adopts it
        return time.time() - run.info.start_time / 1000 > SILENT_SECONDS
    return is_process_gone(tags)


def is_process_gone(tags: Mapping[str, str]) -> bool:
    """Return whether a process lives no more; one on another host, if it was silent for long.

    Args:
        tags: the process's ``process_tags``, with its last heartbeat. Where they are not as we
            write them, the run is somebody else's, and nothing is known of its process.
    """
    try:
        return _is_gone(tags)
    except (KeyError, ValueError, OverflowError):
        return False


def _is_gone(tags: Mapping[str, str]) -> bool:
    if tags.get(schema.HOST) != socket.gethostname():
        return time.time() - float(tags[schema.HEARTBEAT]) > SILENT_SECONDS
    try:
        started = psutil.Process(int(tags[schema.PID])).create_time()
    except psutil.NoSuchProcess:
        return True
    # the system may have given the number to another process
    return abs(started - float(tags[schema.PROCESS_STARTED])) > 1
