"""Tell apart runs by everything that was set: which columns are settings, and what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.metrics.columns import POINT, REPLICATE
from tracking.catalogue import Catalogue
from tracking.markup import plain
from tracking.query import BOOKKEEPING

_ALWAYS_SHOWN = ("model", "data")
_SAID_BY_DATA = ("window",)  # not shown where all runs on the same data have the same
_DESCRIBES_STEPS = ("composition", "pair")
_CHANGES_NO_VALUE = ("criteria",)  # what else was measured is no setting of what was


def settings_of(runs: pd.DataFrame, catalogue: Catalogue) -> list[str]:
    """Return the columns that are settings, in their order.

    A setting is a hyperparameter (``wanda.samples``), or a param that is neither bookkeeping, nor a
    replicate, nor a description of the steps. Params are text or integers, metrics are floats.

    Args:
        runs: rows of ``tracking.query.compositions``.
        catalogue: names the criteria, which are no settings.
    """
    replaced = {*BOOKKEEPING, *_DESCRIBES_STEPS, *_CHANGES_NO_VALUE, *REPLICATE, *POINT}
    replaced |= set(catalogue.criteria)
    columns = []
    for name in runs.columns:
        if name in replaced or name.startswith("step") or "/" in name:
            continue
        # a third party's metric is a float, and its params are not: they are logged as text
        if "." in name or not pd.api.types.is_float_dtype(runs[name].dtype):
            columns.append(name)
    return columns


def describe_settings(runs: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Number the combinations of settings, and say in words in what they differ.

    Args:
        runs: with ``intervention``, ``partner`` and ``strength``, the column that holds the level.
        catalogue: names the criteria, which are no settings.

    Returns:
        A row per run: ``settings``, equal where all settings but the level are equal; ``context``,
        model, data and what else differs between runs; ``intervention_variant`` and
        ``partner_variant``, the hyperparameters of each step that differ.
    """
    columns = settings_of(runs, catalogue)
    codes = np.empty((len(runs), len(columns)), dtype=np.int64)
    shown: dict[str, pd.Series] = {}
    for index, column in enumerate(columns):
        values = runs[column].where(runs.strength != column)  # the level is no setting
        # lists, as of layers, cannot be counted; their text can
        countable = values.map(str, na_action="ignore") if values.dtype == object else values
        # what is missing is no value: only one method of several may have the hyperparameter
        codes[:, index], distinct = pd.factorize(countable, use_na_sentinel=True)
        is_shown = len(distinct) > 1 and not (column in _SAID_BY_DATA and _is_implied(runs, column))
        if is_shown or column in _ALWAYS_SHOWN:
            shown[column] = values
    numbers = _number_rows(codes)
    roles = ("intervention", "partner")
    # of runs with the same settings and steps, one is put in words for all
    key = pd.DataFrame({"settings": numbers, **{role: runs[role].to_numpy() for role in roles}})
    group = key.groupby(list(key)).ngroup().to_numpy()
    _, first = np.unique(group, return_index=True)
    of_runs = [(name, values.iloc[first]) for name, values in shown.items() if "." not in name]
    words = {"context": _words(of_runs, len(first))}
    for role in roles:
        hyperparameters = _hyperparameters(shown, runs[role], first)
        words[f"{role}_variant"] = _words(hyperparameters, len(first))
    return pd.DataFrame(words).iloc[group].set_axis(runs.index).assign(settings=numbers)


def _number_rows(codes: np.ndarray) -> np.ndarray:
    """Number the distinct rows of codes, of shape (runs, settings), in their order; shape (runs,).

    Columns in which all rows are the same tell none apart, and are most of them.
    """
    if not len(codes):
        return np.zeros(0, dtype=np.int64)
    differing = codes[:, (codes != codes[0]).any(axis=0)]
    if not differing.shape[1]:
        return np.zeros(len(codes), dtype=np.int64)
    _, numbers = np.unique(differing, axis=0, return_inverse=True)
    return numbers


def _is_implied(runs: pd.DataFrame, column: str) -> bool:
    return "data" in runs and bool(runs.groupby("data")[column].nunique(dropna=False).max() <= 1)


def _hyperparameters(
    shown: dict[str, pd.Series], steps: pd.Series, rows: np.ndarray
) -> list[tuple[str, pd.Series]]:
    """Return ``samples`` of ``wanda.samples`` in some rows, without those of other steps."""
    hyperparameters = []
    for column, values in shown.items():
        step, dot, name = column.partition(".")
        if dot:
            hyperparameters.append((name, values.iloc[rows].where(steps.iloc[rows] == step)))
    return hyperparameters


def _words(settings: list[tuple[str, pd.Series]], length: int) -> list[str]:
    """Return ``name=value, name=value`` for each of ``length`` rows, without missing values."""
    rows: list[list[str]] = [[] for _ in range(length)]
    for name, values in settings:
        for row, value, is_known in zip(rows, values, values.notna(), strict=True):
            if is_known:
                text = f"{value:g}" if isinstance(value, float) else f"{value}"
                row.append(f"{name}={text}")
    return [plain(", ".join(row)) for row in rows]
