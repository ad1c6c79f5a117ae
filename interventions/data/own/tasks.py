"""lm-eval's own tasks as sets of questions: by name only, never by a file, which can run code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interventions.data.hub import VARIABLE, Source, local_folder
from interventions.data.lm_eval_index import task_configs, task_files
from interventions.errors import InvalidInput, did_you_mean, shown


def task_source(name: str, written: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the data set of a task, with its local copy or its revision.

    Args:
        name: of the set of questions.
        written: with ``task``, and maybe ``revision``.

    Raises:
        InvalidInput: lm-eval has no such multiple-choice task, or it is not known which state of
            its data set is meant.
    """
    task = written["task"]
    for key in ("fields", "first", "validation", "config", "split", "answers"):
        if key in written:
            raise InvalidInput(
                f"questions.{name}: {key} says how rows are read; a task of lm-eval says that"
                " itself"
            )
    sources: dict[str, Any] = {}
    for config in _configs(name, task):
        data_set = str(config["dataset_path"])
        copy = Source(data_set, "", "test", "").copy(local_folder(None))
        revision = written.get("revision")
        if copy is None and revision is None:
            raise InvalidInput(
                f"questions.{name}: say the revision (a commit) of {shown(data_set, 80)} on the hub"
                f" that task {task} is to ask, or name a folder with a copy of it by {VARIABLE}"
            )
        sources[data_set] = copy or revision
    return tuple(sources.items())


def _configs(name: str, task: str) -> list[dict[str, Any]]:
    """Return the configs of a task, each checked to be answered by a choice."""
    configs = task_configs(task)
    if not configs:
        raise InvalidInput(
            f"questions.{name}: lm-eval has no task named {shown(task, 80)}."
            f"{did_you_mean(task, task_files(), most=3)}"
        )
    for config in configs:
        metrics = [metric.get("metric") for metric in config.get("metric_list", [])]
        if config.get("output_type") != "multiple_choice" or "acc" not in metrics:
            raise InvalidInput(
                f"questions.{name}: task {shown(config.get('task'), 60)} of lm-eval is not answered"
                " by a choice whose accuracy (acc) is measured"
            )
    return configs
