"""What each intervention alone does to every criterion: `python -m benchmarks.effects`.

The numbers of the table that it prints are those of `mlflow run . -P first=<spec>`: the seeds, the
keys and the batch of edits (the first of the test split) are equal.
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
from tracking.plan import plan_run
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
_FORMATS = {"wikitext_ppl": ".3g", "average_bits": ".1f"}


def effects(specs: tuple[str, ...] = SPECS) -> Iterator[tuple[str, dict[str, Scores], float]]:
    """Yield each spec with the scores after it and the seconds that applying it took.

    Args:
        specs: compositions, each applied to a fresh model.
    """
    answers = None
    for spec in specs:
        plan = plan_run(spec, Settings(device="cpu"))
        lm = LM.load(plan.source)
        # The base model's answers are the same for every spec.
        answers = answers or locality_answers(lm, plan.data)
        data = dataclasses.replace(plan.data, base_answers=answers)
        start = time.perf_counter()
        for step, key in zip(plan.composition, plan.keys[1:], strict=True):
            lm = apply(step, lm, data, key)
        seconds = time.perf_counter() - start
        yield spec, measure(lm, data, COLUMNS), seconds


def row(spec: str, scores: dict[str, Scores], seconds: float) -> str:
    """Return one line of the table."""
    cells = [_shown(name, scores[name].value) for name in COLUMNS]
    return f"| `{spec}` | {' | '.join(cells)} | {seconds:.1f} |"


def _shown(name: str, value: float) -> str:
    return "inf" if math.isinf(value) else format(value, _FORMATS.get(name, ".2f"))


def main() -> None:
    """Print the table as Markdown."""
    print(f"| alone | {' | '.join(COLUMNS.values())} | seconds |")
    print(f"|---|{'---|' * (len(COLUMNS) + 1)}")
    for spec, scores, seconds in tqdm(effects(), total=len(SPECS), unit="run"):
        print(row(spec, scores, seconds), flush=True)


if __name__ == "__main__":
    main()
