"""End every run in a state that says how: FINISHED, FAILED or KILLED, never RUNNING.

Signals and failures are handled while a run lives; the runs of processes that were killed with -9
are ended by the next process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from mlflow import MlflowClient
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException

from interventions import errors
from interventions.errors import InvalidInput
from interventions.masking import without_secrets
from tracking import schema, store
from tracking.heartbeat import HEARTBEAT_SECONDS, TakenOver, Watch, beat, launcher_watch
from tracking.markup import plain_markdown
from tracking.passwords import take_back_passwords
from tracking.processes import (
    SILENT_SECONDS,
    is_here,
    is_own_run,
    is_process_gone,
    is_run_dead,
    process_tags,
)

__all__ = [
    "HEARTBEAT_SECONDS",
    "SILENT_SECONDS",
    "Stopped",
    "TakenOver",
    "Terminated",
    "closing_run",
    "end_dead_runs",
    "exit_status",
    "is_here",
    "is_own_run",
    "is_process_gone",
    "is_run_dead",
    "launched_run_id",
    "one_line",
    "process_tags",
    "refuse",
    "reject_launched_run",
]

_LONGEST_NAME = 100  # characters of a rejected run's


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
    shared: bool = False,
) -> Iterator[None]:
    """End a run when the block ends: FINISHED, FAILED with its traceback as an artifact, or KILLED.

    A run that another process takes over meanwhile is left to that one.

    Args:
        client: of the store.
        run_id: the run.
        tick: called every second meanwhile, from another thread.
        identified: whether the run has this process's ``process_tags`` already.
        shared: whether several processes may be at the run at once.

    Raises:
        TakenOver: another process took the run over.
    """
    stop = threading.Event()
    watch = Watch(client, run_id, shared)
    if not identified:
        tags = [RunTag(key, value) for key, value in process_tags().items()]
        client.log_batch(run_id, tags=tags)
    is_launcher_gone = launcher_watch()
    beating = threading.Thread(
        target=beat, args=(client, run_id, stop, is_launcher_gone, tick, watch), daemon=True
    )
    beating.start()
    try:
        with _sigterm_raises() as watch.can_interrupt:
            try:
                if is_launcher_gone():  # it was killed while this process imported its libraries
                    raise Terminated
                yield
            finally:
                stop.set()
                beating.join()
        watch.check()
        client.set_terminated(run_id, "FINISHED")
    except TakenOver:
        raise
    except (KeyboardInterrupt, Terminated):
        watch.check()
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


def end_dead_runs(client: MlflowClient, experiment_id: str) -> list[str]:
    """Mark as KILLED the runs that say RUNNING and whose process is gone.

    Returns:
        Their ids.
    """
    running = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    dead_ids = [run.info.run_id for run in running if is_run_dead(run)]
    for run_id in dead_ids:
        with suppress(MlflowException):  # somebody deletes it at this moment
            client.set_tag(run_id, schema.NOTE, "The process was killed before the run ended.")
            client.set_terminated(run_id, "KILLED")
    return dead_ids


def exit_status(command: Callable[[], object]) -> int:
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
        # what cannot be reached, or is another process's, is not to be ended
        recorded = not isinstance(error, store.StoreUnreachable | TakenOver)
        refuse(one_line(error), recorded)
        for note in getattr(error, "__notes__", ()):  # what the line has no room for
            print(without_secrets(note), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _kill_launched_run()
        return 128 + signal.SIGINT
    except Terminated:
        _kill_launched_run()
        return 128 + signal.SIGTERM
    except Exception as error:
        damaged = store.damaged_store(error)
        if damaged is None:
            raise
        refuse(one_line(damaged), recorded=False)
        return 2
    return 0


def _kill_launched_run() -> None:
    """End KILLED the run that `mlflow run` made for this process, if none has ended it yet."""
    run_id = launched_run_id()
    if run_id:
        with suppress(Exception):  # a signal ends the process also where the store is away
            client = store.client()
            if client.get_run(run_id).info.status == "RUNNING":
                client.set_terminated(run_id, "KILLED")


def launched_run_id() -> str | None:
    """Return the run that `mlflow run` made for this process; None if it was not started so."""
    return os.environ.get("MLFLOW_RUN_ID")


def refuse(reason: str, recorded: bool = True) -> None:
    """Say on stderr in one line what is wrong, and end the run that `mlflow run` made for it.

    Args:
        reason: what is wrong with what was given.
        recorded: whether the store can be reached, so that the run can be ended.
    """
    password = reject_launched_run(reason) if recorded else ""
    most = errors.MOST_SAID - len(password)
    print(f"error: {errors.printable_line(reason, most)}{password}", file=sys.stderr)


def reject_launched_run(reason: str, kind: str = "rejected") -> str:
    """End KILLED the run that `mlflow run` made for this process, if nothing was run in it.

    MLflow's launcher, as of 3.17, sets another status once this process has ended: FAILED, or
    FINISHED after a dry run. Name and tag stay.

    Its name says so, and the tag ``composability.rejected``, by which views and queries leave it
    out. A run that has ended stays as it is. A run whose params hold a password is deleted too.

    Args:
        reason: becomes the run's note.
        kind: what its name begins with.

    Returns:
        A sentence on the password that was recorded; "" if none was.
    """
    run_id = launched_run_id()
    if not run_id:
        return ""
    client = store.client()
    run = client.get_run(run_id)
    if run.info.status == "RUNNING":
        name = errors.printable_line(f"{kind}: {reason}", _LONGEST_NAME)
        client.update_run(run_id, name=name)
        client.set_tag(run_id, schema.NOTE, plain_markdown(reason))
        client.set_tag(run_id, schema.REJECTED, reason)
        client.set_terminated(run_id, "KILLED")
    return take_back_passwords(client, client.get_run(run_id))


def one_line(error: BaseException) -> str:
    r"""Return an error's message as one line, without passwords.

    Example:
        >>> one_line(ValueError("two\nlines"))
        'two lines'
    """
    return " ".join(without_secrets(str(error)).split()) or type(error).__name__


@contextmanager
def _sigterm_raises() -> Iterator[bool]:
    """Let SIGTERM raise Terminated while open, in the main thread; yield whether it does."""
    if threading.current_thread() is not threading.main_thread():
        yield False
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield True
    finally:
        signal.signal(signal.SIGTERM, before)
