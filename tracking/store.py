"""Where runs are stored: the checkout's SQLite file, whichever folder one is in, unless MLFLOW_TRACKING_URI is set."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

EXPERIMENT = "composability"

DESCRIPTION = """\
**One run is one composition of interventions on a language model.** A metric's *step* is the number of interventions
applied (0 = the base model), so the chart of a metric shows its path through the composition, and the table its end.

| column | meaning |
|---|---|
| `composition`, `step1`, `step2`, … | what was applied, in order |
| `pair` | the interventions of both orders under one name: group by it to compare orders |
| `<intervention>.<hyperparameter>` | every hyperparameter, defaults too |
| `model`, `data`, `seed`, `dtype`, `edit_batch`, `recompress` | the settings of the run |
| `edit_success`, `edit_generalization`, `edit_locality`, `edit_preservation` | editing, F1 or share; ↑ better |
| `wmdp_bio`, `wmdp_cyber`, `wmdp` | four-choice accuracy on hazardous knowledge; ↓ better; chance is 0.25 |
| `mmlu` | four-choice accuracy on knowledge to keep; ↑ better |
| `wikitext_ppl` | token perplexity on held-out text; ↓ better |
| `average_bits`, `sparsity` | measured on the weights of the compressed layers; bits: ↓ better |
| `stderr/<criterion>` | its standard error over items |
| `cost/…` | seconds and peak memory, per step |
| tag `composability.recompressed` | the compressions that were applied again at the end |
| tag `composability.reused_prefix` | how many steps came from a kept checkpoint |

With `data = testbed`, `mmlu`, `wmdp_*` and `wikitext_ppl` are roles: they are measured on the testbed's stand-ins
(synthetic facts and prose), not on the data sets that gave them their names.
"""


def root() -> Path:
    """The checkout (the folder with MLproject above this file); elsewhere the current folder."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "MLproject").exists() else Path.cwd()


def local_uri() -> str:
    """The checkout's own SQLite store."""
    return f"sqlite:///{root() / 'mlflow.db'}"


def uri() -> str:
    """The store that runs go to and are read from."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri()


def experiment(name: str = EXPERIMENT) -> str:
    """The id of an experiment, made with its description if it is missing; two processes may race for it.

    Raises:
        ValueError: it was deleted; says how to restore it.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri())
    found = client.get_experiment_by_name(name)
    if found is None:
        local = uri() == local_uri()
        with suppress(MlflowException):  # another process made it meanwhile
            client.create_experiment(
                name,
                artifact_location=(root() / "mlruns" / name).as_uri() if local else None,
                tags={"mlflow.note.content": DESCRIPTION, "mlflow.experimentKind": "custom_model_development"},
            )
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        state = "was deleted" if found else "cannot be made"
        raise ValueError(
            f"experiment {name!r} {state} in {uri()}; restore it with `mlflow experiments restore -x ID`"
            " (`mlflow experiments search --view deleted_only` lists the ids) or choose another name"
        )
    return str(found.experiment_id)
