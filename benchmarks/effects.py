"""What each intervention alone does to every criterion on the testbed: `python -m benchmarks.effects` prints the table.

The numbers are those of `mlflow run . -P first=<spec>`: same seeds, same keys, the test split's batch of edits 0.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator

from tqdm import tqdm

from interventions.composition import apply
from interventions.criteria.base import Scores, measure
from interventions.criteria.editing import locality_answers
from interventions.lm import LM
from tracking.plan import prepare
from tracking.settings import Settings

SPECS = (
    "none",
    "ft",
    "memit",
    "lora",
    *(
        f"{method}(sparsity={level})"
        for method in ("magnitude", "wanda", "sparsegpt")
        for level in (0.25, 0.65, 0.75)
    ),
    *(f"{method}(bits={bits})" for method in ("rtn", "gptq", "awq") for bits in (2, 3, 4, 8)),
    "ga",
    "gd",
    "rmu",
)
COLUMNS = {
    "edit_success": "edit success",
    "edit_generalization": "generalization",
    "edit_locality": "locality",
    "edit_preservation": "preservation",
    "wmdp": "wmdp ↓",
    "mmlu": "mmlu",
    "wikitext_ppl": "perplexity ↓",
    "average_bits": "bits ↓",
    "sparsity": "sparsity",
}


def effects(specs: tuple[str, ...] = SPECS) -> Iterator[tuple[str, dict[str, Scores], float]]:
    """(spec, criteria, seconds to apply), one after another."""
    answers = None
    for spec in specs:
        plan = prepare(spec, Settings(device="cpu"))
        lm = LM.load(plan.source)
        answers = answers or locality_answers(lm, plan.data)
        data = dataclasses.replace(plan.data, base_answers=answers)
        start = time.perf_counter()
        for step, key in zip(plan.composition, plan.keys[1:], strict=True):
            lm = apply(step, lm, data, key)
        seconds = time.perf_counter() - start
        yield spec, measure(lm, data, COLUMNS), seconds


def row(spec: str, measured: dict[str, Scores], seconds: float) -> str:
    """One line of the table."""
    cells = [_shown(name, measured[name].value) for name in COLUMNS]
    return f"| `{spec}` | {' | '.join(cells)} | {seconds:.1f} |"


def _shown(name: str, value: float) -> str:
    if math.isinf(value):
        return "inf"
    return (
        f"{value:.3g}"
        if name == "wikitext_ppl"
        else f"{value:.1f}"
        if name == "average_bits"
        else f"{value:.2f}"
    )


def main() -> None:
    """Print the table as Markdown."""
    print(f"| alone | {' | '.join(COLUMNS.values())} | seconds |")
    print(f"|---|{'---|' * (len(COLUMNS) + 1)}")
    for one in tqdm(effects(), total=len(SPECS), unit="run"):
        print(row(*one), flush=True)


if __name__ == "__main__":
    main()
