"""lm-eval's own tasks, on local copies in their published schema, as stock lm-eval answers."""

from pathlib import Path
from typing import Any

import pytest

from interventions.data import hub
from interventions.data.own.reading import own_data
from tests.interventions.criteria.engine.stock import small_model, stock_evaluation
from tests.interventions.criteria.engine.test_evaluation import assert_equal, our_evaluation
from tests.interventions.data.local_copies import question, write_parquet

OPTIONS = ["a red boat", "two birds", "an old well", "snow"]
LETTERS = ["A", "B", "C", "D"]


def numbered(text: str, **fields: Any) -> list[dict[str, Any]]:
    """Return six rows, whose ``text`` has the number of the row, by turns with another answer."""
    return [
        {key: value(number) if callable(value) else value for key, value in fields.items()}
        | {name: f"{text} {number} now?" for name in fields if fields[name] is None}
        for number in range(6)
    ]


# task -> the file of the hub's layout, and its rows; two have functions of lm-eval's own
COPIES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "mmlu_anatomy": (
        "cais/mmlu/anatomy/test-0.parquet",
        [question(f"Which colour has stone {number}?", number % 4) for number in range(6)],
    ),
    "hellaswag": (
        "Rowan/hellaswag/data/validation-0.parquet",
        numbered(
            "She bakes cake", activity_label="Baking", ctx_a=None, ctx_b="she", endings=OPTIONS,
            label=lambda number: str(number % 4),
        ),
    ),
    "winogrande": (
        "allenai/winogrande/winogrande_xl/validation-0.parquet",
        [
            {
                "sentence": f"The cup did not fit into bag {number} because _ was too big.",
                "option1": "the cup",
                "option2": "bag",
                "answer": str(1 + number % 2),
            }
            for number in range(6)
        ],
    ),
    "arc_easy": (
        "allenai/ai2_arc/ARC-Easy/test-0.parquet",
        numbered(
            "What is seen in winter", question=None,
            choices={"text": OPTIONS, "label": LETTERS},
            answerKey=lambda number: "DACB"[number % 4],
        ),
    ),
    "boolq": (
        "aps/super_glue/boolq/validation-0.parquet",
        numbered(
            "is it a boat", question=None, passage="A boat came home late.",
            idx=lambda number: number,
            label=lambda number: number % 2,
        ),
    ),
    "openbookqa": (
        "allenai/openbookqa/main/test-0.parquet",
        numbered(
            "What the water does", question_stem=None,
            choices={"text": OPTIONS, "label": LETTERS},
            answerKey=lambda number: "BADC"[number % 4],
        ),
    ),
    "sciq": (
        "allenai/sciq/data/test-0.parquet",
        numbered(
            "What floats", question=None, support="Boats float.", correct_answer="a boat",
            distractor1="a stone", distractor2="lead", distractor3="iron",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", COPIES)
def test_a_published_task_is_answered_as_by_lm_eval(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, rows = COPIES[task]
    write_parquet(tmp_path / file, rows)
    monkeypatch.setenv(hub.VARIABLE, str(tmp_path))
    questions = own_data(questions={"facts": {"task": task, "better": "higher"}}).batch().questions
    lm = small_model("qwen2")
    ours = our_evaluation(lm, questions)
    assert assert_equal(ours, stock_evaluation(lm, questions)) == 6
