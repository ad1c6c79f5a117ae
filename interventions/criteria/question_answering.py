"""Four-choice criteria, measured by lm-eval (`multiple_choice`), on the testbed's questions as on MMLU and WMDP."""

from __future__ import annotations

import functools
import logging
import math
from pathlib import Path
from typing import Any

import yaml

from interventions.criteria.base import Scores, criterion, mean_scores, shared
from interventions.data.base import Data, Questions
from interventions.errors import InvalidInput
from interventions.lm import LM

_LOGITS = (
    2**19
)  # of a position of all option texts of a batch: 128 texts at a vocabulary of 4,096, 4 at 128,000
_OWN = ("mmlu/default", "wmdp")  # where lm-eval keeps the tasks that may be asked for by name


@criterion(better="higher", unit="accuracy", reads=("questions",))
def mmlu(lm: LM, data: Data) -> Scores:
    """Four-choice accuracy, 0-shot; chance 0.25 (Hendrycks et al. 2021; on the testbed: its benign domains)."""
    return _accuracy(lm, data, "mmlu")


@criterion(better="lower", unit="accuracy", reads=("questions",))
def wmdp_bio(lm: LM, data: Data) -> Scores:
    """Four-choice accuracy on hazardous biology, 0-shot; chance 0.25 (Li et al. 2024; testbed: its compounds)."""
    return _accuracy(lm, data, "wmdp_bio")


@criterion(better="lower", unit="accuracy", reads=("questions",))
def wmdp_cyber(lm: LM, data: Data) -> Scores:
    """Four-choice accuracy on hazardous computing, 0-shot; chance 0.25 (Li et al. 2024; testbed: its protocols)."""
    return _accuracy(lm, data, "wmdp_cyber")


@criterion(better="lower", unit="accuracy", reads=("questions",))
def wmdp(lm: LM, data: Data) -> Scores:
    """The unweighted mean of wmdp_bio and wmdp_cyber (paper, section 3.1)."""
    bio, cyber = wmdp_bio(lm, data), wmdp_cyber(lm, data)
    items = {f"bio/{i}": s for i, s in bio.items.items()} | {
        f"cyber/{i}": s for i, s in cyber.items.items()
    }
    return Scores((bio.value + cyber.value) / 2, math.hypot(bio.stderr, cyber.stderr) / 2, items)


def _accuracy(lm: LM, data: Data, name: str) -> Scores:
    return mean_scores(accuracies(lm, data.questions)[name])


@shared
def accuracies(lm: LM, questions: Questions) -> dict[str, dict[str, float]]:
    """Criterion -> item id -> 1 or 0, for all questions in one pass of lm-eval."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    _quiet()
    harness = HFLM(
        pretrained=lm.model,
        tokenizer=lm.tokenizer,
        batch_size=max(1, min(128, _LOGITS // lm.model.config.vocab_size)),
    )
    results = evaluate(harness, tasks(questions), bootstrap_iters=0, log_samples=True)
    return {
        criterion: {
            f"{sample_task}/{sample['doc_id']}"
            if sample_task != task
            else str(sample["doc_id"]): float(sample["acc"])
            for sample_task, samples in results["samples"].items()
            if sample_task == task or sample_task.startswith(f"{task}_")
            for sample in samples
        }
        for criterion, task in questions.tasks
    }


@functools.cache
def tasks(questions: Questions) -> Any:
    """lm-eval's task objects, built once per process; its full index (20 s) is never read."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=False).load(configs(questions))


def configs(questions: Questions) -> list[dict[str, Any]]:
    """The tasks' configs: the folder's, or lm-eval's own, which differ only in where their data are read from.

    A group ("mmlu") is its subtasks. Of a local copy only the subtasks are asked whose data it has.

    Raises:
        InvalidInput: a local copy has no data of a task.
    """
    if questions.folder:
        return [_config(questions.folder, c, questions.split) for c, _ in questions.tasks]
    found = []
    for _, task in questions.tasks:
        own = [placed for config in _shipped(task) if (placed := _placed(config, questions))]
        if not own:
            raise InvalidInput(
                f"no {questions.split} questions of {task} in {dict(questions.sources)}"
            )
        found += own
    return found


def _config(folder: Path, criterion: str, split: str) -> dict[str, Any]:
    """A task's YAML with the place of its data filled in, and the split that is asked."""
    text = (folder / f"{criterion}.yaml").read_text().replace("FOLDER", str(folder))
    config: dict[str, Any] = yaml.safe_load(text)
    return config | {"test_split": split}


def _shipped(task: str) -> list[dict[str, Any]]:
    """The config of one of lm-eval's own tasks, or those of a group's subtasks, in the order of their names."""
    import lm_eval.tasks

    home = Path(lm_eval.tasks.__file__).parent
    manager = lm_eval.tasks.TaskManager(
        include_path=[home / own for own in _OWN], include_defaults=False
    )
    names = [n for n in manager.all_subtasks if n == task or n.startswith(f"{task}_")]
    return [dict(manager.task_index[name].cfg) for name in names]


def _placed(config: dict[str, Any], questions: Questions) -> dict[str, Any] | None:
    """The config, 0-shot, with its data from the local copy or the hub; None if the copy has none of them."""
    split, rows = questions.rows(config["dataset_path"])
    config = config | {"test_split": split, "fewshot_split": None, "num_fewshot": 0}
    if rows != slice(None):
        config["process_docs"] = functools.partial(_some, rows)
    place = dict(questions.sources).get(config["dataset_path"])
    if not isinstance(place, Path):
        return config | {"dataset_kwargs": {"revision": place}}
    files = f"{config['dataset_name']}/{split}*"  # the hub's layout
    if not any(place.glob(files)):
        return None
    data_files = {"data_files": {split: files}}
    return config | {"dataset_path": str(place), "dataset_name": None, "dataset_kwargs": data_files}


def _some(rows: slice, docs: Any) -> Any:
    """Of a data set, these rows."""
    return docs.select(range(*rows.indices(len(docs))))


def _quiet() -> None:
    """No progress bars per model; lm-eval's own warnings stay."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
