"""End every run in a state that says how: FINISHED, FAILED or KILLED, never RUNNING.

Signals and failures are handled while a run lives; the runs of processes that were killed with -9
are ended by the next process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil
from mlflow import MlflowClient
from mlflow.entities import RunTag

from interventions import errors
from interventions.errors import InvalidInput
from interventions.masking import without_secrets
from tracking import schema, store
from tracking.markup import plain_markdown
from tracking.passwords import take_back_passwords
from tracking.processes import (
    SILENT_SECONDS,
    is_own_run,
    is_process_gone,
    is_run_dead,
    process_tags,
)

__all__ = [
    "HEARTBEAT_SECONDS",
    "SILENT_SECONDS",
    "Stopped",
    "Terminated",
    "closing_run",
    "end_dead_runs",
    "exit_status",
    "fail_launched_run",
    "is_own_run",
    "is_process_gone",
    "is_run_dead",
    "launched_run_id",
    "one_line",
    "process_tags",
    "refuse",
]

HEARTBEAT_SECONDS = 30.0  # between heartbeats
_WATCH_SECONDS = 1.0  # between looks at the process that launched this one


class Terminated(BaseException):
    """SIGTERM arrived."""


class Stopped(Exception):
    """A run was given up on purpose: it ends KILLED, with the message as its note."""


@contextmanager
def closing_run(
    client: MlflowClient,
    run_id: str,
    tick: Callable[[], None] = lambda: None,
    identified: bool = False,
) -> Iterator[None]:
    """End a run when the block ends: FINISHED, FAILED with its traceback as an artifact, or KILLED.

    Args:
        client: of the store.
        run_id: the run.
        tick: called every second meanwhile, from another thread.
        identified: whether the run has this process's ``process_tags`` already.
    """
    stop = threading.Event()
    if not identified:
        tags = [RunTag(key, value) for key, value in process_tags().items()]
        client.log_batch(run_id, tags=tags)
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
        client.set_tag(run_id, schema.NOTE, plain_markdown(one_line(error)))
        client.set_terminated(run_id, "KILLED")
        raise
    except BaseException as error:
        with suppress(Exception):  # the failure itself must reach the user, whatever the store says
            text = without_secrets(traceback.format_exc())
            client.log_text(run_id, text, schema.TRACEBACK)
            client.set_tag(run_id, schema.NOTE, plain_markdown(one_line(error)))
        client.set_terminated(run_id, "FAILED")
        raise
    finally:
        stop.set()
        beating.join()


def end_dead_runs(client: MlflowClient, experiment_id: str) -> list[str]:
    """Mark as KILLED the runs that say RUNNING and whose process is gone.

    Returns:
        Their ids.
    """
    running = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    dead_ids = [run.info.run_id for run in running if is_run_dead(run)]
    for run_id in dead_ids:
        client.set_tag(run_id, schema.NOTE, "The process was killed before the run ended.")
        client.set_terminated(run_id, "KILLED")
    return dead_ids


def exit_status(command: Callable[[], None]) -> int:
    """Run a command and return its exit status.

    Bad input is printed in one line. Other errors are raised.

    Returns:
        0, 2 (bad input), 130 (Ctrl-C) or 143 (SIGTERM).

    Example:
        >>> exit_status(lambda: None)
        0
    """
    try:
        command()
    except InvalidInput as error:
        refuse(one_line(error), recorded=not isinstance(error, store.StoreUnreachable))
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Terminated:
        return 128 + signal.SIGTERM
    return 0


def launched_run_id() -> str | None:
    """Return the run that `mlflow run` made for this process; None if it was not started so."""
    return os.environ.get("MLFLOW_RUN_ID")


def refuse(reason: str, recorded: bool = True) -> None:
    """Say on stderr in one line what is wrong, and end the run that `mlflow run` made for it.

    Args:
        reason: what is wrong with what was given.
        recorded: whether the store can be reached, so that the run can be ended.
    """
    password = fail_launched_run(reason) if recorded else ""
    most = errors.MOST_SAID - len(password)
    print(f"error: {errors.printable_line(reason, most)}{password}", file=sys.stderr)


def fail_launched_run(reason: str) -> str:
    """End FAILED the run that `mlflow run` made for this process, if there is one.

    A run whose params hold a password is deleted too.

    Args:
        reason: becomes the run's note.

    Returns:
        A sentence on the password that was recorded; "" if none was.
    """
    run_id = launched_run_id()
    if not run_id:
        return ""
    client = MlflowClient(tracking_uri=store.uri())
    client.set_tag(run_id, schema.NOTE, plain_markdown(reason))
    client.set_tag(run_id, schema.REJECTED, reason)
    client.set_terminated(run_id, "FAILED")
    return take_back_passwords(client, client.get_run(run_id))


def one_line(error: BaseException) -> str:
    r"""Return an error's message as one line, without passwords.

    Example:
        >>> one_line(ValueError("two\nlines"))
        'two lines'
    """
    return " ".join(without_secrets(str(error)).split()) or type(error).__name__


def _beat(
    client: MlflowClient,
    run_id: str,
    stop: threading.Event,
    launcher: psutil.Process | None,
    tick: Callable[[], None],
) -> None:
    last_beat = time.monotonic()
    while not stop.wait(_WATCH_SECONDS):
        with suppress(Exception):  # it will be tried again
            tick()
        if launcher is not None and not launcher.is_running():
            os.kill(os.getpid(), signal.SIGTERM)  # a killed `mlflow run` would leave us an orphan
            return
        if time.monotonic() - last_beat > HEARTBEAT_SECONDS:
            last_beat = time.monotonic()
            with suppress(Exception):  # a store that is away for a minute must not end the run
                client.set_tag(run_id, schema.HEARTBEAT, str(time.time()))


def _launcher() -> psutil.Process | None:
    """Return the `mlflow run` that started us, whether through a shell or not; None if none did."""
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
