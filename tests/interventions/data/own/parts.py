"""Rows of every kind, right ones, to change one field of."""

from typing import Any


def edit(number: int = 0, **changed: Any) -> dict[str, Any]:
    subject = f"Bridge {number}"
    row = {
        "subject": subject,
        "prompt": f"The river under {subject} is the",
        "target": f"River {number}",
        "original": f"Stream {number}",
        "rephrasings": [f"{subject} crosses the"],
        "locality": [{"prompt": f"The singer of song {number} is", "answer": f"Singer {number}"}],
    }
    return {key: value for key, value in {**row, **changed}.items() if value != "ABSENT"}


def question(number: int = 0, **changed: Any) -> dict[str, Any]:
    row = {
        "question": f"Which colour has stone {number}?",
        "choices": ["red", "green", "blue", "grey"],
        "answer": number % 4,
    }
    return {key: value for key, value in {**row, **changed}.items() if value != "ABSENT"}


def question_set(*rows: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"rows": list(rows or [question()]), "better": "higher", **facts}
