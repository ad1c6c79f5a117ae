"""The third answer to a pair: the merge of both interventions, beside one after the other.

A merge of two branches of one step each is compared with both orders of the pair of these steps,
by the procedures of the pair: to them, the merge stands for the opposite order.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.inference.confidence import CONFIDENCE
from analysis.inference.intervals import intervals
from analysis.metrics.align import finished
from analysis.metrics.columns import VARIANT
from analysis.metrics.measures import complete
from analysis.metrics.points import point
from analysis.metrics.usable import usable
from analysis.report.claims import with_claims
from interventions.errors import InvalidInput
from tracking import query, schema
from tracking.catalogue import Catalogue

if TYPE_CHECKING:
    from analysis.report.prepare import PreparedAnalysis

MERGING = "merging"  # the category
_BRANCHES = "branches"  # the hyperparameter that says what was merged
# of the rows that say how a merge compares with an order
_GAIN = ("gain", "gain_low", "gain_high", "p_holm", "differs", "basis", "units")
_OF_CRITERION = ["better", "about"]
_SAME = ["pair", "way", "intervention", "partner", "strength", "level", *VARIANT, "criterion"]


def merges_of_pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the finished runs that merge two single steps, with what they are answers to.

    Args:
        runs: rows of ``compositions``.

    Returns:
        The runs with ``merged_pair``, "lora + rmu", ``branch1, branch2``, the steps' names, and
        ``way``, that of merging: "merge(how='ties')".
    """
    ended = finished(usable(runs)[0])
    if not len(ended) or "step1" not in ended:
        return ended.iloc[:0].assign(merged_pair="", branch1="", branch2="", way="")
    facts = Catalogue.from_runs(ended).interventions
    merging = [name for name, fact in facts.items() if fact.category == MERGING]
    rows = []
    for index, run in zip(ended.index, ended.to_dict("records"), strict=True):
        name = run["step1"]
        branches = _branches(run.get(f"{name}.{_BRANCHES}")) if run["pair"] in merging else []
        names = [branch.partition("(")[0] for branch in branches]
        is_single = all(len(schema.split_steps(branch)) == 1 for branch in branches)
        if len(set(names)) == len(branches) == 2 and is_single:
            pair, way = schema.pair_name(names), _without(str(run["composition"]), branches)
            rows.append((index, pair, *names, way))
    columns = ["index", "merged_pair", "branch1", "branch2", "way"]
    named = pd.DataFrame(rows, columns=columns).set_index("index")
    return ended.loc[named.index].join(named)


