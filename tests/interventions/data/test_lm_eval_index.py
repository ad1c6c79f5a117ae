"""The configs of lm-eval's tasks by name, from a folder of tasks like its own."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lm_eval.tasks
import pytest

from interventions.data import lm_eval_index, lm_eval_tasks
from interventions.data.base import Questions
from interventions.data.lm_eval_index import task_configs, task_files

# path -> text; of a task its name and the file of its data
FILES = {
    "mmlu/default/law.yaml": "task: mmlu_law\ndataset_path: law\n",
    "mmlu/default/art.yaml": "task: mmlu_art\ndataset_path: art\n",
    "mmlu/default/other.yaml": "task: mmlux\ndataset_path: other\n",
    "wmdp/bio.yaml": "task: wmdp_bio\ndataset_path: bio\n",
    "arc/easy.yaml": 'dataset_path: easy\ntask: "arc_easy"  # as its paper has it\n',
    "arc/whole.yaml": "task: arc\ndataset_path: whole\n",
    "zoo/arc.yaml": "task: arc\ndataset_path: another\n",
    "zoo/group.yaml": "group: animals\ntask:\n  - arc\n",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of tasks in place of lm-eval's; its own index, which takes 30 s, is not read."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    manager = lm_eval.tasks.TaskManager

    def quick_manager(include_path: list[Path], include_defaults: bool) -> Any:
        assert not include_defaults
        return manager(include_path=include_path, include_defaults=False)

    monkeypatch.setattr(lm_eval.tasks, "TaskManager", quick_manager)
    monkeypatch.setattr(lm_eval_index, "_home", lambda: tmp_path)
    task_files.cache_clear()
    yield tmp_path
    task_files.cache_clear()


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        # groups are their tasks, by name
        ("mmlu", [("mmlu_art", "art"), ("mmlu_law", "law")]),
        ("wmdp", [("wmdp_bio", "bio")]),
        ("mmlu_law", [("mmlu_law", "law")]),
        # any other name is a task, of the first file that has it
        ("arc", [("arc", "whole")]),
        ("arc_easy", [("arc_easy", "easy")]),
        ("animals", []),
        ("mml", []),
    ],
)
def test_a_name_is_a_tasks_or_one_of_the_two_groups(
    task: str, expected: list[tuple[str, str]], home: Path
) -> None:
    configs = [(config["task"], config["dataset_path"]) for config in task_configs(task)]
    assert configs == expected


def test_a_task_is_of_the_first_file_by_path_that_names_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [home / name for name in FILES]
    backwards = SimpleNamespace(rglob={"*.yaml": paths[::-1]}.__getitem__)
    monkeypatch.setattr(lm_eval_index, "_home", lambda: backwards)
    assert task_files() == {
        "mmlu_law": home / "mmlu/default/law.yaml",
        "mmlu_art": home / "mmlu/default/art.yaml",
        "mmlux": home / "mmlu/default/other.yaml",
        "wmdp_bio": home / "wmdp/bio.yaml",
        "arc_easy": home / "arc/easy.yaml",
        "arc": home / "arc/whole.yaml",
    }


def test_task_objects_are_made_of_configs_alone_and_lm_eval_is_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        lm_eval.tasks,
        "TaskManager",
        lambda include_defaults: SimpleNamespace(
            load=lambda configs: {"tasks": configs, "include_defaults": include_defaults}
        ),
    )
    monkeypatch.setattr(lm_eval_tasks, "configs", lambda questions: [{"task": questions.tasks}])
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.WARNING)
    options = lm_eval_tasks.tasks.__wrapped__(Questions((("facts", "mmlu"),)))
    assert options == {"tasks": [{"task": (("facts", "mmlu"),)}], "include_defaults": False}
    assert logger.level == logging.ERROR
    logger.setLevel(level)
