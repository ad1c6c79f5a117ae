"""lm-eval's task objects for four-choice questions, from local files or the hub."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

from interventions.data.base import Questions
from interventions.errors import InvalidInput

# where lm-eval keeps the tasks that may be asked for by name
_SHIPPED_FOLDERS = ("mmlu/default", "wmdp")


@functools.cache
def tasks(questions: Questions) -> Any:
    """Return lm-eval's task objects, built once per process.

    Raises:
        InvalidInput: a local copy has no data of a task.
    """
    from lm_eval.tasks import TaskManager

    # lm-eval's full index takes 20 s to read
    return TaskManager(include_defaults=False).load(configs(questions))


def configs(questions: Questions) -> list[dict[str, Any]]:
    """Return the tasks' configs: the folder's, or lm-eval's own with data from another place.

    A group ("mmlu") is its subtasks. Of a local copy only the subtasks are asked whose data it has.

    Raises:
        InvalidInput: a local copy has no data of a task.
    """
    if questions.folder:
        return [
            _folder_config(questions.folder, criterion, questions.split)
            for criterion, _ in questions.tasks
        ]
    task_configs = []
    for _, task in questions.tasks:
        relocated = [_relocated(config, questions) for config in _shipped(task)]
        available = [config for config in relocated if config is not None]
        if not available:
            raise InvalidInput(
                f"no {questions.split} questions of {task} in {dict(questions.sources)}"
            )
        task_configs += available
    return task_configs


def _folder_config(folder: Path, criterion: str, split: str) -> dict[str, Any]:
    """Return a task's YAML with its data's folder and the split that is asked filled in."""
    text = (folder / f"{criterion}.yaml").read_text().replace("FOLDER", str(folder))
    config: dict[str, Any] = yaml.safe_load(text)
    return config | {"test_split": split}


def _shipped(task: str) -> list[dict[str, Any]]:
    """Return the config of one of lm-eval's tasks, or those of a group, ordered by name."""
    import lm_eval.tasks

    home = Path(lm_eval.tasks.__file__).parent
    manager = lm_eval.tasks.TaskManager(
        include_path=[home / folder for folder in _SHIPPED_FOLDERS], include_defaults=False
    )
    names = [name for name in manager.all_subtasks if name == task or name.startswith(f"{task}_")]
    return [dict(manager.task_index[name].cfg) for name in names]


def _relocated(config: dict[str, Any], questions: Questions) -> dict[str, Any] | None:
    """Return the config, 0-shot, with data from the local copy or the hub.

    None if there is a local copy that has no data of the task.
    """
    split, rows = questions.rows(config["dataset_path"])
    config = config | {"test_split": split, "fewshot_split": None, "num_fewshot": 0}
    if rows != slice(None):
        config["process_docs"] = functools.partial(_select_rows, rows)
    place = dict(questions.sources).get(config["dataset_path"])
    if not isinstance(place, Path):
        return config | {"dataset_kwargs": {"revision": place}}
    files = f"{config['dataset_name']}/{split}*"  # the hub's layout
    if not any(place.glob(files)):
        return None
    data_files = {"data_files": {split: files}}
    return config | {"dataset_path": str(place), "dataset_name": None, "dataset_kwargs": data_files}


def _select_rows(rows: slice, docs: Any) -> Any:
    return docs.select(range(*rows.indices(len(docs))))
