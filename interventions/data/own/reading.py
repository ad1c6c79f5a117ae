"""Read a data set of somebody's own: from a YAML file, or from lists and tables in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from interventions.arguments import checked
from interventions.data.own.data_set import DataSet
from interventions.data.own.described import described_file
from interventions.data.own.description import data_set
from interventions.data.own.yaml_file import read_yaml
from interventions.errors import InvalidInput, did_you_mean, shown
from interventions.options import is_own_file

_TABLES = ("edits", "locality", "forget", "retain", "calibration", "statistics", "perplexity")


def resolved(data: Any) -> Any:
    """Return the data set where a setting ``data`` names a file of one; all else as it is."""
    return read_data_set(data) if is_own_file(data) else data


def read_data_set(path: str | Path) -> DataSet:
    """Return the data set that a YAML file describes.

    Args:
        path: of the file, as docs/howto/own-data.md describes it.

    Raises:
        InvalidInput: one line that names file, row and field, or the leak.
    """
    file, name = described_file(path)
    return data_set(read_yaml(file), file.parent, name).read_from(str(file))


@checked
def own_data(
    name: str = "ours",
    *,
    edits: Any = None,
    locality: Any = None,
    forget: Any = None,
    retain: Any = None,
    calibration: Any = None,
    statistics: Any = None,
    perplexity: Any = None,
    questions: Mapping[str, Any] | None = None,
    batch: int | None = None,
    window: int | None = None,
    retain_model: str | None = None,
    validation: float | None = None,
    seed: int = 0,
    defaults: str = "paper",
    allow_leak: Sequence[str] = (),
    folder: str | Path = ".",
) -> DataSet:
    """Return a data set of lists, DataFrames and files, for ``run``, ``grid`` and ``tune``.

    Everything is optional: a run measures what there is data for. A part is a list of rows, a
    DataFrame with a column for each field, the path of a file, or a mapping as in a YAML file
    (docs/howto/own-data.md).

    Args:
        name: how runs call it.
        edits: rows with subject, prompt (which ends where the answer begins) and target; optional:
            original, rephrasings, locality, portability.
        locality: rows with prompt and answer, which editing is not to change.
        forget: texts.
        retain: texts.
        calibration: texts.
        statistics: texts, of which MEMIT takes second moments.
        perplexity: texts.
        questions: name of a set -> ``{"rows": rows, "better": "higher"}``, with rows of question,
            choices (four) and answer; optional: chance, title, answers.
        batch: edits in a batch; all by default.
        window: tokens that perplexity scores together.
        retain_model: folder of a model that was trained without what is to be forgotten, which
            ``forget_quality`` compares with.
        validation: the share of what is measured that is for tuning.
        seed: of the draw of that share.
        defaults: whose defaults hyperparameters have: "paper" or "testbed".
        allow_leak: overlaps that are meant, such as ``["forget-questions"]``.
        folder: which the paths of files are relative to.

    Raises:
        InvalidInput: one line that names the row and the field, or the leak.

    Example:
        >>> import pandas as pd
        >>> facts = pd.DataFrame(
        ...     {
        ...         "subject": ["Vesk", "Orlo"],
        ...         "prompt": ["The capital of Vesk is", "The river of Orlo is the"],
        ...         "target": ["Tarn", "Ebba"],
        ...     }
        ... )
        >>> data = own_data("rivers", edits=facts, batch=1, retain=["Tarn lies on the Ebba."])
        >>> [edit.target for edit in data.batch(edit_batch=1).edits]
        ['Ebba']
    """
    values: dict[str, Any] = dict(locals())  # before any other name: the arguments as given
    values.pop("folder")
    description = {key: value for key, value in values.items() if value is not None}
    for part in _TABLES:
        if part in description:
            description[part] = _plain(part, description[part])
    if questions is not None:
        description["questions"] = {
            key: _plain_set(f"questions.{key}", written) for key, written in questions.items()
        }
    description["allow_leak"] = list(allow_leak)
    return data_set(description, Path(folder), name)


def _plain_set(name: str, written: Any) -> Any:
    if not isinstance(written, Mapping):
        raise InvalidInput(
            f"{name} must be a mapping with rows and better (higher or lower), but got"
            f" {shown(written, 80)}"
        )
    return _plain(name, written)


def _plain(name: str, value: Any) -> Any:
    """Return a part as a YAML file would have it."""
    if isinstance(value, pd.DataFrame):
        if not all(isinstance(column, str) for column in value.columns):
            raise InvalidInput(
                f"{name}: the columns of a table must have names, but are"
                f" {shown(list(value.columns), 100)}"
            )
        if not value.columns.is_unique:
            raise InvalidInput(
                f"{name}: the columns of a table must have different names, but are"
                f" {shown(list(value.columns), 100)}"
            )
        return [_plain_row(row) for row in value.to_dict("records")]
    if isinstance(value, pd.Series):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(f"{name}.{key}", entry) for key, entry in value.items()}
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Sequence):
        return [_plain_row(row) for row in value]
    tables = did_you_mean(type(value).__name__, ["DataFrame", "list"])
    raise InvalidInput(
        f"{name} must be a list, a DataFrame, a path or a mapping, but got {shown(value, 80)}."
        f"{tables}".removesuffix(".")
    )


def _plain_row(row: Any) -> Any:
    """Return a row with lists and integers in place of NumPy's, which a table may have."""
    if isinstance(row, Mapping):
        return {str(key): _plain_row(value) for key, value in row.items()}
    if hasattr(row, "tolist"):
        return _plain_row(row.tolist())
    if isinstance(row, list | tuple):
        return [_plain_row(value) for value in row]
    return row
