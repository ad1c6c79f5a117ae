"""The answers of other models, with which some criteria compare: loaded, asked, stored."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interventions.criteria.references import Reference, references_of
from interventions.data.base import Data
from interventions.errors import printable_line
from interventions.lm import LM
from tracking.plan import Plan

if TYPE_CHECKING:  # tracking.checkpoints imports tracking.chain, which imports this module
    from tracking.checkpoints.values import MeasuredValues


def load_model(plan: Plan, source: str = "") -> LM:
    """Load a model as a plan's settings say.

    Args:
        plan: of the run.
        source: another model's folder; "" for the plan's own base model.

    Raises:
        InvalidInput: as of ``LM.load``.
        OSError: likewise.
    """
    settings = plan.settings
    lm = LM.load(
        source or plan.source,
        settings.dtype,
        settings.device,
        None if source else plan.revision,
        trust_remote_code=settings.trust_remote_code,
        allow_pickle=settings.allow_pickle,
    )
    lm.prompt_format = plan.prompt_format
    return lm


def with_answers(plan: Plan, base: Callable[[], LM], values: MeasuredValues | None = None) -> Data:
    """Return what a plan's criteria are measured on, with the answers of other models in it.

    Where a model cannot give them there is a warning: what reads them fails then, and the rest is
    measured.

    Args:
        plan: of the run.
        base: gives the base model; called only where its answers are not stored.
        values: where answers are stored, under the base model's key.
    """
    data = plan.measured_data
    for reference in references_of(plan.criteria):
        try:
            answers = _answers(reference, plan, base, values)
        except Exception as error:
            whose = data.retain_model if reference.of_retain_model else "the base model"
            reason = printable_line(f"{type(error).__name__}: {error}", 200)
            warnings.warn(f"the answers of {whose} failed: {reason}", stacklevel=2)
        else:
            data = replace(data, **{reference.part: answers})
    return data


def _answers(
    reference: Reference, plan: Plan, base: Callable[[], LM], values: MeasuredValues | None
) -> Any:
    data, key = plan.measured_data, plan.keys[0]
    identity = reference.identity(data)
    stored = None if values is None else reference.from_json(values.load(key, identity))
    if stored is not None:
        return stored
    lm = load_model(plan, data.retain_model) if reference.of_retain_model else base()
    answers = reference.answers(lm, data)
    if values is not None:
        values.save(key, identity, answers)
    return answers
