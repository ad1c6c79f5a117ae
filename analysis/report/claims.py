"""Which comparisons may become claims: a sentence says "differs" of these only, after Holm.

A pair has points of a dozen criteria at every level. Claims are about the criteria that judge the
pair's work, and about general ability where none does; the others are a list with Benjamini and
Hochberg's q, so that what nobody asks about costs no power.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.inference.corrections import holm, may_claim
from analysis.labels import SHARES
from analysis.metrics.groups import CATEGORIES, category_of
from tracking.catalogue import Catalogue


def claimed_criteria(catalogue: Catalogue, measured: list[str]) -> dict[str, str]:
    """Return the criteria of claims, each with the category that it judges; "" is any pair's.

    Of the criteria in [0, 1] with a direction it is the first that judges each category, and the
    first that measures general ability.

    Args:
        catalogue: facts of the criteria.
        measured: names of those that some run has.

    Example:
        >>> claimed_criteria(Catalogue(), ["edit_success", "edit_locality", "wmdp", "mmlu"])
        {'edit_success': 'editing', 'wmdp': 'unlearning', 'mmlu': ''}
    """
    shares = {
        name: facts
        for name, facts in catalogue.criteria.items()
        if name in measured and facts.unit in SHARES and facts.better != "neither"
    }
    chosen: dict[str, str] = {}
    for category in CATEGORIES:
        judges = [name for name, facts in shares.items() if category in facts.judges]
        chosen |= dict.fromkeys(judges[:1], category)
    general = [
        name for name, facts in shares.items() if not facts.category and facts.better == "higher"
    ]
    return chosen | dict.fromkeys(general[:1], "")


def with_claims(points: pd.DataFrame, catalogue: Catalogue, confidence: float) -> pd.DataFrame:
    """Return points whose ``p_holm`` and ``differs`` are of the family of claims alone.

    Args:
        points: rows of ``intervals``, of all pairs.
        catalogue: facts of interventions and criteria.
        confidence: 1 less it is the error of all claims together.

    Returns:
        The points with ``about``, whether the criterion judges the pair's work or general ability,
        and ``claimed``, whether the point is of the family; outside of it ``p_holm`` is NaN and
        ``differs`` false.
    """
    category_of_criterion = claimed_criteria(catalogue, list(points.criterion.unique()))
    judged = points.criterion.map(category_of_criterion)
    is_general, is_judged = judged == "", pd.Series(False, index=points.index)
    for side in ("intervention", "partner"):
        is_judged |= points[side].map(lambda name: category_of(name, catalogue)) == judged
    has_judged = is_judged.groupby(points.point).transform("any")
    is_claimed = is_judged | (is_general & ~has_judged)
    p_holm = holm(np.where(is_claimed, points.p_claim, np.nan))
    return points.assign(
        about=is_judged | is_general,
        claimed=is_claimed,
        p_holm=p_holm,
        differs=may_claim(p_holm, confidence),
    )
