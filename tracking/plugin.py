"""Tells `mlflow run` of this checkout where its runs belong; MLflow loads it at every start.

Without it, `mlflow run .` logs into the experiment "Default" of a store in the current folder.
It acts for this checkout only: in an installed wheel, and for any other project, it does nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from interventions.cache import checkout
from tracking import store
from tracking.passwords import check_no_passwords
from tracking.processes import LAUNCHER, process_tags

_READERS = ("analyze", "published")  # entry points whose `-P experiment=` names what is read
_FLAGS = ("--build-image", "--help")  # the options of `mlflow run` that take no value; a test holds
_BACKEND = ("-b", "--backend")
_ENTRY_POINT, _PARAMETER = ("-e", "--entry-point"), ("-P", "--param-list")


class Launch(NamedTuple):
    """What a command line `mlflow run …` says: the project, and its options in order."""

    project: str
    options: tuple[tuple[str, str], ...]

    def values(self, names: tuple[str, ...]) -> list[str]:
        """Return the values of an option that has several names, in order."""
        return [value for name, value in self.options if name in names]


# MLflow's DefaultExperimentProvider cannot be imported: MLflow imports this module while it loads
class CheckoutExperiment:
    """The experiment ``composability`` (or ``-P experiment=NAME``) in the checkout's store."""

    def __init__(self) -> None:
        # With `--experiment-name` MLflow never asks for an experiment, so that in_context is too
        # late. A file of `--env-file` is not read yet and may name a store: then wait for it.
        launch = _launch_of_this_checkout()
        if launch is None:
            return
        _refuse_passwords(launch)
        _leave_identity(launch)
        if launch.values(("--env-file",)):
            return
        if "MLFLOW_TRACKING_URI" not in os.environ:
            os.environ["MLFLOW_TRACKING_URI"] = store.local_uri()
            # where MLflow puts the artifacts of an experiment that it makes itself
            artifacts = Path(checkout() or "", "mlruns").as_uri()
            os.environ.setdefault("_MLFLOW_SERVER_ARTIFACT_ROOT", artifacts)

    def in_context(self) -> bool:
        """Return whether this is `mlflow run` of the checkout, or a program of it in its folder.

        If it is, the checkout's store becomes MLflow's default.
        """
        if _is_launch(sys.argv):
            is_ours = _launch_of_this_checkout() is not None
        else:
            is_ours = _is_program_of_checkout()
        if is_ours:
            self._use_checkout_store()
        return is_ours

    def get_experiment_id(self) -> str:
        """Return the experiment's id.

        Raises:
            SystemExit: there can be none; MLflow would otherwise fall back to "Default".
        """
        try:
            return store.ensure_experiment(_destination(sys.argv))
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error

    def _use_checkout_store(self) -> None:
        import mlflow
        from mlflow.tracking import is_tracking_uri_set

        if not is_tracking_uri_set() and "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(store.local_uri())


def _leave_identity(launch: Launch) -> None:
    """Leave in the environment which process this is: what it starts ends with it.

    What another backend starts may go on when this process has ended.
    """
    os.environ.pop(LAUNCHER, None)
    if set(launch.values(_BACKEND)) <= {"local"}:
        os.environ[LAUNCHER] = json.dumps(process_tags())


def _refuse_passwords(launch: Launch) -> None:
    """End `mlflow run` before MLflow records parameters that have a password.

    Raises:
        SystemExit: one has; stderr has the line.
    """
    pairs = (parameter.partition("=") for parameter in launch.values(_PARAMETER))
    try:
        check_no_passwords({name: value for name, _, value in pairs})
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def _launch_of_this_checkout() -> Launch | None:
    folder = checkout()
    launch = parse_launch(sys.argv)
    if folder is None or launch is None or not _is_same(Path(launch.project), folder):
        return None
    return launch


def _is_program_of_checkout() -> bool:
    """Return whether a program of the checkout runs in the checkout's folder.

    A script that lies elsewhere is not one.
    """
    folder = checkout()
    if folder is None or not _is_same(Path.cwd(), folder):
        return False
    # "" of a prompt, "-c" and "-m" resolve to the current folder: they are its programs
    return Path(sys.argv[0]).resolve().is_relative_to(folder)


def parse_launch(argv: Sequence[str]) -> Launch | None:
    """Return what a process's command line says of a project, or None if it is no `mlflow run`.

    Args:
        argv: the command line as `sys.argv` has it.

    Example:
        >>> parse_launch(["mlflow", "run", "-P", "first=lora", "path", "-e", "main"])
        Launch(project='path', options=(('-P', 'first=lora'), ('-e', 'main')))
    """
    if not _is_launch(argv):
        return None
    positionals, options = _split(argv[1:])
    return Launch(positionals[1], tuple(options)) if len(positionals) > 1 else None


def _is_launch(argv: Sequence[str]) -> bool:
    return _is_mlflow(argv[0]) and _split(argv[1:])[0][:1] == ["run"]


def _split(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Split a command line of MLflow into its positional arguments and its options."""
    positionals: list[str] = []
    options: list[tuple[str, str]] = []
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            positionals.extend(remaining)
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            if not equals and name not in _FLAGS:
                value = next(remaining, "")
            options.append((name, value))
        elif word.startswith("-") and word != "-":
            options.append((word[:2], word[2:] or next(remaining, "")))
        else:
            positionals.append(word)
    return positionals, options


def _is_same(path: Path, folder: Path) -> bool:
    try:
        return path.samefile(folder)
    except OSError:
        return False


def _is_mlflow(program: str) -> bool:
    if program == "-m":  # while `python -m NAME` imports NAME, argv does not hold the name yet
        return sys.orig_argv[-len(sys.argv)] == "mlflow"
    path = Path(program)
    return path.name == "mlflow" or path.parts[-2:] == ("mlflow", "__main__.py")


def _destination(argv: Sequence[str]) -> str:
    """Return the experiment of the launched run.

    It is the one of `-P experiment=NAME`; but entry points that only read log among the reports.
    """
    launch = parse_launch(argv)
    if launch is None:
        return store.EXPERIMENT
    entry_points = launch.values(_ENTRY_POINT)
    if entry_points and entry_points[-1] in _READERS:
        return store.REPORTS
    prefix = "experiment="
    for parameter in launch.values(_PARAMETER):
        if parameter.startswith(prefix):
            return parameter.removeprefix(prefix) or store.EXPERIMENT
    return store.EXPERIMENT
