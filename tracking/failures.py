"""Criteria that could not be measured: why, in words and in a tag of the run. Imports no torch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from interventions.errors import printable_line
from tracking import schema, store

if TYPE_CHECKING:
    from mlflow.entities import Run

# number of interventions applied -> criterion -> why it could not be measured
Failures = dict[int, dict[str, str]]
_MOST_REASON = 200  # characters
_MOST_TAG = 5000  # characters that every store takes


def keep(failures: Failures, step: int, errors: Mapping[str, Exception]) -> None:
    """Note which criteria failed, and warn of each.

    Args:
        failures: those so far.
        step: the number of interventions applied.
        errors: by criterion.
    """
    for name, error in errors.items():
        reason = printable_line(f"{type(error).__name__}: {error}", _MOST_REASON)
        failures.setdefault(step, {})[name] = reason
        warnings.warn(
            f"criterion {name} failed after step {step}, and the rest is measured: {reason}",
            stacklevel=3,
        )


def failure_lines(failures: Mapping[int, Mapping[str, str]]) -> list[str]:
    """Return a line on each criterion that could not be measured.

    Example:
        >>> failure_lines({2: {"mmlu": "ValueError: too large"}})
        ['criterion mmlu failed after step 2: ValueError: too large']
    """
    return [
        f"criterion {name} failed after step {step}: {reason}"
        for step, reasons in failures.items()
        for name, reason in reasons.items()
    ]


def failures_tag(failures: Mapping[int, Mapping[str, str]]) -> str:
    """Return the text of the tag that says which criteria failed, which ``from_tag`` reads.

    Args:
        failures: number of interventions applied -> criterion -> why.

    Example:
        >>> failures_tag({2: {"mmlu": "too large"}})
        '{"2": {"mmlu": "too large"}}'
    """
    text = json.dumps({str(step): dict(reasons) for step, reasons in failures.items()})
    if len(text) <= _MOST_TAG:
        return text
    # which failed matters more than why
    return json.dumps({str(step): dict.fromkeys(names, "") for step, names in failures.items()})


def from_tag(tags: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """Return the criteria that a run could not measure, and why, by number of interventions.

    Args:
        tags: the run's.

    Example:
        >>> from_tag({schema.FAILED_CRITERIA: '{"2": {"mmlu": "too large"}}'})
        {2: {'mmlu': 'too large'}}
    """
    try:
        steps = json.loads(tags.get(schema.FAILED_CRITERIA, "{}"))
        return {
            int(step): {str(n): str(why) for n, why in each.items()} for step, each in steps.items()
        }
    except (ValueError, AttributeError, RecursionError):  # somebody's own tag
        return {}


def after_last_step(tags: Mapping[str, str], params: Mapping[str, str]) -> dict[str, str]:
    """Return the criteria that a run could not measure after its last step, and why.

    A metric of such a criterion is of an earlier step.
    """
    return from_tag(tags).get(len(schema.step_names(params)), {})


def final_metrics(run: Run) -> dict[str, float]:
    """Return a run's metrics after its last step, infinities restored, without those that failed.

    Args:
        run: of the store.
    """
    failed = after_last_step(run.data.tags, run.data.params)
    return {
        name: schema.from_store(value)
        for name, value in run.data.metrics.items()
        if name.removeprefix(schema.STDERR) not in failed
    }


def of_run(run_id: str) -> list[str]:
    """Return a line on each criterion that a run of the store could not measure."""
    tags = store.client().get_run(run_id).data.tags
    return failure_lines(from_tag(tags))
