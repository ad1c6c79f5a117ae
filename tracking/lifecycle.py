"""Runs end in a state that says how: signals and failures while they live, reconciliation of those killed with -9."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run, RunTag

from interventions.errors import InvalidInput
from tracking import schema, store

BEAT = 30.0  # seconds between heartbeats
SILENT = 600.0  # a run on another host that was silent for so long is dead
_WATCH = 1.0  # seconds between looks at the process that launched us


class Terminated(BaseException):
    """SIGTERM arrived."""


class Stopped(Exception):
    """A run was given up on purpose: it ends KILLED, the message as its note."""


@contextmanager
def ending(
    client: MlflowClient,
    run_id: str,
    tick: Callable[[], None] = lambda: None,
    identified: bool = False,
) -> Iterator[None]:
    """Leave the run FINISHED, FAILED with its traceback as an artifact, or KILLED; never RUNNING.

    Args:
        client: of the store.
        run_id: the run.
        tick: called every second meanwhile, from another thread.
        identified: the run has the tags of ``identity`` already.
    """
    stop = threading.Event()
    if not identified:
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in identity().items()])
    beating = threading.Thread(
        target=_beat, args=(client, run_id, stop, _launcher(), tick), daemon=True
    )
    beating.start()
    try:
        with _sigterm_raises():
            yield
        client.set_terminated(run_id, "FINISHED")
    except (KeyboardInterrupt, Terminated):
        with suppress(Exception):  # Ctrl-C ends the process also where the store is away
            client.set_terminated(run_id, "KILLED")
        raise
    except Stopped as error:
        client.set_tag(run_id, schema.NOTE, one_line(error))
        client.set_terminated(run_id, "KILLED")
        raise
    except BaseException as error:
        with suppress(Exception):  # the failure itself must reach the user, whatever the store says
            client.log_text(run_id, traceback.format_exc(), schema.TRACEBACK)
            client.set_tag(run_id, schema.NOTE, one_line(error))
        client.set_terminated(run_id, "FAILED")
        raise
    finally:
        stop.set()
        beating.join()


def reconcile(client: MlflowClient, experiment_id: str) -> list[str]:
    """Mark as KILLED the runs that say RUNNING and whose process is gone; returns their ids."""
    running = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    dead = [run for run in running if is_dead(run)]
    for run in dead:
        client.set_tag(run.info.run_id, schema.NOTE, "The process was killed before the run ended.")
        client.set_terminated(run.info.run_id, "KILLED")
    return [run.info.run_id for run in dead]


def exit_status(command: Callable[[], None]) -> int:
    """Run a command; returns 0, 2 (bad input, said in one line), 130 (Ctrl-C) or 143 (SIGTERM)."""
    try:
        command()
    except InvalidInput as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        fail_launched(one_line(error))
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Terminated:
        return 128 + signal.SIGTERM
    return 0


def launched() -> str | None:
    """The run that `mlflow run` made for this process, if that is how it was started."""
    return os.environ.get("MLFLOW_RUN_ID")


def fail_launched(line: str) -> None:
    """`mlflow run` made a run before we could look: end it FAILED with the reason as its note."""
    run_id = launched()
    if run_id:
        client = MlflowClient(tracking_uri=store.uri())
        client.set_tag(run_id, schema.NOTE, line)
        client.set_terminated(run_id, "FAILED")


def one_line(error: BaseException) -> str:
    """An error as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def identity() -> dict[str, str]:
    """Tags that tell which process a run is made by, and that it lives."""
    return {
        schema.PID: str(os.getpid()),
        schema.HOST: socket.gethostname(),
        schema.PROCESS_STARTED: str(psutil.Process().create_time()),
        schema.HEARTBEAT: str(time.time()),
    }


def is_own(run: Run) -> bool:
    """Whether a run is, or was, this process's."""
    return (run.data.tags.get(schema.PID), run.data.tags.get(schema.HOST)) == (
        str(os.getpid()),
        socket.gethostname(),
    )


def is_dead(run: Run) -> bool:
    """Whether a run that says RUNNING has no process any more."""
    tags = run.data.tags
    if schema.PID not in tags:  # `mlflow run` makes the run seconds before our process adopts it
        return time.time() - run.info.start_time / 1000 > SILENT
    return is_gone(tags)


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process whose ``identity`` these are lives no more; on another host: was silent for long."""
    if tags.get(schema.HOST) == socket.gethostname():
        try:
            started = psutil.Process(int(tags[schema.PID])).create_time()
        except psutil.NoSuchProcess:
            return True
        return (
            abs(started - float(tags[schema.PROCESS_STARTED])) > 1
        )  # the pid was given to another process
    return time.time() - float(tags[schema.HEARTBEAT]) > SILENT


def _beat(
    client: MlflowClient,
    run_id: str,
    stop: threading.Event,
    launcher: psutil.Process | None,
    tick: Callable[[], None],
) -> None:
    last = time.monotonic()
    while not stop.wait(_WATCH):
        with suppress(Exception):  # it will be tried again
            tick()
        if launcher is not None and not launcher.is_running():
            os.kill(os.getpid(), signal.SIGTERM)  # a killed `mlflow run` would leave us an orphan
            return
        if time.monotonic() - last > BEAT:
            last = time.monotonic()
            with suppress(Exception):  # a store that is away for a minute must not end the run
                client.set_tag(run_id, schema.HEARTBEAT, str(time.time()))


def _launcher() -> psutil.Process | None:
    """The `mlflow run` that started us, past the shell between, if there is one."""
    if "MLFLOW_RUN_ID" not in os.environ:
        return None
    for parent in psutil.Process().parents():
        if parent.name() not in ("bash", "sh"):
            return parent
    return None


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
