"""Tune: `composability tune rmu`, or `mlflow run . -e tune -P intervention=rmu`.

Each trial is a run under one parent run, judged by validation data; the chosen setting is measured
once on test data. The same command again does what is missing; processes that run it at once share
the trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sweeps.study.report import plan_in_words, result_in_words
from sweeps.study.request import read_study_request
from sweeps.study.runner import prepare_study, run_study
from tracking import lifecycle, store


def run_command(values: Mapping[str, Any], dry_run: bool = False) -> None:
    """Run a study and print what came of it, or only print what it would run.

    Args:
        values: the arguments of ``read_study_request``, by name; numbers may be text.
        dry_run: whether nothing is to run.

    Raises:
        InvalidInput: the values are not valid, or the store cannot be reached.
        Incomplete: some trials failed.
        StoreAway: the store did not come back.
    """
    store.check_reachable()
    request = read_study_request(**values)
    request = replace(request, params=(*request.params, ("dry_run", str(dry_run).lower())))
    spec, checkpoints = prepare_study(request)
    print(plan_in_words(spec))
    if dry_run:
        lifecycle.reject_launched_run(spec.request.name, "dry run")
        return
    outcome = run_study(spec, checkpoints)
    print(result_in_words(spec, outcome.conclusion))
    print(f"run {outcome.parent_id} in {store.shown_address(store.uri())}")