def merged_points(
    runs: pd.DataFrame, items: pd.DataFrame | None = None, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Return how merges compare with both orders of the pairs that they are of.

    Only runs are compared whose settings and hyperparameters of both steps are equal, by seed and
    batch of edits, as with the orders of a pair. The orders' own measures are not touched.

    Args:
        runs: rows of ``compositions``.
        items: rows of ``tracking.query.items``, of the last step.
        confidence: of the intervals; 1 less it is the error of all claims together.

    Returns:
        A row per pair, way of merging, level and criterion: ``pair, way, intervention, partner,
        strength, level``, the variants, ``criterion, better``, and ``about``, whether the criterion
        judges the pair's work or general ability; ``merged``, its value; and of
        ``forward`` (intervention first) and ``backward``: the value, how much better the merge is
        than it (``…_gain``, ``…_gain_low``, ``…_gain_high``), ``…_p_holm``, corrected over all rows
        and both orders, ``…_differs``, ``…_basis``, ``…_units``, and ``…_runs``, the ids of the
        order's runs.
    """
    merges = merges_of_pairs(runs)
    sides = [
        side
        for (pair, way), of_way in merges.groupby(["merged_pair", "way"])
        for side in _sides(runs, of_way, str(pair), str(way), items, confidence)
    ]
    if not sides:
        return pd.DataFrame()
    frame = pd.concat(sides, ignore_index=True)
    frame["point"] = frame.groupby([*_SAME[:-1], "order"], dropna=False).ngroup()
    frame = with_claims(frame, Catalogue.from_runs(usable(runs)[0]), confidence)
    parts = [_of_order(frame, order) for order in ("forward", "backward")]
    both = parts[0].merge(
        parts[1], on=[*_SAME, *_OF_CRITERION], how="outer", suffixes=("", "_again")
    )
    # equal but where an order lacks some of the merge's seeds and batches
    both["merged"] = both.merged.fillna(both.merged_again)
    for name in ("forward_runs", "backward_runs"):
        both[name] = [run_ids if isinstance(run_ids, tuple) else () for run_ids in both[name]]
    return both.drop(columns="merged_again")


def requested_merges(prepared: PreparedAnalysis, items: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return how merges compare with orders, of the requested criteria; None of none.

    Args:
        prepared: the checked request, with the runs.
        items: those that were read of both orders; the merges' are read as well then.
    """
    merges = merges_of_pairs(prepared.runs)
    if not len(merges):
        return None
    if items is not None:
        of_merges = query.items(merges, prepared.criteria, missing="skip")
        items = pd.concat([items, of_merges])
    frame = merged_points(prepared.runs, items)
    if not len(frame):
        return None
    frame = frame[frame.criterion.isin(prepared.criteria)].reset_index(drop=True)
    return frame if len(frame) else None


def _branches(value: Any) -> list[str]:
    """Return the texts of a run's branches: the param is a list, or the text of one."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return []
    is_list = isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
    return list(value) if is_list else []


def _without(composition: str, branches: list[str]) -> str:
    """Return a merge without its branches where these have no weights of their own."""
    if "weights=" in composition:
        return composition
    return composition.replace(", ".join(branches), "", 1).replace("(, ", "(", 1).removesuffix("()")


def _sides(
    runs: pd.DataFrame,
    merges: pd.DataFrame,
    pair: str,
    way: str,
    items: pd.DataFrame | None,
    confidence: float,
) -> Iterator[pd.DataFrame]:
    """Yield the comparison of one way of merging with each order of its pair."""
    orders = runs[runs.pair == pair]
    of_the_merge = [name for name in runs if str(name).partition(".")[0] in set(merges.step1)]
    extra = ["merged_pair", "branch1", "branch2", "way"]
    for first in sorted(set(orders.step1)):
        of_order = orders[orders.step1 == first]
        second = next(name for name in pair.split(" + ") if name != first)
        # in the place of the opposite order
        stand_in = merges.assign(pair=pair, step1=second, step2=first).drop(columns=extra)
        stand_in = stand_in.assign(**{str(name): None for name in of_the_merge})
        together = pd.concat([of_order, stand_in]).astype(
            {
                name: runs[name].dtype
                for name in runs
                if name in of_order and name not in of_the_merge
            }
        )
        try:
            points = point(together)
        except InvalidInput:  # no run of the order has the merge's settings
            continue
        points = points[complete(points)].reset_index(drop=True)
        compared = intervals(together, points, items, confidence)
        is_forward = compared.intervention == first
        yield _merge_first(compared, is_forward).assign(pair=pair, way=way)


def _merge_first(compared: pd.DataFrame, is_forward: pd.Series) -> pd.DataFrame:
    """Return points whose gain is the merge's over the order.

    Args:
        compared: of ``intervals``, of an order and the merge in the place of the other.
        is_forward: where the order is that with the intervention first.
    """
    sign = is_forward.map({True: -1.0, False: 1.0})
    low = compared.gain_low.where(~is_forward, -compared.gain_high)
    high = compared.gain_high.where(~is_forward, -compared.gain_low)
    return compared.assign(
        order=is_forward.map({True: "forward", False: "backward"}),
        value=compared.forward.where(is_forward, compared.backward),
        merged=compared.backward.where(is_forward, compared.forward),
        order_runs=compared.forward_runs.where(is_forward, compared.backward_runs),
        gain=sign * compared.gain,
        gain_low=low,
        gain_high=high,
    )


def _of_order(frame: pd.DataFrame, order: str) -> pd.DataFrame:
    """Return the rows of one order, with its name before what is only of it."""
    rows = frame[frame.order == order]
    named = {name: f"{order}_{name}" for name in _GAIN} | {"order_runs": f"{order}_runs"}
    rows = rows.drop(columns=["forward", "backward", "forward_runs", "backward_runs"])
    rows = rows.rename(columns={**named, "value": order})
    return rows[[*_SAME, *_OF_CRITERION, "merged", order, *named.values()]]
