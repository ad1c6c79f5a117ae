"""Tells `mlflow run` of this checkout where its runs belong; MLflow loads it through an entry point at every start.

Without it, `mlflow run .` logs into the experiment "Default" of a store in the current folder.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

from interventions.cache import root
from tracking import store

_READERS = ("analyze", "published")  # entry points whose `-P experiment=` names what is read


class CheckoutExperiment:  # MLflow's DefaultExperimentProvider, which cannot be imported while MLflow imports us
    """The experiment ``composability`` (or the one of ``-P experiment=NAME``) in the checkout's store."""

    def in_context(self) -> bool:
        """Whether this is `mlflow run` of our checkout, or a process in it; makes the checkout's store the default."""
        ours = root() / "MLproject"
        if not ours.exists():
            return False
        launch = _is_mlflow(sys.argv[0]) and sys.argv[1:2] == ["run"]
        places = list(map(Path, sys.argv[2:])) if launch else [Path.cwd()]
        if not any(_same(place / "MLproject", ours) for place in places):
            return False
        self._use_checkout_store()
        return True

    def get_experiment_id(self) -> str:
        """The experiment's id; ends the process where there can be none, as MLflow would fall back to "Default"."""
        try:
            return store.experiment(_destination(sys.argv))
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error

    def _use_checkout_store(self) -> None:
        import mlflow
        from mlflow.tracking import is_tracking_uri_set

        if not is_tracking_uri_set() and "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(store.local_uri())


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_mlflow(program: str) -> bool:
    path = Path(program)
    return path.name == "mlflow" or path.parts[-2:] == ("mlflow", "__main__.py")


def _destination(argv: list[str]) -> str:
    """The experiment of the launched run: for a composition as asked; what reads compositions logs among reports."""
    if _given(argv, ("-e", "--entry-point"), "") in _READERS:
        return store.REPORTS
    return _given(argv, ("-P", "--param-list"), "experiment=") or store.EXPERIMENT


def _given(argv: list[str], flags: tuple[str, str], prefix: str) -> str:
    """The value of ``-P experiment=NAME`` or ``-e NAME``, in any of the ways to write it; empty if it is not there."""
    for flag, value in pairwise(argv):
        if flag in flags and value.startswith(prefix):
            return value.removeprefix(prefix)
    glued = (f"{flags[0]}{prefix}", f"{flags[1]}={prefix}")
    return next(
        (arg.removeprefix(start) for arg in argv for start in glued if arg.startswith(start)), ""
    )
