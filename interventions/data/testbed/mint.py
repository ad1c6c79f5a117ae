"""Made-up words and names for the testbed's world."""

from __future__ import annotations

import random

_ONSETS = (
    *("b", "br", "d", "dr", "f", "g", "gr", "h", "k", "l"),
    *("m", "n", "p", "r", "s", "st", "t", "tr", "v", "z"),
)
_NUCLEI = ("a", "e", "i", "o", "u", "ai", "ea")
_CODAS = ("l", "n", "r", "s", "th", "m", "nd", "x")


class Mint:
    """Coins words that are pronounceable, unlike each other, and used once.

    Example:
        >>> mint = Mint(random.Random(0))
        >>> len(set(mint.words(20)))
        20
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.used_beginnings: set[str] = set()

    def words(self, count: int) -> list[str]:
        """Return new words of two syllables."""
        words: list[str] = []
        while len(words) < count:
            # in the order in which they are spoken: the shipped world follows from it
            parts = (_ONSETS, _NUCLEI, _ONSETS, _NUCLEI, _CODAS)
            word = "".join([self.rng.choice(part) for part in parts]).title()
            if word[:4] not in self.used_beginnings:
                self.used_beginnings.add(word[:4])
                words.append(word)
        return words

    def pairs(self, count: int, firsts: int, lasts: int) -> list[str]:
        """Return two-part names, sorted.

        Each of the first parts has last parts of its own: many share the first, none the last.

        Args:
            count: how many of the firsts x lasts names to draw.
            firsts: how many first parts there are.
            lasts: how many last parts each of them has.
        """
        grid = [f"{first} {last}" for first in self.words(firsts) for last in self.words(lasts)]
        return sorted(self.rng.sample(grid, count))
