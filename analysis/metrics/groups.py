"""Say of which category and group interventions are, and in which order a pair is written."""

from __future__ import annotations

from collections.abc import Iterable

from tracking.catalogue import Catalogue

# the paper writes edits and unlearning before compression
CATEGORIES = ("editing", "unlearning", "compression")
# which of a pair is written first; what was trained elsewhere stands where an edit would
_PAIR_ORDER = ("editing", "unlearning", "training", "merging", "compression")
# the order in which the paper's tables and figures show groups
GROUP_ORDER = ("editing", "unlearning", "pruning", "quantization", "compression")
# what was learned elsewhere, and models that were merged: their methods are not compared
WITHOUT_WINS = ("training", "merging")
UNKNOWN = "other"  # of interventions that no run describes


def category_of(name: str, catalogue: Catalogue) -> str:
    """Return an intervention's category, such as "compression"; "other" if no run describes it."""
    facts = catalogue.interventions.get(name)
    return UNKNOWN if facts is None else facts.category


def group_of(name: str, catalogue: Catalogue) -> str:
    """Return the group within which an intervention's wins are counted, such as "pruning".

    Example:
        >>> [group_of(name, Catalogue()) for name in ("wanda", "gptq", "ft", "unheard_of")]
        ['pruning', 'quantization', 'editing', 'other']
    """
    facts = catalogue.interventions.get(name)
    return UNKNOWN if facts is None else facts.group or facts.category


def groups_of_category(category: str, catalogue: Catalogue) -> set[str]:
    """Return the groups of all interventions of a category.

    Example:
        >>> groups_of_category("compression", Catalogue()) >= {"pruning", "quantization"}
        True
    """
    names = [name for name, facts in catalogue.interventions.items() if facts.category == category]
    return {group_of(name, catalogue) for name in names}


def group_rank(group: str) -> int:
    """Return the position of a group in ``GROUP_ORDER``; unknown groups come last.

    Example:
        >>> group_rank("editing"), group_rank("distillation")
        (0, 5)
    """
    return GROUP_ORDER.index(group) if group in GROUP_ORDER else len(GROUP_ORDER)


def canonical(names: Iterable[str], catalogue: Catalogue) -> tuple[str, ...]:
    """Return a pair as (intervention, partner): edits, then unlearning, then compression; by name.

    Example:
        >>> canonical(["wanda", "ga", "awq"], Catalogue())
        ('ga', 'awq', 'wanda')
        >>> canonical(["wanda", "adapter"], Catalogue())
        ('adapter', 'wanda')
    """
    return tuple(sorted(names, key=lambda name: (_rank(name, catalogue), name)))


def _rank(name: str, catalogue: Catalogue) -> int:
    category = category_of(name, catalogue)
    return _PAIR_ORDER.index(category) if category in _PAIR_ORDER else len(_PAIR_ORDER)
