"""The compositions that findings are tested on, how often each is run; those of the paper's six."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from interventions.errors import InvalidInput, shown

EDITORS = ("ft", "memit", "lora")
PRUNERS, QUANTIZERS = ("wanda", "sparsegpt"), ("awq", "gptq")
UNLEARNERS = ("ga", "gd", "rmu")
# of the unlearners those that draw something at random: the others are equal for every seed
RANDOM_UNLEARNERS = ("rmu",)
BATCHES, SEEDS = "edit batches", "seeds"
# what a single run is judged by, one by one: its replicates are items
TEXTS, QUESTIONS = "texts", "questions"
ITEM_CRITERIA = {TEXTS: "wikitext_ppl", QUESTIONS: "wmdp"}
SIZE = "average_bits"  # of a run whose replicates are texts: equal for all of them
ALWAYS = "always the same"  # whatever the seed and the batch
_LEVELS = 2  # of each strength


@dataclass(frozen=True)
class Levels:
    """The two levels of each strength at which the findings are tested.

    Attributes:
        sparsity: of the pruned, shares in (0, 1).
        bits: of the quantized.

    Example:
        >>> Levels().compressions("wanda")
        ['wanda(sparsity=0.25)', 'wanda(sparsity=0.65)']
    """

    sparsity: tuple[float, ...] = (0.25, 0.65)
    bits: tuple[int, ...] = (4, 3)

    @classmethod
    def parse(cls, text: str) -> Levels:
        """Read ``"sparsity=0.25,0.65;bits=4,3"``.

        Raises:
            InvalidInput: it is not written like that, or has not two different levels of each.

        Example:
            >>> Levels.parse("sparsity=0.5,0.65; bits=2,3").bits
            (2, 3)
        """
        parts = dict(part.strip().partition("=")[::2] for part in text.split(";"))
        try:
            sparsity = tuple(float(value) for value in parts.pop("sparsity").split(","))
            bits = tuple(int(value) for value in parts.pop("bits").split(","))
        except (KeyError, ValueError):
            sparsity, bits, parts = (), (), {"": ""}
        is_valid = all(0 < value < 1 for value in sparsity) and all(value > 0 for value in bits)
        two_each = len(set(sparsity)) == len(set(bits)) == _LEVELS == len(sparsity) == len(bits)
        if parts or not is_valid or not two_each:
            raise InvalidInput(
                'levels must be two of each strength, like "sparsity=0.25,0.65;bits=4,3", but got'
                f" {shown(text)}"
            )
        return cls(sparsity, bits)

    def compressions(self, method: str) -> list[str]:
        """Return a compression's spec at both levels."""
        if method in PRUNERS:
            return [f"{method}(sparsity={level:g})" for level in self.sparsity]
        return [f"{method}(bits={level})" for level in self.bits]

    def __str__(self) -> str:
        sparsities = " and ".join(f"{level:g}" for level in self.sparsity)
        return f"sparsity {sparsities}, {' and '.join(map(str, self.bits))} bits"


@dataclass(frozen=True)
class Cell:
    """A composition, and what its replicates are.

    Attributes:
        text: as ``Composition.parse`` reads it; it names the cell.
        over: ``BATCHES``, where the composition edits; else ``SEEDS``; ``TEXTS`` or
            ``QUESTIONS`` of a single run; ``ALWAYS``, where neither seed nor batch matters.
        is_random: whether another seed leads to other weights; always true of batches.
    """

    text: str
    over: str
    is_random: bool = True

    def replicates(self, count: int) -> range:
        """Return which batches or seeds are run, of ``count`` that are wanted."""
        is_repeated = self.is_random and self.over in (BATCHES, SEEDS)
        return range(count if is_repeated else 1)


def orders_of_pair(first: str, second: str) -> tuple[str, str]:
    """Return a pair's cells, the one with the first intervention first before the other.

    Example:
        >>> orders_of_pair("ft", "awq(bits=3)")
        ('ft | awq(bits=3)', 'awq(bits=3) | ft')
    """
    return f"{first} | {second}", f"{second} | {first}"


def unlearner_replicates(unlearner: str) -> str:
    """Return what replicates an unlearner where nothing is edited.

    One that draws nothing at random is one model for every seed: of it the questions say how sure
    a difference is, and nothing speaks of other runs.

    Example:
        >>> unlearner_replicates("rmu"), unlearner_replicates("gd")
        ('seeds', 'questions')
    """
    return SEEDS if unlearner in RANDOM_UNLEARNERS else QUESTIONS


def needed_cells(levels: Levels) -> list[Cell]:
    """Return every composition that a finding needs, each once.

    Args:
        levels: of the compressions.

    Example:
        >>> len(needed_cells(Levels()))
        120
    """
    return list(dict.fromkeys(_cells(levels)))


def _cells(levels: Levels) -> Iterator[Cell]:
    methods = (*PRUNERS, *QUANTIZERS)
    compressions = [spec for method in methods for spec in levels.compressions(method)]
    for editor in EDITORS:
        yield Cell(editor, BATCHES)
        for spec in (*compressions, *UNLEARNERS):
            for text in orders_of_pair(editor, spec):
                yield Cell(text, BATCHES)
    for unlearner in UNLEARNERS:
        over, is_random = unlearner_replicates(unlearner), unlearner in RANDOM_UNLEARNERS
        yield Cell(unlearner, over, is_random)
        for spec in compressions:
            for text in orders_of_pair(unlearner, spec):
                yield Cell(text, over, is_random)


def check_replicates(count: int) -> int:
    """Return how many batches and seeds are wanted, if a test can be made of them.

    Raises:
        InvalidInput: they are under three, or more than can be run.
    """
    if not 3 <= count <= 1000 or not math.isfinite(count):
        raise InvalidInput(f"edit_batches must be from 3 to 1000, but got {count}")
    return count
