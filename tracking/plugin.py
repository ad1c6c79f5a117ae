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
            return store.experiment(_asked_experiment(sys.argv) or store.EXPERIMENT)
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


def _asked_experiment(argv: list[str]) -> str:
    """NAME of ``-P experiment=NAME``; empty if none was given."""
    for flag, value in pairwise(argv):
        if flag in ("-P", "--param-list") and value.startswith("experiment="):
            return value.partition("=")[2]
    glued = ("-Pexperiment=", "--param-list=experiment=")
    return next((arg.removeprefix(flag) for arg in argv for flag in glued if arg.startswith(flag)), "")
