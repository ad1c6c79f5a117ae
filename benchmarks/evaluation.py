"""The questions' pass beside lm-eval's: answers and CPU time: `python -m benchmarks.evaluation`.

A model of 10 million random weights with 32,000 tokens answers ``--questions`` questions of each of
three shapes: the letters of four choices after long texts, texts after short questions, texts after
long passages that ten questions share. Every pass is a process of its own, on one thread; CPU
seconds are user and system time.

- ours: loading the model, the tasks, tokenizing (nothing is cached), the pass, the tasks' metrics;
  and, once, with the requests in the cache
- former: the same by lm-eval's ``evaluate`` with ``HFLM``, as this project did it before, batches
  of 2**19 logits at one position; ours are compared with its answers. Its "evaluation" is that of
  stock lm-eval alone: ``evaluate`` without loading
- stock, once: `lm_eval run --model hf` with batches of 16, its whole process

The ratio is that of a pair of passes one after the other, loading and tokenizing included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.evaluation_world import SHAPES, build, questions
from interventions.criteria.engine.evaluation import evaluate
from interventions.data.lm_eval_tasks import tasks
from interventions.lm import LM

ROOT = Path(__file__).resolve().parents[1]
_FORMER_LOGITS = 2**19
_LARGEST = 1e-4  # of the differences between log-likelihoods in float32


def former(lm: LM, task_objects: Any) -> dict[str, list[Any]]:
    """Return every request's answer and every question's accuracy, as it was done before."""
    import lm_eval.evaluator
    from lm_eval.models.huggingface import HFLM

    batch = max(1, min(128, _FORMER_LOGITS // lm.model.config.vocab_size))
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=batch)
    results = lm_eval.evaluator.evaluate(
        harness, {"tasks": task_objects}, bootstrap_iters=0, log_samples=True
    )
    return {
        task: [[sample["acc"], [resp[0][0] for resp in sample["resps"]]] for sample in samples]
        for task, samples in results["samples"].items()
    }


def ours(lm: LM, task_objects: Any) -> dict[str, list[Any]]:
    """Return the same by the pass of this project."""
    results = evaluate(lm, task_objects, None)
    answers: dict[str, list[Any]] = {}
    for name, metrics in results.items():
        of_question: dict[int, list[float]] = {}
        for request in task_objects[name].instances:
            of_question.setdefault(request.doc_id, []).append(request.resps[0][0])
        answers[name] = [[metrics[index]["acc"], of_question[index]] for index in metrics]
    return answers


def measure_pass(way: str, folder: Path) -> dict[str, Any]:
    """Return the answers of one way, and its CPU seconds."""
    torch.set_num_threads(1)
    start = time.process_time()
    lm = LM.load(folder / "model")
    task_objects = tasks(questions(folder))["tasks"]
    loaded = time.process_time()
    with torch.inference_mode():
        answers = (former if way == "former" else ours)(lm, task_objects)
    ended = time.process_time()
    return {"answers": answers, "pass": ended - start, "evaluation": ended - loaded, "all": ended}


def run_pass(way: str, folder: Path, cache: Path) -> dict[str, Any]:
    """Run one way in a process of its own; return what it printed, and all of its CPU time."""
    command = [sys.executable, "-m", "benchmarks.evaluation", "--way", way, "--folder", str(folder)]
    if way == "stock":
        names = ",".join(f"benchmark_{shape}" for shape in SHAPES)
        command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--tasks", names]
        command += ["--model_args", f"pretrained={folder / 'model'},dtype=float32"]
        command += ["--include_path", str(folder), "--device", "cpu", "--batch_size", "16"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "COMPOSABILITY_CACHE": str(cache),
        "TOKENIZERS_PARALLELISM": "false",
    }
    before = os.times()
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    printed = {} if way == "stock" else json.loads(ended.stdout.splitlines()[-1])
    return {**printed, "process": spent}


def compared(own: dict[str, list[Any]], stock: dict[str, list[Any]]) -> tuple[int, int, float]:
    """Return how many questions there are, how many answers differ, and likelihoods' most."""
    count, differing, largest = 0, 0, 0.0
    for task, samples in stock.items():
        for (accuracy, values), (own_accuracy, own_values) in zip(samples, own[task], strict=True):
            count += 1
            likeliest = values.index(max(values)) == own_values.index(max(own_values))
            differing += accuracy != own_accuracy or not likeliest
            largest = max(largest, *(abs(a - b) for a, b in zip(values, own_values, strict=True)))
    return count, differing, largest


def compare(count: int, repeats: int) -> bool:
    """Print what differs and what each way takes; return whether all answers are equal."""
    seconds: dict[str, list[float]] = {}
    is_equal = True

    def timed(name: str, way: str, folder: Path, cache: Path) -> dict[str, Any]:
        run = run_pass(way, folder, cache)
        for part in ("pass", "evaluation", "process"):
            if part in run:
                seconds.setdefault(f"{name}: {part}", []).append(run[part])
        return run

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build(folder, count)
        for number in range(repeats):
            cache = folder / f"cache-{number}"
            before = timed("former", "former", folder, cache)
            now = timed("ours", "ours", folder, cache)
            seconds.setdefault("ratio of a pair", []).append(before["pass"] / now["pass"])
            total, differing, largest = compared(now["answers"], before["answers"])
            is_equal &= differing == 0 and largest <= _LARGEST
            print(
                f"pair {number + 1}: {differing} of {total} answers differ from lm-eval's,"
                f" log-likelihoods by at most {largest:.1e}; {before['pass']:.1f} and"
                f" {now['pass']:.1f} CPU seconds",
                flush=True,
            )
        timed("ours, encoded before", "ours", folder, cache)
        timed("stock", "stock", folder, cache)
    print("\nCPU seconds | median | least | most\n---|---|---|---")
    for name, values in seconds.items():
        print(f"{name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f}")
    return is_equal


def main() -> None:
    """Print the table; exit with 1 if an answer differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=340, help="of each shape")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--way", choices=("former", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure_pass(arguments.way, arguments.folder)))
    elif not compare(arguments.questions, arguments.repeats):
        sys.exit("answers differ")


if __name__ == "__main__":
    main()
