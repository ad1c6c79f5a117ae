"""Where runs are stored: the checkout's SQLite file, whichever folder one is in, unless MLFLOW_TRACKING_URI is set."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from interventions.cache import root
from interventions.errors import InvalidInput

EXPERIMENT = "composability"
_REACHED = 10.0  # seconds that a server may take to answer
REPORTS = "reports"  # where `analyze` logs its runs, and `mlflow run -e published` its own
VIEW = "criteria"  # the key of the saved view that `make ui` links to
_SHOWN = (
    "edit_success",
    "edit_generalization",
    "edit_locality",
    "wmdp",
    "mmlu",
    "wikitext_ppl",
    "average_bits",
)

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

REPORTS_DESCRIPTION = """\
**One run is one analysis** of the compositions in other experiments: open its artifact `report.html`. Tables, figures
and the numbers as CSV lie beside it; the run's note has the findings in words.
"""


def local_uri() -> str:
    """The checkout's own SQLite store."""
    return f"sqlite:///{root() / 'mlflow.db'}"


def uri() -> str:
    """The store that runs go to and are read from."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri()


def prepare() -> None:
    """Make the tables of a SQLite store that is not there yet; processes that race for it take turns."""
    database = _sqlite_file()
    if database is None or database.exists():
        return
    from filelock import FileLock
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        if database.exists():
            return
        aside = database.with_name(f".{database.name}.new")
        aside.unlink(missing_ok=True)
        engine = create_sqlalchemy_engine_with_retry(f"sqlite:///{aside}")
        _initialize_tables(engine)
        engine.dispose()
        aside.rename(database)  # whole or not at all


def check() -> None:
    """Raise InvalidInput, in one line, if the store cannot be reached; without MLflow's minutes of trying again."""
    import requests
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy.exc import SQLAlchemyError

    where = uri()
    try:
        if where.startswith(("http://", "https://")):
            requests.get(f"{where.rstrip('/')}/health", timeout=_REACHED).raise_for_status()
        elif _sqlite_file() is None and "://" in where:
            engine = create_sqlalchemy_engine(where)
            engine.connect().close()
            engine.dispose()
    except (requests.RequestException, SQLAlchemyError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(
            f"the store {_without_password(where)} cannot be reached: {reason}"
        ) from error


def _without_password(where: str) -> str:
    return re.sub(r"://([^:/@]+):[^@]*@", r"://\1:***@", where)


def experiment(name: str = EXPERIMENT, description: str | None = None) -> str:
    """The id of an experiment, made with a description if it is missing; two processes may race for it.

    Raises:
        InvalidInput: it was deleted; says how to restore it.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    prepare()
    client = MlflowClient(tracking_uri=uri())
    found = client.get_experiment_by_name(name)
    if found is None:
        told = description or (REPORTS_DESCRIPTION if name == REPORTS else DESCRIPTION)
        with suppress(MlflowException):  # another process made it meanwhile
            client.create_experiment(
                name,
                artifact_location=_artifacts(name),
                tags={"mlflow.note.content": told, f"mlflow.sharedViewState.{VIEW}": _view()},
            )
        found = client.get_experiment_by_name(name)
    if found is None:
        raise InvalidInput(f"experiment {name!r} could not be made in {uri()}")
    if found.lifecycle_stage == "deleted":
        raise InvalidInput(
            f"experiment {name!r} was deleted from {uri()}: restore it with"
            f" mlflow experiments restore -x {found.experiment_id}, or name another"
        )
    return str(found.experiment_id)


def _view() -> str:
    """A saved view of the runs table that shows what was applied and the criteria: by default it shows no metric."""
    name = "attributes.`Run Name`"
    columns = ["params.`pair`", *(f"metrics.`{criterion}`" for criterion in _SHOWN)]
    state = {
        "selectedColumns": columns,
        "columnOrder": [name, "runDateAndNestInfo", "duration", *columns],
        "columnWidths": {name: 420},
    }
    return json.dumps(
        {"name": "Criteria", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    )


def _sqlite_file() -> Path | None:
    prefix = "sqlite:///"
    return Path(uri().removeprefix(prefix)) if uri().startswith(prefix) else None


def _artifacts(name: str) -> str | None:
    """Beside a SQLite store; a server knows its own place."""
    database = _sqlite_file()
    if database is None:
        return None
    return (database.resolve().parent / "mlruns" / re.sub(r"[^\w-]", "_", name)).as_uri()
