"""Tell which process a run belongs to, and whether that process still lives.

On Linux a process is told by the machine's boot, its namespace of process numbers, and when it was
started in clock ticks since the boot: none of them moves when somebody sets the clock. Of a process
in another namespace or on another machine nothing can be seen but its heartbeats.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tracking import schema

if TYPE_CHECKING:  # MLflow loads the plugin, which imports this module, while it loads itself
    from mlflow.entities import Run

SILENT_SECONDS = 600.0  # after which a run on another host counts as dead
_PROC = Path("/proc")
_LAUNCHED, _OURS = "mlflow.project.entryPoint", "composability."  # tags, and how they begin
LAUNCHER = "COMPOSABILITY_LAUNCHER"  # a variable with the tags of the `mlflow run` above a process
_ENDED = ("Z", "X")  # a zombie: ended, and not yet asked for its status by who started it


def process_tags() -> dict[str, str]:
    """Return tags that tell which process a run is made by, and that it lives."""
    return {
        schema.PID: str(os.getpid()),
        schema.HOST: socket.gethostname(),
        schema.PROCESS_STARTED: str(psutil.Process().create_time()),
        schema.PROCESS: _identity(),
        schema.HEARTBEAT: str(time.time()),
    }


def is_own_run(run: Run) -> bool:
    """Return whether a run is, or was, this process's."""
    tags = schema.renamed(run.data.tags)
    owner = (tags.get(schema.PID), tags.get(schema.HOST))
    if owner != (str(os.getpid()), socket.gethostname()):
        return False
    # runs of before 0.2 say no more; first processes of two containers have one number and name
    return tags.get(schema.PROCESS, "") in ("", _identity())


def is_run_dead(run: Run) -> bool:
    """Return whether a run that says RUNNING has no process any more."""
    tags = schema.renamed(run.data.tags)
    if schema.PID not in tags:
        # `mlflow run` makes the run some seconds before our process adopts it; of a run of somebody
        # else's program in the same experiment nothing is known
        is_ours = _LAUNCHED in tags or any(tag.startswith(_OURS) for tag in tags)
        return is_ours and time.time() - run.info.start_time / 1000 > SILENT_SECONDS
    return is_process_gone(tags)


def is_here(tags: Mapping[str, str]) -> bool:
    """Return whether a process was started where this one can see it: by its ``process_tags``."""
    tags = schema.renamed(tags)
    if tags.get(schema.HOST) != socket.gethostname():
        return False
    identity = tags.get(schema.PROCESS, "")
    return not identity or identity.split()[:2] == _place()


def is_process_gone(tags: Mapping[str, str]) -> bool:
    """Return whether a process lives no more; one elsewhere, if it was silent for long.

    Args:
        tags: the process's ``process_tags``, with its last heartbeat. Where they are not as we
            write them, the run is somebody else's, and nothing is known of its process.
    """
    try:
        return _is_gone(schema.renamed(tags))
    except (KeyError, ValueError, OverflowError, IndexError, psutil.Error):
        return False


def _is_gone(tags: Mapping[str, str]) -> bool:
    if not is_here(tags):
        return time.time() - float(tags[schema.HEARTBEAT]) > SILENT_SECONDS
    pid = int(tags[schema.PID])
    identity = tags.get(schema.PROCESS, "")
    if identity:
        ticks = int(identity.split()[2])
        state, started = _state_and_ticks(pid)
        # the system may have given the number to another process
        return state in _ENDED or started != ticks
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(process.create_time() - float(tags[schema.PROCESS_STARTED])) > 1
    except psutil.NoSuchProcess:
        return True


def _identity() -> str:
    """Return this process's boot, namespace and start in ticks; "" where the system has no such."""
    place = _place()
    _, ticks = _state_and_ticks(os.getpid())
    return " ".join([*place, str(ticks)]) if place and ticks else ""


def _place() -> list[str]:
    """Return the boot's id and the namespace of process numbers; nothing where they are unknown."""
    with suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return [boot, os.readlink(_PROC / "self/ns/pid")]
    return []


def _state_and_ticks(pid: int) -> tuple[str, int]:
    """Return a process's state and its start in ticks since the boot; "X" and 0 if there is none.

    Source: proc(5), fields 3 and 22 of /proc/<pid>/stat.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return "X", 0
    # a program's name, in brackets, may hold blanks and brackets
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19])
