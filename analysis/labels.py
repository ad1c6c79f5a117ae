"""Write interventions, criteria, levels and numbers as tables, figures and sentences show them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tracking.catalogue import Catalogue
from tracking.markup import plain

MEASURE_TITLES = {
    "order_free_error": "Order-free error",
    "order_sensitivity": "Order sensitivity",
}
SHARES = ("F1", "accuracy", "share")  # units of criteria in [0, 1]
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
ARROW = " → "
NOTHING = "–"  # where there is no number
# the order of methods in the paper's Tables 2 to 4 and figures, and in its appendix
MAIN_ORDER = ("ft", "memit", "lora", "wanda", "sparsegpt", "awq", "gptq", "ga", "gd", "rmu")
APPENDIX_ORDER = ("ft", "memit", "lora", "sparsegpt", "wanda", "gptq", "awq", "ga", "gd", "rmu")


def place(name: str, order: tuple[str, ...] = MAIN_ORDER) -> tuple[int, str]:
    """Return a key that sorts methods as the paper does; methods it lacks come last, by name.

    Example:
        >>> sorted(["rtn", "awq", "lora", "hqq"], key=place)
        ['lora', 'awq', 'hqq', 'rtn']
    """
    return (order.index(name) if name in order else len(order), name)


@dataclass(frozen=True)
class Labels:
    """Titles of interventions and criteria, as the catalogue of some runs has them.

    Args:
        catalogue: what the runs say of their interventions and criteria.

    Example:
        >>> titles = Labels(Catalogue())
        >>> titles.order("ft", "sparsegpt")
        'FT → SparseGPT'
        >>> titles.criterion("edit_success", unit=True)
        'Edit success (F1) ↑'
    """

    catalogue: Catalogue

    def method(self, name: str, variant: str = "") -> str:
        """Return ``SparseGPT``, or with what sets it apart: ``SparseGPT (samples=64)``."""
        if not name:
            return "None"
        facts = self.catalogue.interventions.get(name)
        title = facts.title if facts is not None else name
        return f"{plain(title)} ({variant})" if variant else plain(title)

    def order(self, first: str, second: str) -> str:
        """Return ``FT → Wanda``."""
        return f"{self.method(first)}{ARROW}{self.method(second)}"

    def criterion(self, name: str, unit: bool = False) -> str:
        """Return ``Edit success ↑``, or ``Edit success (F1) ↑``."""
        facts = self.catalogue.criteria[name]
        title = facts.title or name.replace("_", " ")
        words = [title]
        if unit and facts.unit not in title:
            words.append(f"({facts.unit})")
        if ARROWS[facts.better]:
            words.append(ARROWS[facts.better])
        return plain(" ".join(words))


def strength_of(column: str) -> str:
    """Return ``sparsity`` of ``wanda.sparsity``."""
    return column.rpartition(".")[2]


def counts_units(strength: str) -> bool:
    """Return whether a strength is named in the plural, as ``bits``: its level counts them.

    Example:
        >>> counts_units("bits"), counts_units("sparsity"), counts_units("loss")
        (True, False, False)
    """
    return strength.endswith("s") and not strength.endswith("ss")


def level_text(strength: str, level: float) -> str:
    """Return ``4 bits`` or ``sparsity 0.25``; empty where there is no level."""
    return "" if math.isnan(level) else levels_text(strength, [level])


def levels_text(strength: str, levels: list[float]) -> str:
    """Return ``sparsity 0.25, 0.35`` or ``2, 3, 4 bits``; empty where there is no strength.

    Args:
        strength: as runs name it, ``wanda.sparsity``, or ``sparsity`` alone.
        levels: its values.

    Example:
        >>> levels_text("awq.bits", [2, 3, 4])
        '2, 3, 4 bits'
    """
    name = strength_of(strength)
    values = ", ".join(f"{level:g}" for level in levels)
    if not name:
        return ""
    return f"{values} {name}" if counts_units(name) else f"{name} {values}"


def with_levels(text: str, strength: str, levels: list[float]) -> str:
    """Return ``text at sparsity 0.25``; the text alone where there is no strength."""
    levels_in_words = levels_text(strength, levels)
    return f"{text} at {levels_in_words}" if levels_in_words else text


def number(value: float, digits: int = 2) -> str:
    """Return a number as people read it; a dash where there is none.

    Example:
        >>> [number(value) for value in (0.254, 1748954.75, math.inf, math.nan)]
        ['0.25', '1.7e+06', '∞', '–']
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{digits}f}" if abs(value) < 10_000 else f"{value:.1e}"


def percent(share: float) -> str:
    """Return ``87%``; a dash where there is no number."""
    if math.isnan(share):
        return NOTHING
    # a share of resamples is never certain, even where all of them agree
    return ">99%" if share > 0.99 else f"{share:.0%}"


def counted(count: int, noun: str) -> str:
    """Return ``1 pair`` or ``2 pairs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def suffixes(contexts: Iterable[str]) -> dict[str, str]:
    """Return the end of a file's name for each context; all are different, and one alone has none.

    Args:
        contexts: settings in words, ``model=testbed, data=testbed``; they may repeat.

    Example:
        >>> suffixes(["model=a, data=b", "model=c, data=b"])
        {'model=a, data=b': '-model-a-data-b', 'model=c, data=b': '-model-c-data-b'}
    """
    distinct = list(dict.fromkeys(contexts))
    if len(distinct) < 2:
        return dict.fromkeys(distinct, "")
    chosen: dict[str, str] = {}
    for context in distinct:
        words = "".join(char if char.isalnum() else " " for char in context.lower()).split()
        slug = "-".join(words)[:60]
        is_new = f"-{slug}" not in chosen.values()
        chosen[context] = f"-{slug}" if is_new else f"-{slug}-{len(chosen) + 1}"
    return chosen
