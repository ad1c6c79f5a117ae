"""Keep the runs behind a page of findings in a file: `python -m benchmarks.findings_runs`.

    python -m benchmarks.findings_runs save benchmarks/findings.jsonl.gz
    python -m benchmarks.findings_runs load benchmarks/findings.jsonl.gz

`save` writes the finished runs of sweeps in an experiment, a line of JSON each: params, last
metrics, the tags by which a run is found again, and of the first seed and batch the scores of every
item that a finding can be replicated by. `load` logs them into the store that MLFLOW_TRACKING_URI
names, but for those that it has: after it `composability findings` judges them, and with `--run`
computes only what is missing. A loaded run says so in a tag; it has no other artifacts.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Metric, Param, Run, RunTag
from tqdm import tqdm

from analysis.report.hypotheses.cells import ITEM_CRITERIA
from composability.findings_plan import finished_runs
from tracking import query, schema, store

LOADED = "composability.loaded_from"
_TAGS = (
    *(schema.JOB, schema.KEY, schema.WEIGHTS, schema.RECOMPRESSED, schema.WITHOUT_EFFECT),
    *(schema.ABOUT_INTERVENTIONS, schema.ABOUT_CRITERIA),
)


def save(experiment: str, path: Path) -> int:
    """Write the finished runs of sweeps, sorted by job; return how many there are."""
    finished = finished_runs(experiment)
    items_of_run = _items_of_runs([run for run in finished.values() if _is_first_replicate(run)])
    lines = [
        {
            "name": run.info.run_name,
            "params": run.data.params,
            "metrics": run.data.metrics,
            "tags": _kept_tags(run),
            "items": items_of_run.get(run.info.run_id, {}),
        }
        for _, run in sorted(finished.items())
    ]
    # without the time of writing, so that equal runs are equal files
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        for line in lines:
            file.write((json.dumps(line, sort_keys=True) + "\n").encode())
    return len(lines)


def _kept_tags(run: Run) -> dict[str, str]:
    tags = schema.renamed(run.data.tags)
    return {name: tags[name] for name in _TAGS if name in tags}


def _is_first_replicate(run: Run) -> bool:
    """Return whether seed and batch are the first: only such a run is replicated by its items."""
    return {run.data.params.get(name) for name in ("seed", "edit_batch")} == {"0"}


def _items_of_runs(runs: list[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """Return run id -> criterion -> item -> score after the last step, of the runs that have it."""
    scores = query.items(
        [run.info.run_id for run in runs], list(ITEM_CRITERIA.values()), missing="skip"
    )
    of_runs: dict[str, dict[str, dict[str, float]]] = {}
    for (run_id, criterion), part in scores.groupby(["run_id", "criterion"]):
        of_run = of_runs.setdefault(str(run_id), {})
        of_run[str(criterion)] = dict(zip(part["item"], part.score, strict=True))
    return of_runs


def load(experiment: str, path: Path) -> int:
    """Log the runs of a file that the experiment lacks; return how many these are."""
    known = finished_runs(experiment)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [json.loads(text) for text in file]
    missing = [line for line in lines if line["tags"][schema.JOB] not in known]
    for line in tqdm(missing, desc="runs", unit="run"):
        _log(line, experiment, path.name)
    return len(missing)


def _log(line: Mapping[str, Any], experiment: str, source: str) -> None:
    client, experiment_id = store.client(), store.ensure_experiment(experiment)
    run_id = client.create_run(experiment_id, run_name=line["name"]).info.run_id
    steps = len(schema.step_names(line["params"]))
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, 0, steps) for name, value in line["metrics"].items()],
        params=[Param(name, value) for name, value in line["params"].items()],
        tags=[RunTag(name, text) for name, text in {**line["tags"], LOADED: source}.items()],
    )
    items = pd.DataFrame(
        [
            {"criterion": criterion, "step": steps, "item": item, "score": score}
            for criterion, scores in line["items"].items()
            for item, score in scores.items()
        ]
    )
    if len(items):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, schema.ITEMS)
            items.to_parquet(path, index=False)
            client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)


def main() -> None:
    """Save or load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("save", "load"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--experiment", default=store.EXPERIMENT)
    options = parser.parse_args()
    store.check_reachable()
    count = {"save": save, "load": load}[options.what](options.experiment, options.path)
    print(f"{count} runs {'written' if options.what == 'save' else 'logged'}")


if __name__ == "__main__":
    main()
