"""Know where runs are stored: in the checkout's SQLite file, or where MLFLOW_TRACKING_URI says."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from interventions.errors import InvalidInput
from interventions.files import whole_file
from tracking import schema
from tracking.address import local_uri, shown_address, sqlite_file, uri
from tracking.house_facts import house_criteria
from tracking.reachable import OldSchema, StoreUnreachable, check_reachable, damaged_store
from tracking.saved_views import SavedView, criteria_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "DESCRIPTION",
    "EXPERIMENT",
    "REPORTS",
    "REPORTS_DESCRIPTION",
    "SOUND_RUNS",
    "VIEW",
    "OldSchema",
    "StoreUnreachable",
    "check_reachable",
    "client",
    "damaged_store",
    "ensure_experiment",
    "local_uri",
    "prepare_database",
    "shown_address",
    "uri",
]

EXPERIMENT = "composability"
REPORTS = "reports"  # the experiment of analyses, and of `mlflow run -e published` itself
VIEW = "criteria"  # the key of the saved view that `make ui` links to
_DATABASE_LOGGER = "mlflow.store.db.utils"
# MLflow's filter for the runs table: not those whose input was refused, nor dry runs
SOUND_RUNS = f"tags.`{schema.REJECTED}` IS NULL"
_VIEW_METRICS = (
    "edit_success",
    "edit_generalization",
    "edit_locality",
    "wmdp",
    "mmlu",
    "wikitext_ppl",
    "average_bits",
)

# Markdown: a line break within a cell would end the table's row
DESCRIPTION = """\
**One run is one composition of interventions on a language model.** A metric's *step* is the number
of interventions applied (0 = the base model), so the chart of a metric shows its path through the
composition, and the table its end.

| column | meaning |
|---|---|
| `composition`, `step1`, `step2`, … | what was applied, in order |
| `pair` | the interventions of both orders under one name: group by it to compare orders |
| `<intervention>.<hyperparameter>` | every hyperparameter, defaults too |
| `model`, `data`, `seed`, `dtype`, `edit_batch`, `window`, `recompress` | the settings of the \
run; `used.…`: what one came to |
| `edits_from`, `awq.calibration_from` | what was read, where there is a choice of files |
| `edit_success`, `edit_generalization`, `edit_locality`, `edit_preservation` | editing, F1 or \
share; ↑ better |
| `edit_success_first` | of the first batch of edits, where a run writes several; ↑ better |
| `edit_portability`, and its parts `edit_portability_hop`, `edit_portability_alias`, \
`edit_portability_reverse` | F1 on questions that follow from the edits; ↑ better |
| `facts_exact` | share of known facts that are recalled word for word; ↑ better |
| `wmdp_bio`, `wmdp_cyber`, `wmdp` | four-choice accuracy on hazardous knowledge; ↓ better; \
chance is 0.25 |
| `mmlu` | four-choice accuracy on knowledge to keep; ↑ better |
| `wikitext_ppl` | token perplexity on held-out text; ↓ better |
| `average_bits`, `sparsity` | measured on the weights of the compressed layers; bits: ↓ better |
| `stderr/<criterion>` | its standard error over items |
| `cost/…` | seconds and peak memory, per step |
| tag `composability.weights` | a hash of the weights after the last step: runs with equal \
ones are one replicate |
| tag `composability.without_effect` | the numbers of the steps that changed no weight |
| tag `composability.recompressed` | the compressions that were applied again at the end |
| tag `composability.reused_prefix` | how many steps came from a kept checkpoint |
| tags `composability_machine.…` | for programs: whose process it is, what is measured |

On the testbed (`data = testbed@…`), `mmlu`, `wmdp_*` and `wikitext_ppl` are roles: they are
measured on its stand-ins (synthetic facts and prose), not on the data sets that gave them their
names.
"""

REPORTS_DESCRIPTION = """\
**One run is one analysis** of the compositions in other experiments: open its artifact
`report.html`. Tables, figures and the numbers as CSV lie beside it; the run's note has the findings
in words.
"""


def prepare_database() -> None:
    """Make the tables of a SQLite store that is missing; processes that race for it take turns."""
    database = sqlite_file(uri())
    if database is None or database.exists():
        return
    from filelock import FileLock
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        if database.exists():
            return
        with whole_file(database) as partial:
            partial.unlink(missing_ok=True)  # of a process with our number that was killed
            engine = create_sqlalchemy_engine_with_retry(f"sqlite:///{partial}")
            _initialize_tables(engine)
            engine.dispose()


def client() -> MlflowClient:
    """Return a client of the store; one that is missing is made first, by one process at a time.

    MLflow's own client makes the tables too, but two that do so at one instant fail. Where a
    database cannot be reached, it logs the traceback of an error that it raises, too: from here on
    in this process such errors are raised and not logged.
    """
    from mlflow import MlflowClient

    logging.getLogger(_DATABASE_LOGGER).addFilter(_is_without_error)
    prepare_database()
    return MlflowClient(tracking_uri=uri())


def _is_without_error(record: logging.LogRecord) -> bool:
    return not record.exc_info


def ensure_experiment(name: str = EXPERIMENT, description: str | None = None) -> str:
    """Return the id of an experiment; make it, with a description, if it is missing.

    Two processes may race for it.

    Args:
        name: the experiment's.
        description: Markdown, shown above its runs; by default what the columns mean.

    Raises:
        InvalidInput: it was deleted (the line says how to restore it), or cannot be made.
        StoreUnreachable: the store is away, or is none.
    """
    from mlflow.exceptions import MlflowException

    check_reachable()
    mlflow_client = client()
    experiment = mlflow_client.get_experiment_by_name(name)
    if experiment is None:
        usual = REPORTS_DESCRIPTION if name == REPORTS else DESCRIPTION
        tags = {schema.NOTE: description or usual, _view().tag: _view().text()}
        with suppress(MlflowException):  # another process made it meanwhile
            mlflow_client.create_experiment(name, artifact_location=_artifacts(name), tags=tags)
        experiment = mlflow_client.get_experiment_by_name(name)
    if experiment is None:
        raise InvalidInput(f"experiment {name!r} could not be made in {shown_address()}")
    if experiment.lifecycle_stage == "deleted":
        raise InvalidInput(
            f"experiment {name!r} was deleted from {shown_address()}: restore it with"
            f" mlflow experiments restore -x {experiment.experiment_id}, or name another"
        )
    return str(experiment.experiment_id)


def _view() -> SavedView:
    """Return a saved view of the runs page with the criteria: MLflow's own shows no metric."""
    return criteria_view(VIEW, SOUND_RUNS, _VIEW_METRICS, list(house_criteria()))


def _artifacts(name: str) -> str | None:
    """Return a folder beside a SQLite store; None for a server, which has a place of its own."""
    database = sqlite_file(uri())
    if database is None:
        return None
    return (database.resolve().parent / "mlruns" / re.sub(r"[^\w-]", "_", name)).as_uri()
