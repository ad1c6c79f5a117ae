"""What one run found, read back from the store: its scores by step, and its other orders.

Imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from interventions.errors import InvalidInput
from tracking import failures, query, schema, store
from tracking.facts import CriterionFacts
from tracking.house_facts import in_house_order

BASE = "base model"


@dataclass(frozen=True)
class StepScores:
    """The criteria after some interventions.

    Attributes:
        name: the last of them, as a spec; "base model" before the first.
        values: by criterion; infinite where the model diverged, missing where it failed.
    """

    name: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class OtherOrder:
    """A finished run of the same steps, in another order, with the same settings.

    Attributes:
        composition: its steps.
        run_id: its id.
        values: its criteria after all steps.
    """

    composition: str
    run_id: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class RunSummary:
    """What one run found.

    Attributes:
        run_id: its id.
        experiment_id: where it is.
        composition: its planned steps, as the param says them.
        steps: the base model's scores, then those after each step, recompressions included.
        categories: of each step: editing, unlearning, ….
        criteria: facts by name: this project's in their usual order, then those of others.
        others: runs of other orders of the same steps, newest first, one for each order.
        reused: how many steps came from the cache.
        is_all_cached: whether the scores did, too, so that nothing was computed.
    """

    run_id: str
    experiment_id: str
    composition: str
    steps: tuple[StepScores, ...]
    categories: tuple[str, ...]
    criteria: Mapping[str, CriterionFacts]
    others: tuple[OtherOrder, ...]
    reused: int = 0
    is_all_cached: bool = False

    @property
    def reversed_composition(self) -> str:
        """The other order of a pair; "" where there are not two steps, or they are alike."""
        steps = schema.split_steps(self.composition)
        is_pair = len(steps) == 2 and steps[0] != steps[1]
        return schema.BAR.join(reversed(steps)) if is_pair else ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; what is not finite as text, as in criteria.json."""
        return {
            "run_id": self.run_id,
            "experiment_id": self.experiment_id,
            "composition": self.composition,
            "steps": [
                {"step": step.name, "criteria": _numbers(step.values)} for step in self.steps
            ],
            "other_orders": [
                {
                    "composition": other.composition,
                    "run_id": other.run_id,
                    "criteria": _numbers(other.values),
                }
                for other in self.others
            ],
            "steps_reused": self.reused,
            "all_cached": self.is_all_cached,
        }


def run_summary(run_id: str) -> RunSummary:
    """Read what a run found.

    Args:
        run_id: of a composition in the store, such as ``tracking.run.run`` returns.

    Raises:
        InvalidInput: there is no such run, or it is no composition's.
    """
    client = store.client()
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise InvalidInput(f"no run {run_id!r} in {store.shown_address()}") from error
    if schema.COMPOSITION not in run.data.params:
        raise InvalidInput(f"run {run_id} is no composition's")
    interventions = _stated(run, schema.ABOUT_INTERVENTIONS)
    criteria = {
        name: CriterionFacts(
            better=facts["better"],
            unit=facts["unit"],
            title=facts.get("title", ""),
            judges=tuple(facts.get("judges", ())),
            category=facts.get("category", ""),
            group=facts.get("group", ""),
        )
        for name, facts in _in_order(_stated(run, schema.ABOUT_CRITERIA))
    }
    steps = _steps(run, criteria)
    names = [step.name.partition("(")[0] for step in steps[1:]]
    return RunSummary(
        run_id=run_id,
        experiment_id=run.info.experiment_id,
        composition=run.data.params[schema.COMPOSITION],
        steps=steps,
        categories=tuple(interventions.get(name, {}).get("category", "") for name in names),
        criteria=criteria,
        others=tuple(_other_orders(client, run, criteria)),
        reused=_count(run.data.tags.get(schema.REUSED_PREFIX, "0")),
        is_all_cached=run.data.tags.get(schema.ALL_CACHED) == "true",
    )


def _steps(run: Run, criteria: Iterable[str]) -> tuple[StepScores, ...]:
    """Return the scores by step, from the artifact that has them exactly."""
    about = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/{schema.CRITERIA_JSON}")
    steps = []
    for entry in about["steps"]:
        values = {
            name: float(scores["value"])
            for name, scores in entry["criteria"].items()
            if name in criteria
        }
        steps.append(StepScores(entry["intervention"] or BASE, values))
    return tuple(steps)


def _other_orders(client: MlflowClient, run: Run, criteria: Iterable[str]) -> list[OtherOrder]:
    """Return the newest run of each other order of the same steps, with the same settings."""
    composition = run.data.params[schema.COMPOSITION]
    steps, settings = sorted(schema.split_steps(composition)), _settings(run)
    same_pair = f"params.{schema.PAIR} = '{run.data.params.get(schema.PAIR, '')}'"
    finished = f"{same_pair} and attributes.status = 'FINISHED'"
    others: dict[str, OtherOrder] = {}
    for other in query.all_runs(client, [run.info.experiment_id], finished):
        order = other.data.params.get(schema.COMPOSITION, "")
        is_another = order != composition and sorted(schema.split_steps(order)) == steps
        if is_another and order not in others and _settings(other) == settings:
            metrics = failures.final_metrics(other)
            values = {name: metrics[name] for name in criteria if name in metrics}
            others[order] = OtherOrder(order, other.info.run_id, values)
    return list(others.values())


def _settings(run: Run) -> dict[str, Any]:
    """Return what a run was given and is compared by: which files it logged does not count."""
    row = query.row_of(run)
    names = set(schema.SETTINGS) - query.BOOKKEEPING
    return {name: row[name] for name in names if row.get(name, None) is not None}


def _stated(run: Run, tag: str) -> dict[str, dict[str, Any]]:
    """Return the facts in a tag of a run; nothing where somebody wrote something else there."""
    with suppress(ValueError, RecursionError, AttributeError):
        entries = json.loads(schema.renamed(run.data.tags).get(tag, "{}"))
        return {str(name): dict(facts) for name, facts in entries.items()}
    return {}


def _in_order(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, facts[name]) for name in in_house_order(facts)]


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _numbers(values: Mapping[str, float]) -> dict[str, float | str]:
    return {name: schema.json_number(value) for name, value in values.items()}
