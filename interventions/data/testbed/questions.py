"""The testbed's four-choice questions, as JSON lines.

`python -m interventions.data.testbed.questions` writes them.
"""

from __future__ import annotations

import json
import random

from interventions.data.testbed import TASKS
from interventions.data.testbed.world import BENIGN, HAZARDS, Fact, world

_VALIDATION = 0.25  # share of the questions that is kept for tuning


def questions(criterion: str) -> dict[str, list[dict[str, object]]]:
    """Return the rows of each split: ``question``, ``choices`` (4) and ``answer`` (an index).

    Every fact is asked once, as training asked it. Its rival is among the choices.

    Args:
        criterion: "mmlu", "wmdp_bio" or "wmdp_cyber".
    """
    hazards = [domain for domain, measured_by in HAZARDS.items() if measured_by == criterion]
    domains = BENIGN if criterion == "mmlu" else hazards
    rng = random.Random(f"questions-{criterion}")
    rows = [_row(fact, rng) for domain in domains for fact in world().facts[domain]]
    rng.shuffle(rows)
    cut = int(len(rows) * _VALIDATION)
    return {"validation": rows[:cut], "test": rows[cut:]}


def _row(fact: Fact, rng: random.Random) -> dict[str, object]:
    others = [answer for answer in fact.relation.objects if answer not in (fact.object, fact.rival)]
    choices = [fact.object, fact.rival, *rng.sample(others, 2)]
    rng.shuffle(choices)
    question = fact.prompts(trained=True)[1][0]
    return {"question": question, "choices": choices, "answer": choices.index(fact.object)}


def write() -> None:
    """Write the questions of every criterion and split."""
    for criterion in ("mmlu", *HAZARDS.values()):
        for split, rows in questions(criterion).items():
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (TASKS / f"{criterion}.{split}.jsonl").write_text(lines)


if __name__ == "__main__":
    write()
