"""What is known of a criterion, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from interventions.criteria.scores import Scores
from interventions.criteria.sharing import once
from interventions.data.base import Data
from interventions.lm import LM

Better = Literal["higher", "lower", "neither"]
Items = Literal["nested", "crossed", "exact"]


@dataclass(frozen=True)
class Criterion:
    """A registered criterion; call it with (lm, data).

    Attributes:
        name: the function's name.
        better: which direction is good.
        unit: of the value.
        version: raise it when the same model would get another value; recorded values are then
            measured anew.
        reads: the parts of Data that it uses.
        function: measures one model.
        chance: the value that guessing gets, if there is one.
        title: how tables print it; the name, with spaces, where it is "".
        group: names what it measures, where several criteria measure that; "" if no other does.
            A criterion whose group is the name of another criterion is a part of that one.
        judges: categories of interventions that are tuned by it unless a study says otherwise.
        category: of the interventions whose work it measures; "" for what any model can do.
        items: of what its items are a sample: "nested", of what belongs to one batch of edits, so
            that another batch has others; "crossed", of what every batch is measured on; "exact",
            of nothing, as in a measurement of all weights.
        needs: what must be in the parts that it reads: "rephrasings" of edits, or the set
            "questions.mmlu". It is no part of the identity of a value.
        opt_in: whether it is measured only where a run names it, for what it costs.
    """

    name: str
    better: Better
    unit: str
    version: int
    reads: frozenset[str]
    function: Callable[[LM, Data], Scores]
    chance: float | None = None
    title: str = ""
    group: str = ""
    judges: tuple[str, ...] = ()
    category: str = ""
    items: Items = "crossed"
    needs: tuple[str, ...] = ()
    opt_in: bool = False

    def __call__(self, lm: LM, data: Data) -> Scores:
        """Measure; within one ``measuring`` block at most once."""
        return once((self.name,), lambda: self.function(lm, data))

    def applies_to(self, data: Data) -> bool:
        """Return whether the data have all parts that it reads; it is not measured on others."""
        return not self.lacks(data)

    def lacks(self, data: Data) -> list[str]:
        """Return what it reads or needs that the data have not."""
        return [part for part in (*sorted(self.reads), *self.needs) if not data.has(part)]

    def identity(self, data: Data) -> list[Any]:
        """Return what, besides the model, the value depends on."""
        parts = {part: data.identity(part) for part in sorted(self.reads)}
        # scores of a sample are never those of all items, even if there are no more items
        limit = [{"limit": data.limit}] if data.limit and self.reads else []
        # scores of before there was a choice of windows are those of the usual ones
        windows = data.changed_windows if "window" in self.reads else {}
        return [self.name, self.version, parts, *([windows] if windows else []), *limit]
