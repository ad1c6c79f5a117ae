"""Write the paper's 311 rows as runs.

From a shell: `composability published`, or `mlflow run . -e published`.
They are the numbers that Tables 8 to 14 print, not measured here, and say so in tags and notes.
Params, metrics and tags have the names of our own runs, so one query reads both. A run's steps 0
and 1 are the rows that the paper prints for the base model and for the first intervention alone.
Hyperparameters are those that the paper states, no others.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from tqdm import tqdm

from interventions import moved
from tracking import catalogue, lifecycle, query, schema, store
from tracking.paper_rows import MODEL, PRINTED_CRITERIA, Row, rows

__all__ = [
    "EXPERIMENT",
    "MODEL",
    "PRINTED_CRITERIA",
    "Row",
    "import_rows",
    "publish",
    "rows",
]

EXPERIMENT = "published"
SOURCE = "Composable Interventions for Language Models (Kolbeinsson et al., ICLR 2025)"
DESCRIPTION = f"""\
**Printed in the paper, not computed here:** the 311 rows of Tables 8 to 14 of {SOURCE}, one run
each: the base model, 28 interventions alone, and 282 pairs, both orders of each. Model {MODEL},
means over ten batches of 50 zsRE edits.

A metric's *step* is the number of interventions applied; steps 0 and 1 are the paper's rows for the
base model and for the first intervention alone. Only hyperparameters that the paper states are
logged. The tag `{schema.PUBLISHED}` says which table a row is from; an infinite perplexity is exact
in `criteria.json`.
"""


def publish() -> int:
    """Make the runs that are missing, and complete those whose import was cut off.

    Returns:
        How many runs that were.
    """
    experiment_id = store.ensure_experiment(EXPERIMENT, DESCRIPTION)
    client = store.client()
    runs = query.compositions(EXPERIMENT)
    finished = set(runs.composition[runs.status == "FINISHED"]) if len(runs) else set()
    unfinished = _unfinished(client, experiment_id)
    paper_rows = rows()
    row_of_steps = {row.steps: row for row in paper_rows}
    lacking = [row for row in paper_rows if row.params()[schema.COMPOSITION] not in finished]
    for row in tqdm(lacking, desc="rows of the paper", unit="run", disable=None):
        _log(client, experiment_id, row, row_of_steps, unfinished)
    return len(lacking)


def _unfinished(client: MlflowClient, experiment_id: str) -> dict[str, str]:
    """Return the ids, by name, of the runs that an import began.

    Not by composition: an import may have been cut off before it logged params.
    """
    unfinished = client.search_runs(
        [experiment_id], f"attributes.status != 'FINISHED' and tags.`{schema.PUBLISHED}` != ''"
    )
    return {run.info.run_name: run.info.run_id for run in unfinished}


def _log(
    client: MlflowClient,
    experiment_id: str,
    row: Row,
    row_of_steps: Mapping[tuple[tuple[str, float | None], ...], Row],
    unfinished: Mapping[str, str],
) -> None:
    """Write one run, with the rows of all that its composition begins with."""
    path = [row_of_steps[row.steps[:k]] for k in range(len(row.steps))] + [row]
    name = schema.run_name(row.specs())
    if name in unfinished:
        run = client.get_run(unfinished[name])
    else:
        tags = {schema.PUBLISHED: f"Table {row.table}"}
        run = client.create_run(experiment_id, tags=tags, run_name=name)
    # with the run's own time, a second attempt repeats no metric
    run_id, timestamp = run.info.run_id, run.info.start_time
    metrics = [
        Metric(key, value, timestamp, step)
        for step, path_row in enumerate(path)
        for key, value in path_row.values.items()
    ]
    client.log_batch(
        run_id,
        metrics=metrics,
        params=[Param(key, value) for key, value in row.params().items()],
        tags=[RunTag(key, value) for key, value in _tags(row, path).items()],
    )
    client.log_text(run_id, json.dumps(_exact_values(row, path), indent=1), schema.CRITERIA_JSON)
    client.set_terminated(run_id)


def _tags(row: Row, path: Sequence[Row]) -> dict[str, str]:
    interventions, criteria = catalogue.house_interventions(), catalogue.house_criteria()
    tags = {
        schema.NOTE: f"Printed in Table {row.table} of {SOURCE}; not computed here.",
        schema.ABOUT_INTERVENTIONS: catalogue.as_tag(
            {name: interventions[name] for name, _ in row.steps}
        ),
        schema.ABOUT_CRITERIA: catalogue.as_tag(
            {name: criteria[name] for name in PRINTED_CRITERIA}
        ),
    }
    values = [entry for path_row in path for entry in path_row.values.items()]
    diverged = sorted({name for name, value in values if math.isinf(value)})
    if diverged:
        tags[schema.DIVERGED] = ",".join(diverged)
    return tags


def _exact_values(row: Row, path: Sequence[Row]) -> dict[str, Any]:
    """Return what our own runs have in criteria.json; the paper prints no standard errors."""
    steps = [
        {
            "step": step,
            "intervention": row.specs()[step - 1] if step else None,
            "paper_table": path_row.table,
            "criteria": {
                key: {"value": schema.json_number(value), "stderr": "nan"}
                for key, value in path_row.values.items()
            },
        }
        for step, path_row in enumerate(path)
    ]
    return {"composition": row.params()[schema.COMPOSITION], "steps": steps}


def import_rows() -> None:
    """Make the runs that are missing, and print how many that were."""
    with _launcher_run():
        added = publish()
    print(f"{added} runs added to experiment {EXPERIMENT!r} in {store.shown_address()}")


@contextmanager
def _launcher_run() -> Iterator[None]:
    """If `mlflow run` made a run for this command, give it a name and an end."""
    run_id = lifecycle.launched_run_id()
    if run_id is None:
        yield
        return
    client = store.client()
    client.update_run(run_id, name="import of the paper's rows")
    with lifecycle.closing_run(client, run_id):
        yield


if __name__ == "__main__":
    sys.exit(moved.run_old_command("tracking.published"))
