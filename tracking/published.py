"""The paper's 311 rows as runs: `python -m tracking.published`, or `mlflow run . -e published`.

They are the numbers that Tables 8 to 14 print, not measured here, and say so in tags and notes. Params, metrics and
tags have the names of our own runs, so one query reads both. A run's steps 0 and 1 are the rows that the paper prints
for the base model and for the first intervention alone. Hyperparameters are those that the paper states, no others.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from tqdm import tqdm

from interventions.errors import InvalidInput
from tracking import catalogue, lifecycle, query, schema, store

EXPERIMENT = "published"
MODEL = "meta-llama/Meta-Llama-3-8B"
CRITERIA = (
    "edit_success",
    "edit_generalization",
    "edit_locality",
    "average_bits",
    "wmdp",
    "mmlu",
    "wikitext_ppl",
)
SOURCE = "Composable Interventions for Language Models (Kolbeinsson et al., ICLR 2025)"
DESCRIPTION = f"""\
**Printed in the paper, not computed here:** the 311 rows of Tables 8 to 14 of {SOURCE}, one run each: the base model,
28 interventions alone, and 282 pairs, both orders of each. Model {MODEL}, means over ten batches of 50 zsRE edits.

A metric's *step* is the number of interventions applied; steps 0 and 1 are the paper's rows for the base model and for
the first intervention alone. Only hyperparameters that the paper states are logged. The tag `{schema.PUBLISHED}` says
which table a row is from; an infinite perplexity is exact in `criteria.json`.
"""
# sections 3 and C; the strength is in the row
_LAYERS, _CALIBRATION = [4, 5, 6, 7, 8], 128
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "ft": {"layers": _LAYERS, "steps": 25, "lr": 1e-5},
    "memit": {
        "layers": _LAYERS, "steps": 25, "lr": 0.5, "weight_decay": 1e-3, "kl_factor": 0.0625, "clamp": 4.0,
        "covariance": 15000.0, "samples": 100000,
    },
    "lora": {
        "rank": 8, "alpha": 32.0, "lr": 5e-3, "steps": 70, "targets": ["q_proj", "v_proj"], "dropout": 0.0,
        "adaptive": True,
    },
    "wanda": {"pattern": "unstructured", "samples": _CALIBRATION},
    "sparsegpt": {"pattern": "unstructured", "damp": 0.01, "samples": _CALIBRATION},
    "gptq": {"group": 128, "symmetric": True, "act_order": True, "damp": 0.01, "samples": _CALIBRATION},
    "awq": {"group": 128, "symmetric": False, "samples": _CALIBRATION},
    "rmu": {"layer": 3, "steering": 20.0, "alpha": 1000.0, "steps": 250, "lr": 5e-5, "batch": 4},
    "ga": {"lr": 5e-5, "samples": 50, "last_layers": 16},
    "gd": {"lr": 5e-5, "samples": 50, "retain_weight": 40.0, "last_layers": 16},
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row of a table: the steps as (name, level or None), and what it prints."""

    table: int
    steps: tuple[tuple[str, float | None], ...]
    values: Mapping[str, float]

    def specs(self) -> list[str]:
        """Each step as `Composition.parse` reads it on the profile "paper"."""
        return [
            name if level is None else f"{name}({_strength(name)}={level})"
            for name, level in self.steps
        ]

    def params(self) -> dict[str, str]:
        """As our own runs log them, where the paper states them."""
        names = [name for name, _ in self.steps]
        params = {
            schema.COMPOSITION: " | ".join(self.specs()) or "none",
            schema.PAIR: schema.pair(names),
        }
        params |= schema.step_params(names) | {
            "model": MODEL,
            "data": "paper",
            "recompress": "paper",
        }
        for name, level in self.steps:
            strength = {} if level is None else {_strength(name): level}
            params |= {
                f"{name}.{key}": str(value)
                for key, value in (*strength.items(), *SETTINGS[name].items())
            }
        return params


def rows() -> list[Row]:
    """The 311 rows, in the paper's order."""
    text = Path(__file__).with_suffix(".csv").read_text()
    lines = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return [
        Row(
            int(line["paper_table"]),
            tuple(
                (str(line[n]), _level(line[n], line[f"{n}_level"]))
                for n in ("first", "second")
                if line[n]
            ),
            {name: float(line[name]) for name in CRITERIA},
        )
        for line in lines
    ]


