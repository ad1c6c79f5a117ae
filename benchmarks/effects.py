"""What each intervention alone does to every criterion: `python -m benchmarks.effects`.

Means and 95 % t intervals over batches of edits of the test split. What does not depend on the
batch is applied and measured once, and has no interval. The values on the first batch are those of
`mlflow run . -P first=<spec>`: seeds and keys are equal. A second table says of each two
neighbouring levels of pruning and quantization by what they can be told apart: by a difference of
.03 and of two standard errors, over batches where the criterion depends on them, else over items.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# of which each worker has one; read before torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tqdm import tqdm

from benchmarks.effect_tables import COLUMNS, Effect, effects_table, neighbours_table
from interventions.composition import apply, computed_branches, digest
from interventions.criteria.base import Scores, applicable, measure
from interventions.criteria.editing import locality_answers
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from tracking.plan import Plan, plan_run
from tracking.settings import Settings

__all__ = ["COLUMNS", "SPECS", "effects"]

BATCHES = 10
_SPARSITIES = (0.25, 0.35, 0.45, 0.55, 0.65, 0.75)
_BITS = (2, 3, 4, 8)
SPECS = (
    "none",
    "ft",
    "memit",
    "alphaedit",
    "lora",
    *(
        f"{method}(sparsity={level})"
        for method in ("magnitude", "wanda", "sparsegpt")
        for level in _SPARSITIES
    ),
    *(
        f"{method}(sparsity=0.75, allocation='owl')"
        for method in ("magnitude", "wanda", "sparsegpt")
    ),
    *(f"{method}(bits={bits})" for method in ("rtn", "hqq", "gptq", "awq") for bits in _BITS),
    "ga",
    "gd",
    "npo",
    "simnpo",
    "rmu",
    "finetune",
    "merge(ft, rmu)",
    "merge(lora, rmu)",
)


def effects(specs: Sequence[str] = SPECS) -> Iterator[tuple[str, dict[str, Scores], float]]:
    """Yield each spec with the scores on the first batch and the seconds that applying it took.

    Args:
        specs: compositions, each applied to a fresh model.
    """
    for spec in specs:
        effect = effect_of(spec, 1)
        yield spec, {name: scores[0] for name, scores in effect.scores.items()}, effect.seconds[0]


def effect_of(spec: str, batches: int) -> Effect:
    """Apply a composition to fresh models, and measure it on the first batches of edits.

    Args:
        spec: the composition.
        batches: how many batches of edits; a checkpoint that is the same for two is made once, and
            a criterion that is measured on the same for two is measured once.
    """
    seconds: list[float] = []
    known: dict[str, Scores] = {}
    columns: dict[str, list[Scores]] = {}
    key = ""
    for batch in range(batches):
        plan = _plan(spec, batch)
        data = dataclasses.replace(plan.data, base_answers=_base_answers(batch))
        if plan.keys[-1] != key:
            key, start = plan.keys[-1], time.process_time()
            lm = _applied(plan, data)
            seconds.append(time.process_time() - start)
        identities = {
            each.name: digest(key, each.identity(data))
            for each in applicable(data)
            if each.name in COLUMNS
        }
        missing = [name for name, identity in identities.items() if identity not in known]
        for name, scores in measure(lm, data, missing).items():
            known[identities[name]] = scores
        for name, identity in identities.items():
            columns.setdefault(name, []).append(known[identity])
    return Effect(spec, tuple(seconds), {name: tuple(scores) for name, scores in columns.items()})


def _plan(spec: str, batch: int) -> Plan:
    return plan_run(spec, Settings(device="cpu", edit_batch=batch))


def _applied(plan: Plan, data: Data) -> LM:
    lm = LM.load(plan.source)
    for step, before, key in zip(plan.composition, plan.keys, plan.keys[1:], strict=False):
        lm = apply(step, lm, data, key, computed_branches(step, lm, data, before))
    return lm


@functools.cache
def _base_model() -> LM:
    return LM.load(_plan("none", 0).source)


@functools.cache
def _base_answers(batch: int) -> tuple[str, ...]:
    return locality_answers(_base_model(), _plan("none", batch).data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables as Markdown, and write them where that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=BATCHES, help="of edits, from the first")
    parser.add_argument("--workers", type=int, default=2, help="processes, each on one core")
    parser.add_argument("--specs", nargs="+", default=SPECS, help="by default the documented ones")
    parser.add_argument("--out", type=Path, help="a Markdown file; the values go beside it as JSON")
    options = parser.parse_args(arguments)
    if options.batches < 1 or options.workers < 1:
        raise InvalidInput(
            f"batches and workers must be at least 1, but got {options.batches} and"
            f" {options.workers}"
        )
    for spec in options.specs:
        _plan(spec, options.batches - 1)  # refused here, not after half an hour
    # a fork of a process that has used torch's threads may hang
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=spawn) as pool:
        jobs = pool.map(effect_of, options.specs, [options.batches] * len(options.specs))
        measured = list(tqdm(jobs, total=len(options.specs), unit="run"))
    text = "\n".join([*effects_table(measured), "", *neighbours_table(measured)])
    print(text)
    if options.out:
        options.out.write_text(f"{text}\n")
        values = {
            effect.spec: {name: [s.value for s in scores] for name, scores in effect.scores.items()}
            for effect in measured
        }
        options.out.with_suffix(".json").write_text(json.dumps(values, indent=1))


if __name__ == "__main__":
    main()
