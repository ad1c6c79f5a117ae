"""The facts of an intervention and of a criterion that an analysis needs, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InterventionFacts:
    """What is known of an intervention without its code.

    Attributes:
        title: its name as tables print it.
        category: editing, compression, unlearning, training or merging.
        strength: the field that a sweep turns, if there is one.
        group: within which "# wins" are counted, such as "pruning"; "" stands for the category.
        level: the strength at which the paper's Tables 2-4 compare, if they do.
    """

    title: str
    category: str
    strength: str | None = None
    group: str = ""
    level: float | None = None


@dataclass(frozen=True)
class CriterionFacts:
    """What is known of a criterion without its code.

    Attributes:
        better: which direction is good: "higher", "lower" or "neither".
        unit: of the value.
        chance: the value that guessing gets, if there is one.
        title: its name as tables print it; "" stands for the name itself.
        group: names what it measures, where several criteria measure one thing.
        judges: the categories of interventions that are tuned by it unless a study says otherwise.
        category: of the interventions whose work it measures; "" for what any model can do.
        items: of what its items are a sample: "nested" in a batch of edits, "crossed" with all
            batches, or "exact": of nothing.
    """

    better: str
    unit: str
    chance: float | None = None
    title: str = ""
    group: str = ""
    judges: tuple[str, ...] = ()
    category: str = ""
    items: str = "crossed"
