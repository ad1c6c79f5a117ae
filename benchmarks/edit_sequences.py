"""What is left of a first batch of edits after nine more: `python -m benchmarks.edit_sequences`.

Each method writes ten batches of the testbed one after another, twice: from batch 0 and from batch
10, with several seeds, which draw the order of the nine batches that follow the first. (Without
prefixes nothing else is random.) Printed are the means over sequences and seeds, and, of each two
neighbouring methods, the difference of what is left of the first batch: the mean over edits of each
edit's difference, averaged over seeds before, with a 95 % t interval over edits. It is about the
edits of these sequences; how far the sequences differ is printed beside it.

Values are written to ``--out`` as they come, and what is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

# read before torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import stats

from interventions.base_model import base_model
from interventions.composition import Composition, apply
from interventions.criteria.base import measure
from interventions.lm import LM
from tracking.plan import plan_run
from tracking.settings import Settings

METHODS = ("alphaedit", "memit")
STARTS, SEEDS, BATCHES = (0, 10), 3, 10
CRITERIA = {
    "edit_success_first": "first batch, at the end",
    "edit_success": "all batches",
    "edit_generalization": "generalization",
    "edit_locality": "locality",
    "facts_exact": "facts",
    "mmlu": "mmlu",
    "wikitext_ppl": "perplexity ↓",
}
_AT_ONCE = "first batch, at once"
_COVERED = 0.95
Values = dict[str, Any]


def sequence_of(method: str, batches: int, seed: int = 0) -> Composition:
    """Return the composition in which a method writes so many batches, one after another.

    Args:
        method: an intervention with a ``batch_offset``.
        batches: how many.
        seed: draws the order of those that follow the first; 0: as they come.

    Example:
        >>> str(sequence_of("memit(steps=9)", 2))
        'memit(steps=9) | memit(steps=9, batch_offset=1)'
    """
    (step,) = Composition.parse(method)
    assert is_dataclass(step)
    following = list(range(1, batches))
    if seed:
        random.Random(seed).shuffle(following)
    return Composition(replace(step, batch_offset=k) for k in (0, *following))


def measured_sequence(method: str, start: int, seed: int, batches: int) -> Values:
    """Write batch after batch, and measure the first at once and everything at the end.

    Args:
        method: an intervention with a ``batch_offset``.
        start: the first batch of the sequence.
        seed: of the run, and of the order of the batches after the first.
        batches: how many.

    Returns:
        Criterion -> value; ``first_items``: of every edit of the first batch, at the end.
    """
    settings = Settings(device="cpu", dtype="float32", seed=seed, edit_batch=start)
    plan, began = plan_run(sequence_of(method, batches, seed), settings), time.process_time()
    lm, values = LM.load(plan.source), dict[str, Any]()
    for k, (step, key) in enumerate(zip(plan.composition, plan.keys[1:], strict=True)):
        with base_model(lambda: LM.load(plan.source)):
            lm = apply(step, lm, plan.data, key)
        if k == 0:
            values[_AT_ONCE] = measure(lm, step.own_data(plan.data), ["edit_success"])[
                "edit_success"
            ].value
    names = [name for name in CRITERIA if batches > 1 or name != "edit_success_first"]
    scores = measure(lm, plan.data, names)
    values |= {name: scores[name].value for name in names}
    first = scores.get("edit_success_first", scores["edit_success"])
    return {**values, "first_items": first.items, "seconds": time.process_time() - began}


def difference(ours: Sequence[Values], theirs: Sequence[Values]) -> tuple[float, float]:
    """Return the mean difference of first batches over their edits, and half its 95 % interval.

    Args:
        ours: of one method, the values of each seed of each sequence, with ``start``.
        theirs: of another, likewise.

    Example:
        >>> runs = [{"start": 0, "first_items": {"0": 1.0, "1": 1.0}}]
        >>> difference(runs, [{"start": 0, "first_items": {"0": 0.5, "1": 0.5}}])
        (0.5, 0.0)
    """
    gains = np.concatenate(
        [_edit_means(ours, start) - _edit_means(theirs, start) for start in _starts(ours)]
    )
    half = stats.t.ppf((1 + _COVERED) / 2, len(gains) - 1) * stats.sem(gains)
    return float(gains.mean()), float(half)


def _starts(runs: Sequence[Values]) -> list[int]:
    return sorted({run["start"] for run in runs})


def _edit_means(runs: Sequence[Values], start: int) -> np.ndarray:
    """Return the score of each edit (edits) of a sequence's first batch, the mean over seeds."""
    items = [run["first_items"] for run in runs if run["start"] == start]
    return np.array([[run[edit] for edit in sorted(run)] for run in items]).mean(axis=0)


def table(runs: dict[str, list[Values]]) -> list[str]:
    """Return a Markdown table of the methods' means, and the differences of neighbours.

    Args:
        runs: method -> the values of each seed of each sequence.
    """
    columns = {_AT_ONCE: _AT_ONCE, **CRITERIA}
    lines = [f"| ten batches | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
    for method, values in runs.items():
        means = [np.mean([run[name] for run in values]) for name in columns]
        lines.append(f"| `{method}` | {' | '.join(f'{mean:.2f}' for mean in means)} |")
    for first, second in pairwise(runs):
        mean, half = difference(runs[first], runs[second])
        parts = [
            f"{_edit_means(runs[first], k).mean() - _edit_means(runs[second], k).mean():+.2f}"
            f" from batch {k}"
            for k in _starts(runs[first])
        ]
        lines += [
            "",
            f"`{first}` less `{second}`, first batch at the end: {mean:+.2f} ± {half:.2f} over its"
            f" edits ({', '.join(parts)})",
        ]
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing in the file, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=METHODS, help="that write the batches")
    parser.add_argument("--starts", type=int, nargs="+", default=STARTS, help="first batches")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, from 0")
    parser.add_argument("--batches", type=int, default=BATCHES, help="of a sequence")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file of the values")
    options = parser.parse_args(arguments)
    known: dict[str, Values] = json.loads(options.out.read_text()) if options.out.exists() else {}
    runs: dict[str, list[Values]] = {method: [] for method in options.methods}
    for seed in range(options.seeds):
        for start in options.starts:
            for method in options.methods:
                name = f"{method}, {options.batches} from {start}, seed {seed}"
                if name not in known:
                    known[name] = measured_sequence(method, start, seed, options.batches)
                    options.out.write_text(json.dumps(known, indent=1))
                runs[method].append({**known[name], "start": start})
    print("\n".join(table(runs)))


if __name__ == "__main__":
    main()
