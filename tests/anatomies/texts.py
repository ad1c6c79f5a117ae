"""Short texts and edits for the small models; made by rules, so that nothing is read."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from interventions.data.base import Data, Edit, Prompt, Questions

SUBJECTS = ("Velta", "Korin Dale", "Mount Asper", "Luzio", "Brann Ottwell", "Seren")
_ADJECTIVES = ("old", "green", "quiet", "narrow", "distant", "famous", "cold")
_NOUNS = ("river", "tower", "market", "engine", "garden", "harbour", "teacher", "storm")
_VERBS = ("crosses", "hides", "follows", "builds", "repairs", "forgets", "paints")
_PLACES = ("near the border", "in the north", "by night", "with great care", "after the war")


def sentences(count: int, seed: int, most: int = 4) -> tuple[str, ...]:
    """Return texts of 1 to ``most`` sentences each, of very different lengths."""
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        parts = [_sentence(chance) for _ in range(chance.randint(1, most))]
        texts.append(" ".join(parts))
    return tuple(texts)


def _sentence(chance: random.Random) -> str:
    subject = chance.choice(
        [*SUBJECTS, f"The {chance.choice(_ADJECTIVES)} {chance.choice(_NOUNS)}"]
    )
    verb, place = chance.choice(_VERBS), chance.choice(_PLACES)
    return f"{subject} {verb} the {chance.choice(_ADJECTIVES)} {chance.choice(_NOUNS)} {place}."


def edits() -> tuple[Edit, ...]:
    """Return four edits whose subjects end within the prompt."""
    targets = ("green tower", "the harbour", "cold storm", "engine")
    return tuple(
        Edit(subject, f"The home of {subject} lies", target, "river", (f"{subject} comes from",))
        for subject, target in zip(SUBJECTS, targets, strict=False)
    )


def tiny_data() -> Data:
    """Return Data for one table: a handful of texts in every part, and no questions."""
    parts = {field.name for field in dataclasses.fields(Data)}
    topics: dict[str, Any] = {"forget_topics": ("river", "tower")}
    return Data(
        **{part: value for part, value in topics.items() if part in parts},
        name="anatomies",
        edits=edits(),
        locality=tuple(Prompt(f"{subject} follows", "the river") for subject in SUBJECTS),
        questions=Questions(tasks=()),
        forget=sentences(8, seed=1, most=2),
        retain=sentences(8, seed=2, most=2),
        calibration=sentences(24, seed=3),
        statistics=sentences(40, seed=4),
        test_text=sentences(4, seed=5),
        window=32,
    )
