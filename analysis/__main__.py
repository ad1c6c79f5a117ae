"""`python -m analysis --experiment NAME [--output DIR]`, or `mlflow run . -e analyze -P experiment=NAME`.

Reads the runs of one or more experiments and logs a run with tables, figures and a report as its artifacts, in the
experiment `reports`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    os.environ.setdefault(
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"
    )  # one per run; we show one for all

from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.tracking.context.registry import resolve_tags

from interventions.errors import InvalidInput
from tracking import command, lifecycle, schema, store

if TYPE_CHECKING:
    from analysis.report.request import AnalysisRequest, PreparedAnalysis

_UI = "http://127.0.0.1:5000"


def parser() -> argparse.ArgumentParser:
    """The command line; MLproject's entry point ``analyze`` has the same parameters."""
    made = command.parser("analysis", __doc__)
    made.add_argument(
        "--experiment", default=store.EXPERIMENT, help="name, or several with commas between"
    )
    made.add_argument(
        "--output", default="none", help="folder for the files, besides the run's artifacts"
    )
    made.add_argument("--criteria", default="all", help="edit_success,mmlu")
    made.add_argument("--levels", default="paper", help="of Tables 2 to 4: sparsity=0.25,bits=4")
    made.add_argument(
        "--bounds", default="none", help="leave out levels where a criterion is worse: mmlu=0.4"
    )
    made.add_argument(
        "--error", default="best", help="best, as the paper's tables, or worst, as its equation 1"
    )
    made.add_argument(
        "--items", default="auto", help="intervals over items: auto (few replicates), all, none"
    )
    made.add_argument(
        "--ui",
        default="auto",
        help=f"address of MLflow's UI for links; {_UI} if the store is no server",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 (failed), 2 (bad input), 130 (Ctrl-C), 143 (SIGTERM)."""
    return lifecycle.exit_status(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> None:
    given = command.read(parser(), arguments)
    _analyse(given, _output(given.output))


def _output(text: str) -> Path | None:
    folder = None if text == "none" else Path(text).expanduser()
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InvalidInput(f"output must be a folder, but {text!r} is a file")
    return folder


def _analyse(given: argparse.Namespace, output: Path | None) -> None:
    from analysis.report.request import (
        prepare,  # the command line is checked before pandas and scipy are imported
    )

    prepared = prepare(_request(given))
    run_id = _logged(given, prepared, output)
    print(f"run {run_id} in {store.uri()}" + (f"; files in {output}" if output is not None else ""))
    place = f"/#/experiments/{MlflowClient(tracking_uri=store.uri()).get_run(run_id).info.experiment_id}/runs/{run_id}"
    print(
        f"report: {prepared.request.ui}{place}/artifacts/report.html (start the UI with `make ui`)"
    )


def _request(given: argparse.Namespace) -> AnalysisRequest:
    from analysis.report.request import AnalysisRequest

    names = tuple(dict.fromkeys(filter(None, map(str.strip, given.experiment.split(",")))))
    if not names:
        raise InvalidInput(f"experiment must name at least one, but got {given.experiment!r}")
    criteria = (
        ()
        if given.criteria == "all"
        else tuple(filter(None, map(str.strip, given.criteria.split(","))))
    )
    levels = (
        {} if given.levels == "paper" else _numbers("levels", given.levels, "sparsity=0.25,bits=4")
    )
    bounds = (
        {}
        if given.bounds == "none"
        else _numbers("bounds", given.bounds, "mmlu=0.4,wikitext_ppl=8")
    )
    served = store.uri() if store.uri().startswith("http") else _UI
    ui = (served if given.ui == "auto" else given.ui).rstrip("/")
    return AnalysisRequest(names, criteria, levels, bounds, given.error, given.items, ui)


def _numbers(name: str, text: str, example: str) -> dict[str, float]:
    """``key=number`` pairs with commas between."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        return {key.strip(): float(value) for key, _, value in pairs}
    except ValueError as error:
        raise InvalidInput(f"{name} must be written like {example}, but got {text!r}") from error


def _logged(given: argparse.Namespace, prepared: PreparedAnalysis, output: Path | None) -> str:
    from analysis.report.analyze import write

    client = MlflowClient(tracking_uri=store.uri())
    name = f"analysis of {', '.join(prepared.request.experiments)}"
    run_id = lifecycle.launched()
    if run_id is None:
        run_id = client.create_run(
            store.experiment(store.REPORTS), tags=resolve_tags(), run_name=name
        ).info.run_id
    client.update_run(run_id, name=name)
    with lifecycle.ending(client, run_id), tempfile.TemporaryDirectory() as aside:
        folder = (
            Path(aside) / "analysis"
        )  # with the usual permissions, which a temporary folder has not
        there = client.get_run(run_id).data.params  # `mlflow run` has logged what it was given
        params = [Param(key, str(value)) for key, value in vars(given).items() if key not in there]
        client.log_batch(run_id, params=params)
        told = write(prepared, folder)
        client.log_artifacts(run_id, str(folder))
        note = "\n".join(
            f"**{context}**\n" + "\n".join(f"- {f.text}" for f in found)
            for context, found in told.items()
        )
        client.set_tag(run_id, schema.NOTE, note)
        if output is not None:
            shutil.copytree(folder, output, dirs_exist_ok=True)
    return run_id


if __name__ == "__main__":
    sys.exit(main())