def publish() -> int:
    """Make the runs that are missing, and complete those whose import was cut off; returns how many."""
    client = MlflowClient(tracking_uri=store.uri())
    experiment_id = store.experiment(EXPERIMENT, DESCRIPTION)
    there = query.compositions(EXPERIMENT)
    done = set(there.composition[there.status == "FINISHED"]) if len(there) else set()
    unfinished = _unfinished(client, experiment_id)
    paper = rows()
    alone = {row.steps: row for row in paper if len(row.steps) < 2}
    lacking = [row for row in paper if row.params()[schema.COMPOSITION] not in done]
    for row in tqdm(lacking, desc="rows of the paper", unit="run", disable=None):
        _log(client, experiment_id, row, alone, unfinished)
    return len(lacking)


def _unfinished(client: MlflowClient, experiment_id: str) -> dict[str, str]:
    """Name to id of the runs that an import began; it may not have come to their params."""
    began = client.search_runs(
        [experiment_id], f"attributes.status != 'FINISHED' and tags.`{schema.PUBLISHED}` != ''"
    )
    return {run.info.run_name: run.info.run_id for run in began}


def _log(
    client: MlflowClient,
    experiment_id: str,
    row: Row,
    alone: Mapping[tuple[tuple[str, float | None], ...], Row],
    unfinished: Mapping[str, str],
) -> None:
    path = [alone[row.steps[:k]] for k in range(len(row.steps))] + [row]
    name = schema.run_name(row.specs())
    if name in unfinished:
        run = client.get_run(unfinished[name])
    else:
        run = client.create_run(
            experiment_id, tags={schema.PUBLISHED: f"Table {row.table}"}, run_name=name
        )
    run_id, when = (
        run.info.run_id,
        run.info.start_time,
    )  # the same time on a second attempt repeats no metric
    client.log_batch(
        run_id,
        metrics=[
            Metric(key, v, when, step)
            for step, at in enumerate(path)
            for key, v in at.values.items()
        ],
        params=[Param(key, value) for key, value in row.params().items()],
        tags=[RunTag(key, value) for key, value in _tags(row, path).items()],
    )
    client.log_text(run_id, json.dumps(_exact(row, path), indent=1), schema.CRITERIA_JSON)
    client.set_terminated(run_id)


def _tags(row: Row, path: Sequence[Row]) -> dict[str, str]:
    diverged = sorted(
        {name for at in path for name, value in at.values.items() if math.isinf(value)}
    )
    return {
        schema.NOTE: f"Printed in Table {row.table} of {SOURCE}; not computed here.",
        schema.ABOUT_INTERVENTIONS: catalogue.as_tag(
            {name: catalogue.INTERVENTIONS[name] for name, _ in row.steps}
        ),
        schema.ABOUT_CRITERIA: catalogue.as_tag(
            {name: catalogue.CRITERIA[name] for name in CRITERIA}
        ),
        **({schema.DIVERGED: ",".join(diverged)} if diverged else {}),
    }


def _exact(row: Row, path: Sequence[Row]) -> dict[str, Any]:
    """What our own runs keep in criteria.json; the paper prints no standard errors."""
    steps = [
        {
            "step": step,
            "intervention": row.specs()[step - 1] if step else None,
            "paper_table": at.table,
            "criteria": {
                key: {"value": schema.exact(v), "stderr": "nan"} for key, v in at.values.items()
            },
        }
        for step, at in enumerate(path)
    ]
    return {"composition": row.params()[schema.COMPOSITION], "steps": steps}


def _strength(name: str) -> str | None:
    return catalogue.INTERVENTIONS[name].strength


def _level(name: str, text: str) -> float | None:
    """Sparsity as a number, bits as an integer; None where the table has no level."""
    return None if not text else int(text) if _strength(name) == "bits" else float(text)


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit status."""
    return lifecycle.exit_status(lambda: _main(arguments))


def _main(arguments: Sequence[str]) -> None:
    if arguments:
        raise InvalidInput(f"the import takes no parameters, but got {arguments[0]!r}")
    with _launcher_run():
        added = publish()
    print(f"{added} runs added to experiment {EXPERIMENT!r} in {store.uri()}")


@contextmanager
def _launcher_run() -> Iterator[None]:
    """If `mlflow run` made a run for this command, give it a name and an end."""
    run_id = lifecycle.launched()
    if run_id is None:
        yield
        return
    client = MlflowClient(tracking_uri=store.uri())
    client.update_run(run_id, name="import of the paper's rows")
    with lifecycle.ending(client, run_id):
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
