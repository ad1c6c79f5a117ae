"""The data of a run as MLflow's inputs: what its steps learn from and what judges them, in parts.

A part is one data set, named ``testbed/edits`` and known by a digest of its content. The metrics of
a checkpoint are linked to the one that they were measured on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import tenacity
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from interventions.composition import digest
from interventions.criteria.base import Criterion
from interventions.criteria.references import REFERENCES
from interventions.data.base import Data
from tracking import schema

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tracking.plan import Plan

TRAINING, EVALUATION = "training", "evaluation"  # MLflow's words for a data set's context
_LONGEST_TEXT = 500  # characters of a name or an input's tag
# parts of edits, and parts that are no content
_OF_EDITS = frozenset({"rephrasings", "portability", "hops", "aliases", "reversals"})
_NO_CONTENT = frozenset({"window", "forget_topics"} | {each.part for each in REFERENCES})
# how SQLite, PostgreSQL and MySQL say that another process has just made the same row
_CONFLICT = re.compile("IntegrityError|UniqueViolation|Duplicate entry")
_SHOWN = {"test_text": "perplexity"}  # as somebody's own data call it


@dataclass(frozen=True)
class RunDataset:
    """One part of a run's data.

    Attributes:
        name: "testbed/edits".
        digest: of its content: equal content has equal digests, whatever the run.
        contexts: "training" where a step learns from it, "evaluation" where a criterion reads it.
        readers: the steps and criteria that read it.
        rows: how many texts, edits or prompts it has; None where that is not known.
    """

    name: str
    digest: str
    contexts: tuple[str, ...]
    readers: tuple[str, ...]
    rows: int | None = None


def dataset_of_criterion(criterion: Criterion, data: Data) -> RunDataset | None:
    """Return what a criterion is measured on; None if it looks at the weights alone.

    Args:
        criterion: any.
        data: what it is measured on, after ``limited``.

    Example:
        >>> from interventions.criteria.base import criterion_of
        >>> from interventions.data.testbed import testbed
        >>> dataset_of_criterion(criterion_of(testbed(), "edit_success"), testbed()).name
        'testbed/edits'
    """
    parts = _content(criterion.reads)
    if not parts:
        return None
    about: dict[str, Any] = {"contexts": (EVALUATION,), "readers": (criterion.name,)}
    if parts == ["questions"]:
        names = [need.removeprefix("questions.") for need in criterion.needs]
        questions = data.questions.only(names or data.questions.names)
        part = f"questions.{criterion.name}"
        return RunDataset(_name(data, part), digest("questions", questions.identity), **about)
    if len(parts) == 1:
        identity, rows = data.identity(parts[0]), _rows(data, parts[0])
        return RunDataset(_name(data, parts[0]), identity, rows=rows, **about)
    identity = digest(*(data.identity(part) for part in parts))
    return RunDataset(_name(data, "+".join(parts)), identity, **about)


def datasets_of_criteria(plan: Plan) -> dict[str, RunDataset]:
    """Return what each of a plan's criteria is measured on, but for those of the weights alone."""
    datasets = {}
    for criterion in plan.criteria:
        dataset = dataset_of_criterion(criterion, plan.measured_data)
        if dataset is not None:
            datasets[criterion.name] = dataset
    return datasets


def run_datasets(plan: Plan) -> list[RunDataset]:
    """Return the parts of a plan's data that its steps and criteria read, each once.

    A part that nothing reads is not looked at: it may be a corpus on the hub.
    """
    datasets: dict[tuple[str, str], RunDataset] = {}
    for dataset in _read_by_plan(plan):
        identity = (dataset.name, dataset.digest)
        known = datasets.get(identity, dataset)
        datasets[identity] = replace(
            known,
            contexts=tuple(dict.fromkeys((*known.contexts, *dataset.contexts))),
            readers=tuple(dict.fromkeys((*known.readers, *dataset.readers))),
        )
    return list(datasets.values())


def log_datasets(client: MlflowClient, run_id: str, plan: Plan) -> None:
    """Log a plan's data as the inputs of its run.

    MLflow looks whether it has a data set and then makes it, so that of two runs that log the same
    one at the same instant the later fails; it is logged again, and then found.

    Args:
        client: of the store.
        run_id: of the run.
        plan: what it is of.
    """
    inputs = dataset_inputs(plan)
    again = tenacity.retry_if_exception(_is_conflict)
    retrying = tenacity.Retrying(
        retry=again,
        stop=tenacity.stop_after_attempt(5),
        wait=tenacity.wait_random(0.05, 0.5),
        reraise=True,
    )
    retrying(client.log_inputs, run_id, inputs)


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, MlflowException) and bool(_CONFLICT.search(str(error)))


def dataset_inputs(plan: Plan) -> list[DatasetInput]:
    """Return a plan's data as the inputs of an MLflow run: digest, context, source and readers."""
    source_type, source = _source(plan)
    return [
        DatasetInput(
            Dataset(
                name=dataset.name,
                digest=dataset.digest,
                source_type=source_type,
                source=json.dumps(source),
                profile=None if dataset.rows is None else json.dumps({"num_rows": dataset.rows}),
            ),
            [
                InputTag(MLFLOW_DATASET_CONTEXT, ", ".join(dataset.contexts)),
                InputTag(schema.READ_BY, ", ".join(dataset.readers)[:_LONGEST_TEXT]),
            ],
        )
        for dataset in run_datasets(plan)
    ]


def _read_by_plan(plan: Plan) -> Iterable[RunDataset]:
    for step in plan.composition.with_branches():
        data = step.own_data(plan.data)
        is_own = data is not plan.data
        for part in _content(step.reads):
            shown = f"{step.name}.{part}" if is_own and part == "calibration" else part
            yield RunDataset(
                _name(plan.data, shown),
                data.identity(part),
                (TRAINING,),
                (step.name,),
                _rows(data, part),
            )
    yield from datasets_of_criteria(plan).values()


def _content(reads: Iterable[str]) -> list[str]:
    """Return the parts of the data that hold content, in order; of an edit's parts the edits."""
    return sorted({"edits" if part in _OF_EDITS else part for part in reads} - _NO_CONTENT)


def _name(data: Data, part: str) -> str:
    return f"{data.name}/{_SHOWN.get(part, part)}"[:_LONGEST_TEXT]


def _rows(data: Data, part: str) -> int | None:
    content = getattr(data, part)
    # questions are counted where they are asked; a Lazy was read for its identity
    return None if part == "questions" else len(content)


def _source(plan: Plan) -> tuple[str, dict[str, Any]]:
    """Return the kind of a data set's source, and what says where it is, as MLflow reads them."""
    sources = dict(plan.data.sources)
    if "data" in sources:
        return "local", {"uri": sources["data"]}
    about = {
        "data": str(plan.settings.data),
        "split": plan.settings.split,
        "edit_batch": str(plan.settings.edit_batch),
    }
    return "code", {"tags": about | {f"{part}_from": text for part, text in sources.items()}}
