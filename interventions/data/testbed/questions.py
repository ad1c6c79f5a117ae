"""The testbed's four-choice questions as JSON lines; `python -m interventions.data.testbed.questions` writes them."""

from __future__ import annotations

import json
import random

from interventions.data.testbed import TASKS
from interventions.data.testbed.world import BENIGN, HAZARDS, Fact, world

_VALIDATION = 0.25  # share of the questions that is kept for tuning


def questions(criterion: str) -> dict[str, list[dict[str, object]]]:
    """Split -> rows of ``question, choices (4), answer`` (index); every fact is asked once, as training asked it."""
    domains = BENIGN if criterion == "mmlu" else [d for d, c in HAZARDS.items() if c == criterion]
    rng = random.Random(f"questions-{criterion}")
    rows = [_row(fact, rng) for domain in domains for fact in world().facts[domain]]
    rng.shuffle(rows)
    cut = int(len(rows) * _VALIDATION)
    return {"validation": rows[:cut], "test": rows[cut:]}


def _row(fact: Fact, rng: random.Random) -> dict[str, object]:
    wrong = rng.sample([o for o in fact.relation.objects if o != fact.object], 3)
    choices = [fact.object, *wrong]
    rng.shuffle(choices)
    question = fact.prompts(trained=True)[1][0]
    return {"question": question, "choices": choices, "answer": choices.index(fact.object)}


def write() -> None:
    """Write every file."""
    for criterion in ("mmlu", *HAZARDS.values()):
        for split, rows in questions(criterion).items():
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (TASKS / f"{criterion}.{split}.jsonl").write_text(lines)


if __name__ == "__main__":
    write()
