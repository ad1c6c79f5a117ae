"""Know where runs are stored: in the checkout's SQLite file, or where MLFLOW_TRACKING_URI says."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from interventions.cache import root
from interventions.errors import InvalidInput
from interventions.files import whole_file

EXPERIMENT = "composability"
REPORTS = "reports"  # the experiment of analyses, and of `mlflow run -e published` itself
VIEW = "criteria"  # the key of the saved view that `make ui` links to
_ANSWER_SECONDS = 10.0  # that a server may take
_ADDRESS = re.compile(r"[\w+.-]+://\S+")
_SECRET_IN_QUERY = re.compile(r"([?&]\w*(?:password|token)=)[^&#\s]*", re.IGNORECASE)
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
| `model`, `data`, `seed`, `dtype`, `edit_batch`, `recompress` | the settings of the run |
| `edit_success`, `edit_generalization`, `edit_locality`, `edit_preservation` | editing, F1 or \
share; ↑ better |
| `wmdp_bio`, `wmdp_cyber`, `wmdp` | four-choice accuracy on hazardous knowledge; ↓ better; \
chance is 0.25 |
| `mmlu` | four-choice accuracy on knowledge to keep; ↑ better |
| `wikitext_ppl` | token perplexity on held-out text; ↓ better |
| `average_bits`, `sparsity` | measured on the weights of the compressed layers; bits: ↓ better |
| `stderr/<criterion>` | its standard error over items |
| `cost/…` | seconds and peak memory, per step |
| tag `composability.recompressed` | the compressions that were applied again at the end |
| tag `composability.reused_prefix` | how many steps came from a kept checkpoint |

With `data = testbed`, `mmlu`, `wmdp_*` and `wikitext_ppl` are roles: they are measured on the
testbed's stand-ins (synthetic facts and prose), not on the data sets that gave them their names.
"""

REPORTS_DESCRIPTION = """\
**One run is one analysis** of the compositions in other experiments: open its artifact
`report.html`. Tables, figures and the numbers as CSV lie beside it; the run's note has the findings
in words.
"""


def local_uri() -> str:
    """Return the address of the checkout's own SQLite store."""
    return f"sqlite:///{root() / 'mlflow.db'}"


def uri() -> str:
    """Return the address of the store that runs go to and are read from, password and all."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri()


def shown_address(address: str | None = None) -> str:
    """Return a store's address as it may be printed: ``***`` for its password or token.

    Args:
        address: the store's; by default that of the current one. It may be part of a longer
            text, such as an error message.

    Example:
        >>> shown_address("postgresql://ada:p@ss@host:5432/runs?sslmode=require")
        'postgresql://ada:***@host:5432/runs?sslmode=require'
        >>> shown_address("http://host:5000/?token=secret")
        'http://host:5000/?token=***'
    """
    return _ADDRESS.sub(_without_secrets, uri() if address is None else address)


def _without_secrets(match: re.Match[str]) -> str:
    address = _SECRET_IN_QUERY.sub(r"\1***", match[0])
    scheme, _, rest = address.partition("://")
    # the last @ before the host counts; it may be one of the password
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at_sign, _ = authority.rpartition("@")
    if not at_sign:
        # SQLAlchemy lets a password contain / ? #, so that it seems to be the path
        odd = re.match(r"[^:/?#@]*:(?!\d+(?:[/?#]|$))[^@]*(?=@)", rest)
        login = odd[0] if odd else ""
    user, colon, _ = login.partition(":")
    return f"{scheme}://{user}:***{rest[len(login) :]}" if colon else address


def prepare_database() -> None:
    """Make the tables of a SQLite store that is missing; processes that race for it take turns."""
    database = _sqlite_file()
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


def check_reachable() -> None:
    """Check that the store answers, without MLflow's minutes of trying again.

    Raises:
        InvalidInput: it does not; the reason in one line.
    """
    import requests
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy.exc import SQLAlchemyError

    address = uri()
    try:
        if address.startswith(("http://", "https://")):
            health = requests.get(f"{address.rstrip('/')}/health", timeout=_ANSWER_SECONDS)
            health.raise_for_status()
        elif _sqlite_file() is None and "://" in address:
            engine = create_sqlalchemy_engine(address)
            engine.connect().close()
            engine.dispose()
    except (requests.RequestException, SQLAlchemyError, ImportError) as error:
        reason = shown_address(" ".join(str(error).split()))[:200]
        raise InvalidInput(
            f"the store {shown_address(address)} cannot be reached: {reason}"
        ) from error


def ensure_experiment(name: str = EXPERIMENT, description: str | None = None) -> str:
    """Return the id of an experiment; make it, with a description, if it is missing.

    Two processes may race for it.

    Args:
        name: the experiment's.
        description: Markdown, shown above its runs; by default what the columns mean.

    Raises:
        InvalidInput: it was deleted (the line says how to restore it), or cannot be made.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    prepare_database()
    client = MlflowClient(tracking_uri=uri())
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        usual = REPORTS_DESCRIPTION if name == REPORTS else DESCRIPTION
        tags = {
            "mlflow.note.content": description or usual,
            f"mlflow.sharedViewState.{VIEW}": _view(),
        }
        with suppress(MlflowException):  # another process made it meanwhile
            client.create_experiment(name, artifact_location=_artifacts(name), tags=tags)
        experiment = client.get_experiment_by_name(name)
    if experiment is None:
        raise InvalidInput(f"experiment {name!r} could not be made in {shown_address()}")
    if experiment.lifecycle_stage == "deleted":
        raise InvalidInput(
            f"experiment {name!r} was deleted from {shown_address()}: restore it with"
            f" mlflow experiments restore -x {experiment.experiment_id}, or name another"
        )
    return str(experiment.experiment_id)


def _view() -> str:
    """Return a saved view of the runs table with the criteria: MLflow's own shows no metric."""
    name_column = "attributes.`Run Name`"
    columns = ["params.`pair`", *(f"metrics.`{criterion}`" for criterion in _VIEW_METRICS)]
    state = {
        "selectedColumns": columns,
        "columnOrder": [name_column, "runDateAndNestInfo", "duration", *columns],
        "columnWidths": {name_column: 420},
    }
    return json.dumps(
        {"name": "Criteria", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    )


def _sqlite_file() -> Path | None:
    prefix = "sqlite:///"
    return Path(uri().removeprefix(prefix)) if uri().startswith(prefix) else None


def _artifacts(name: str) -> str | None:
    """Return a folder beside a SQLite store; None for a server, which has a place of its own."""
    database = _sqlite_file()
    if database is None:
        return None
    return (database.resolve().parent / "mlruns" / re.sub(r"[^\w-]", "_", name)).as_uri()
