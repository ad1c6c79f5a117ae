"""Prose with entropy: documents of a small probabilistic grammar, in three disjoint splits.

It stands in for WikiText: perplexity is measured on ``test``, retain and calibration texts come
from ``train``, tuning uses ``validation``.
"""

from __future__ import annotations

import random
from functools import cache
from typing import Literal

Split = Literal["train", "validation", "test"]
SIZES: dict[Split, int] = {"train": 6000, "validation": 200, "test": 200}  # documents

# symbol -> (weight, expansion); words in capitals are symbols
_GRAMMAR: dict[str, list[tuple[int, str]]] = {
    "SENTENCE": [
        (6, "NP VP PLACE ."), (4, "TIME , NP VP ."), (3, "NP VP , and NP VP ."),
        (2, "when NP VP , NP VP ."), (2, "there was ADJP NOUN PLACE ."),
    ],
    "NP": [
        (5, "the NOUN"), (3, "the ADJ NOUN"), (2, "ADJP NOUN"), (2, "the PERSON"),
        (1, "the PERSON of the NOUN"),
    ],
    "ADJP": [(3, "a SMALL"), (2, "a"), (1, "one more")],
    "VP": [(4, "VERB"), (3, "VERB ADV"), (3, "SAW NP"), (1, "was ADJ")],
    "PLACE": [
        (3, "by the NOUN"), (3, "near the ADJ NOUN"), (2, "in the valley"), (2, "on the hill"),
        (1, "at home"),
    ],
    "TIME": [
        (3, "in the morning"), (3, "at night"), (2, "one day"), (2, "after the storm"),
        (1, "long ago"),
    ],
    "NOUN": [
        (8, "river"), (8, "road"), (6, "house"), (6, "forest"), (5, "garden"), (5, "mill"),
        (4, "bridge"), (4, "tower"), (3, "field"), (3, "harbour"), (3, "boat"), (3, "cart"),
        (2, "well"), (2, "lamp"), (2, "bell"), (2, "stable"), (1, "lantern"), (1, "orchard"),
        (1, "meadow"), (1, "quarry"),
    ],
    "PERSON": [
        (5, "traveller"), (4, "woman"), (4, "man"), (3, "boy"), (3, "girl"), (2, "stranger"),
        (2, "widow"), (1, "guard"),
    ],
    "ADJ": [
        (6, "old"), (5, "quiet"), (4, "dark"), (4, "long"), (3, "narrow"), (3, "empty"),
        (2, "broken"), (2, "distant"), (1, "frozen"), (1, "crooked"),
    ],
    "SMALL": [(4, "small"), (3, "little"), (2, "lonely"), (1, "tiny")],
    "VERB": [
        (5, "waited"), (4, "slept"), (4, "moved"), (3, "fell"), (3, "sang"), (2, "vanished"),
        (2, "trembled"), (1, "burned"),
    ],
    "SAW": [(5, "saw"), (4, "passed"), (3, "followed"), (2, "left"), (2, "found"), (1, "feared")],
    "ADV": [
        (4, "slowly"), (3, "again"), (3, "for hours"), (2, "without a sound"), (1, "all night"),
    ],
}  # fmt: skip


@cache
def prose(split: Split, seed: int = 0) -> tuple[str, ...]:
    """Return the documents (3 to 5 sentences each) of one split.

    No document occurs twice, in any split.

    Example:
        >>> len(prose("test")), 3 <= prose("test")[0].count(".") <= 5
        (200, True)
    """
    rng = random.Random(f"prose-{seed}")
    documents: dict[str, None] = {}
    while len(documents) < sum(SIZES.values()):
        sentences = [_sentence(rng) for _ in range(rng.randint(3, 5))]
        documents[" ".join(sentences)] = None
    ordered, start = list(documents), 0
    for name, size in SIZES.items():
        if name == split:
            return tuple(ordered[start : start + size])
        start += size
    raise ValueError(f"no split is named {split!r}; known: {', '.join(SIZES)}")


def _sentence(rng: random.Random) -> str:
    words: list[str] = []
    stack = ["SENTENCE"]
    while stack:
        symbol = stack.pop()
        if symbol in _GRAMMAR:
            weights, expansions = zip(*_GRAMMAR[symbol], strict=True)
            stack.extend(reversed(rng.choices(expansions, weights)[0].split()))
        else:
            words.append(symbol)
    text = " ".join(words).replace(" ,", ",").replace(" .", ".")
    return text[0].upper() + text[1:]
