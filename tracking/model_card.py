"""The card of a registered checkpoint: what it is, what it was measured to do, and on what data.

Imports no torch.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from tracking import schema
from tracking.markup import plain_markdown
from tracking.query import row_of

_NORMAL_95 = 1.959964  # standard errors to each side of a mean
_SETTINGS = ("model", "data", "seed", "edit_batch", "split", "dtype", "limit", "recompress")
_NO_TAGS: Mapping[str, str] = MappingProxyType({})
_UNKNOWN = "*to be filled in*"
_FRONT = "---\nlicense: other  # to be filled in: it follows from the model's and the data's\n---\n"


def model_card(
    run: Run, step: int, spec: str, names: Sequence[str], tags: Mapping[str, str] = _NO_TAGS
) -> str:
    """Return the card of a run's checkpoint as Markdown.

    Args:
        run: the run that made it.
        step: the number of interventions applied.
        spec: the steps that led to it, as a run's name has them.
        names: of the run's interventions, those applied again included.
        tags: of its LoggedModel, which say whether it is packed.
    """
    row = row_of(run)
    about = [(name, row[name]) for name in _SETTINGS if row.get(name) is not None]
    better = _directions(run)
    sections = [
        f"# {plain_markdown(spec)}",
        f"The checkpoint after step {step} of {len(names)} of run `{run.info.run_id}`, made by"
        " composable interventions: editing, unlearning and compression, one after another."
        f" `from_pretrained` loads it{_packed(tags)}.",
        _table(("setting", "value"), about),
        "## Hyperparameters",
        _table(("hyperparameter", "value"), _hyperparameters(row, names[:step])),
        "## Criteria",
        "Value and 95 % interval over the items of this one run (value ± 1.96 standard errors). It"
        " says nothing of other batches of edits, seeds or models.",
        _table(("criterion", "better", "value", "95 % over items"), _criteria(run, step, better)),
        "## Data",
        _table(("data set", "digest", "used for"), _datasets(run)),
        f"What is learned from, compared with what is measured: {_leakage(run)}.",
        "## Licence and use",
        f"- Licence of this model: {_UNKNOWN}\n- Licence of the base model: {_UNKNOWN}\n"
        f"- Licences of the data: {_UNKNOWN}\n- Intended use and limits: {_UNKNOWN}",
    ]
    return "\n\n".join(sections) + "\n"


def card_file(card: str) -> str:
    """Return a card as the README.md of a model: the licence is to be filled in.

    Example:
        >>> card_file("# lora").splitlines()[0]
        '---'
    """
    return _FRONT + card


def _hyperparameters(row: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    count_of_name = Counter[str]()
    for name in names:
        count_of_name[name] += 1
        count = count_of_name[name]
        prefix = f"{name}." if count == 1 else f"{name}_{count}."
        yield from ((column, row[column]) for column in sorted(row) if column.startswith(prefix))


def _criteria(
    run: Run, step: int, better: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    about = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/{schema.CRITERIA_JSON}")
    scores = next(entry["criteria"] for entry in about["steps"] if entry["step"] == step)
    for name, score in scores.items():
        value, stderr = float(score["value"]), float(score["stderr"])
        half = _NORMAL_95 * stderr
        is_known = math.isfinite(half) and math.isfinite(value) and half > 0
        interval = f"{value - half:.4g} to {value + half:.4g}" if is_known else "not known"
        yield name, better.get(name, ""), f"{value:.4g}", interval


def _directions(run: Run) -> dict[str, str]:
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        facts = json.loads(schema.renamed(run.data.tags).get(schema.ABOUT_CRITERIA, "{}"))
        return {name: str(entry["better"]) for name, entry in facts.items()}
    return {}


def _datasets(run: Run) -> Iterator[tuple[str, str, str]]:
    for entry in run.inputs.dataset_inputs if run.inputs else ():
        contexts = {tag.key: tag.value for tag in entry.tags}
        yield entry.dataset.name, entry.dataset.digest, contexts.get(MLFLOW_DATASET_CONTEXT, "")


def _packed(tags: Mapping[str, str]) -> str:
    """Return what a packed form takes to load, and how far it is from what was measured."""
    if schema.EXPORT not in tags:
        return ""
    format = plain_markdown(tags[schema.EXPORT])
    difference = plain_markdown(tags.get(schema.EXPORT_DIFFERENCE, "unknown"))
    return (
        f" where the library of the format {format} is installed: the weights are packed. The"
        " largest difference of a weight from the dense checkpoint, which was measured:"
        f" {difference}"
    )


def _leakage(run: Run) -> str:
    return plain_markdown(run.data.tags.get(schema.LEAKAGE, "not recorded"))


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [[plain_markdown(str(cell)) for cell in row] for row in rows]
    if not lines:
        return "Not recorded."
    marks = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *lines))
