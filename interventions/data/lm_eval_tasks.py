"""lm-eval's task objects for four-choice questions: from files, the hub, or memory."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import yaml

from interventions.data.base import Questions
from interventions.data.lm_eval_index import task_configs
from interventions.data.question_set import QuestionSet
from interventions.data.sampling import sample_indices
from interventions.errors import InvalidInput


@functools.lru_cache(maxsize=16)
def tasks(questions: Questions) -> Any:
    """Return lm-eval's task objects, built once per process.

    Raises:
        InvalidInput: a local copy has no data of a task.
    """
    from lm_eval.tasks import TaskManager

    # of each task in memory it says where options of its own command would be given
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # lm-eval's full index takes 20 s to read
    return TaskManager(include_defaults=False).load(configs(questions))


def configs(questions: Questions) -> list[dict[str, Any]]:
    """Return the tasks' configs: the folder's, lm-eval's own with data from another place, or sets.

    A group ("mmlu") is its subtasks. Of a local copy only the subtasks are asked whose data it has.

    Raises:
        InvalidInput: a local copy has no data of a task.
    """
    if questions.folder:
        return [
            _folder_config(questions.folder, criterion, questions.split)
            for criterion, _ in questions.tasks
        ]
    sets = {each.name: each for each in questions.sets}
    configs_of_all = []
    for criterion, task in questions.tasks:
        if criterion in sets and not sets[criterion].task:
            configs_of_all.append(_set_config(task, sets[criterion]))
            continue
        relocated = [_relocated(config, questions) for config in task_configs(task)]
        available = [config for config in relocated if config is not None]
        if not available:
            raise InvalidInput(
                f"no {questions.split} questions of {task} in {dict(questions.sources)}"
            )
        configs_of_all += available
    return configs_of_all


def criterion_of_task(questions: Questions, task: str) -> tuple[str, str]:
    """Return the criterion that a task's questions count for, and what its items begin with.

    A group's subtasks have its name and one of their own: mmlu_anatomy.

    Args:
        questions: whose tasks are asked.
        task: the name of a task object.
    """
    criterion_of = {task_name: criterion for criterion, task_name in questions.tasks}
    if task in criterion_of:
        return criterion_of[task], ""
    groups = [name for name in criterion_of if task.startswith(f"{name}_")]
    return criterion_of[max(groups, key=len)], f"{task}/"


def sampled(questions: Questions) -> dict[str, list[int]] | None:
    """Return which questions of every task are asked, by index; None for all.

    Each criterion has its own sample, stratified by subtask, or by the subject of a question.
    """
    if not questions.limit:
        return None
    places_of_criterion: dict[str, list[tuple[str, int, str]]] = {}
    for name, task in tasks(questions)["tasks"].items():
        criterion, _ = criterion_of_task(questions, name)
        places = places_of_criterion.setdefault(criterion, [])
        for index, doc in enumerate(task.eval_docs):
            places.append((name, index, f"{name}/{doc.get('subject', '')}"))
    chosen: dict[str, list[int]] = {name: [] for name in tasks(questions)["tasks"]}
    for places in places_of_criterion.values():
        for place in sample_indices([stratum for _, _, stratum in places], questions.limit):
            name, index, _ = places[place]
            chosen[name].append(index)
    return chosen


def by_length(questions: Questions) -> list[tuple[str, int]]:
    """Return the questions that are asked, of all tasks, the one with the most characters first.

    Args:
        questions: whose tasks are asked; of a sample, what is in it.

    Returns:
        Of each the name of its task, and its index there.
    """
    sample = sampled(questions)
    lengths = []
    for name, task in tasks(questions)["tasks"].items():
        docs = task.eval_docs
        for index in range(len(docs)) if sample is None else sample[name]:
            prompt, options = task.doc_to_text(docs[index]), task.doc_to_choice(docs[index])
            longest = max((len(str(option)) for option in options), default=0)
            lengths.append((-len(str(prompt)) - longest, name, index))
    return [(name, index) for _, name, index in sorted(lengths)]


def _set_config(task: str, question_set: QuestionSet) -> dict[str, Any]:
    """Return the config of a task whose questions are in memory."""
    return {
        "task": task,
        "custom_dataset": functools.partial(_dataset, question_set),
        "output_type": "multiple_choice",
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "doc_to_choice": "answers",
        "doc_to_target": "right",
        "target_delimiter": " ",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }


def _dataset(question_set: QuestionSet, **options: Any) -> dict[str, Any]:
    from datasets import Dataset

    rows = [
        {
            "prompt": question_set.prompt(question),
            "answers": list(question_set.answers(question)),
            "right": question.answer,
            "subject": question.subject,
        }
        for question in question_set.questions
    ]
    return {"test": Dataset.from_list(rows)}


def _folder_config(folder: Path, criterion: str, split: str) -> dict[str, Any]:
    """Return a task's YAML with its data's folder and the split that is asked filled in."""
    text = (folder / f"{criterion}.yaml").read_text().replace("FOLDER", str(folder))
    config: dict[str, Any] = yaml.safe_load(text)
    return config | {"test_split": split}


def _relocated(config: dict[str, Any], questions: Questions) -> dict[str, Any] | None:
    """Return the config, 0-shot, with data from the local copy or the hub.

    None if there is a local copy that has no data of the task.
    """
    split, rows = questions.rows(config["dataset_path"])
    if questions.sets:  # somebody's own choice of tasks: the split by which lm-eval judges
        split, rows = config.get("test_split") or config["validation_split"], slice(None)
    # no example is shown, and a local copy may have no other split
    unused = dict.fromkeys(("training_split", "validation_split", "fewshot_split"))
    config = config | unused | {"test_split": split, "num_fewshot": 0}
    if rows != slice(None):
        config["process_docs"] = functools.partial(_select_rows, rows)
    place = dict(questions.sources).get(config["dataset_path"])
    if not isinstance(place, Path):
        return config | {"dataset_kwargs": {"revision": place}}
    # the hub's layout
    files = f"{config.get('dataset_name') or 'data'}/{split}*"
    if not any(place.glob(files)):
        return None
    data_files = {"data_files": {split: files}}
    return config | {"dataset_path": str(place), "dataset_name": None, "dataset_kwargs": data_files}


def _select_rows(rows: slice, docs: Any) -> Any:
    return docs.select(range(*rows.indices(len(docs))))
