"""How interventions, criteria, levels and numbers are written in tables, figures and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tracking.catalogue import Catalogue

TITLES = {
    "edit_success": "Edit success",
    "edit_generalization": "Generalization",
    "edit_locality": "Locality",
    "edit_preservation": "Preservation",
    "wmdp": "WMDP",
    "wmdp_bio": "WMDP bio",
    "wmdp_cyber": "WMDP cyber",
    "mmlu": "MMLU",
    "wikitext_ppl": "WikiText perplexity",
    "average_bits": "Average bits",
    "sparsity": "Sparsity",
    "order_free_error": "Order-free error",
    "order_sensitivity": "Order sensitivity",
}
SHARES = ("F1", "accuracy", "share")  # units of criteria in [0, 1]
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
# the paper's order in its Tables 2 to 4, and in its appendix
MAIN_ORDER = ("ft", "memit", "lora", "wanda", "sparsegpt", "awq", "gptq", "ga", "gd", "rmu")
APPENDIX_ORDER = ("ft", "memit", "lora", "sparsegpt", "wanda", "gptq", "awq", "ga", "gd", "rmu")
ARROW = " → "
NOTHING = "–"  # where there is no number


def place(name: str, order: tuple[str, ...] = MAIN_ORDER) -> tuple[int, str]:
    """Sorts the paper's methods as the paper does, others after them by name."""
    return (order.index(name) if name in order else len(order), name)


@dataclass(frozen=True)
class Labels:
    """Titles of what a set of runs has."""

    catalogue: Catalogue

    def method(self, name: str, variant: str = "") -> str:
        """``SparseGPT``, or with what sets it apart: ``SparseGPT (samples=64)``."""
        if not name:
            return "None"
        facts = self.catalogue.interventions.get(name)
        title = facts.title if facts is not None else name
        return f"{title} ({variant})" if variant else title

    def order(self, first: str, second: str) -> str:
        """``FT → Wanda``."""
        return f"{self.method(first)}{ARROW}{self.method(second)}"

    def criterion(self, name: str, unit: bool = False) -> str:
        """``Edit success ↑``, or ``Edit success (F1) ↑``."""
        facts = self.catalogue.criteria[name]
        title = TITLES.get(name, name.replace("_", " "))
        shown = f"({facts.unit})" if unit and facts.unit not in title else ""
        return " ".join(filter(None, [title, shown, ARROWS[facts.better]]))


def strength_of(column: str) -> str:
    """``sparsity`` of ``wanda.sparsity``."""
    return column.rpartition(".")[2]


def level_text(strength: str, level: float) -> str:
    """``4 bits``, ``sparsity 0.25``; empty where there is no level."""
    name = strength_of(strength)
    if not name or math.isnan(level):
        return ""
    return f"{level:g} bits" if name == "bits" else f"{name} {level:g}"


def levels_text(strength: str, levels: list[float]) -> str:
    """``sparsity 0.25, 0.35``; ``2, 3, 4 bits``; empty where there is no level."""
    name = strength_of(strength)
    values = ", ".join(f"{level:g}" for level in levels)
    return "" if not name else f"{values} bits" if name == "bits" else f"{name} {values}"


def at(text: str, strength: str, levels: list[float]) -> str:
    """``text at sparsity 0.25``; the text alone where there is no level."""
    where = levels_text(strength, levels)
    return f"{text} at {where}" if where else text


def number(value: float, digits: int = 2) -> str:
    """``0.25``, ``12.93``, ``1.7e+06``, ``∞``; a dash where there is none."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{digits}f}" if abs(value) < 10_000 else f"{value:.1e}"


def percent(share: float) -> str:
    """``87%``; a dash where there is none. Resamples cannot say 100."""
    return NOTHING if math.isnan(share) else ">99%" if share > 0.99 else f"{share:.0%}"


def counted(count: int, what: str) -> str:
    """``1 pair``, ``2 pairs``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def suffixes(contexts: Iterable[str]) -> dict[str, str]:
    """Context to the end of a file's name: nothing where there is one, else what it says, each another."""
    distinct = list(dict.fromkeys(contexts))
    if len(distinct) < 2:
        return dict.fromkeys(distinct, "")
    taken: dict[str, str] = {}
    for context in distinct:
        slug = "-".join("".join(c if c.isalnum() else " " for c in context.lower()).split())[:60]
        taken[context] = (
            f"-{slug}" if f"-{slug}" not in taken.values() else f"-{slug}-{len(taken) + 1}"
        )
    return taken
