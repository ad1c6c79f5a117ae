"""Find the configs of lm-eval's own tasks by name, without its full index, which takes 30 s."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

# where a group of tasks may be asked for by its name
_GROUPS = ("mmlu/default", "wmdp")
_TASK_LINE = re.compile(r"^task:\s*[\"']?([\w-]+)[\"']?\s*(?:#.*)?$", re.MULTILINE)


def task_configs(task: str) -> list[dict[str, Any]]:
    """Return the config of one of lm-eval's tasks, or those of a group, ordered by name.

    Args:
        task: a name; of groups "mmlu" alone.

    Returns:
        The configs; none if there is no such task.
    """
    home = _home()
    configs = _configs(task, tuple(home / folder for folder in _GROUPS), is_group=True)
    if configs:
        return configs
    path = task_files().get(task)
    return _configs(task, (path.parent,), is_group=False) if path else []


@functools.cache
def task_files() -> dict[str, Path]:
    """Return the YAML file of every task that lm-eval ships, by the task's name."""
    files: dict[str, Path] = {}
    for path in sorted(_home().rglob("*.yaml")):
        match = _TASK_LINE.search(path.read_text(encoding="utf-8"))
        if match:
            files.setdefault(match[1], path)
    return files


def _home() -> Path:
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).parent


def _configs(task: str, folders: tuple[Path, ...], is_group: bool) -> list[dict[str, Any]]:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    manager = TaskManager(include_path=list(folders), include_defaults=False)
    names = [
        name
        for name in manager.all_subtasks
        if name == task or (is_group and name.startswith(f"{task}_"))
    ]
    # the index has the paths of a task's functions, the file the functions themselves
    return [load_yaml(manager.task_index[name].yaml_path) for name in names]
