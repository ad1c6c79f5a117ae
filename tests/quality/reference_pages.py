"""Pages of the reference that repeat what the code says: hyperparameters, criteria, limits.

    python -m tests.quality.reference_pages

writes all; tests/test_reference_pages.py holds the code against them. A change of a default or
a bound changes what recorded runs are compared with, so it is to be seen in a page.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from interventions.base import INTERVENTIONS, Intervention
from interventions.criteria.base import CRITERIA
from interventions.data.testbed import MODEL, testbed
from interventions.hyperparameters import default_value, fields_of
from interventions.lm import skeleton
from interventions.options import PROFILES
from interventions.search_space import TuningContext
from tests.quality.limits_page import HEAD, LIMITS, limit_sections
from tests.quality.plain_words import ROOT

HYPERPARAMETERS = ROOT / "docs" / "reference" / "hyperparameters.md"
CRITERION_FACTS = ROOT / "docs" / "reference" / "criterion-facts.md"

_HYPERPARAMETERS_HEAD = """\
# Hyperparameters

What every intervention takes: the defaults on the testbed and at full scale (`data=paper`), what
is valid, the values that the paper searched (its Tables 5 to 7), and what a study with the space
`default` tries on the testbed. "one of its own" is checked against the model or by the
intervention. `python -m tests.quality.reference_pages` writes this page, and a test holds the
code against it.
"""

_CRITERIA_HEAD = """\
# What criteria are declared as

Of every [criterion](criteria.md) what the analysis goes by: its version, the direction that is
good, what guessing gets, what it is measured on, of what its items are a sample, and which
categories of interventions it judges. `python -m tests.quality.reference_pages` writes this page,
and a test holds the code against it.
"""


class Ranges:
    """A trial that notes the ranges that it is asked for."""

    def __init__(self) -> None:
        self.by_name: dict[str, str] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Note a range of numbers."""
        return self._note(name, low, high, log)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Note a range of integers."""
        return self._note(name, low, high, log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Note choices."""
        self.by_name[name] = ", ".join(map(str, choices))
        return choices[0]

    def _note(self, name: str, low: Any, high: Any, log: bool) -> Any:
        self.by_name[name] = f"{low:.6g} to {high:.6g}{', log' if log else ''}"
        return high


def hyperparameter_sections() -> dict[str, str]:
    """Return what the page says of each registered intervention, by name."""
    context = TuningContext(skeleton(MODEL), testbed())
    return {name: _section(cls, context) for name, cls in INTERVENTIONS.all().items()}


def _section(cls: type[Intervention], context: TuningContext) -> str:
    tried = Ranges()
    if cls.suggest.__func__ is not Intervention.suggest.__func__:  # type: ignore[attr-defined]
        cls.suggest(tried, context)
    facts = [
        f"version {cls.version}",
        f"reads {', '.join(sorted(cls.reads)) or 'no data'}",
        f"levels of `{cls.strength}`" if cls.strength else "no levels",
        f"compared at {cls.paper_level:g}" if cls.paper_level is not None else "",
        "" if cls.recompressed_in_paper else "not applied again by the paper's code",
        "reports intermediate models" if cls.reports else "",
        *(f"version {version} had {_values(values)}" for version, values in cls.earlier.items()),
    ]
    lines = [f"## {cls.name}", "", f"{cls.title}: {'; '.join(filter(None, facts))}.", ""]
    head = ("hyperparameter", "default", "paper", "valid", "searched by the paper", "a study")
    rows: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    for name, field in fields_of(cls).items():
        defaults = [f"`{default_value(field, profile)!r}`" for profile in PROFILES]
        searched = ", ".join(f"{value:g}" for value in cls.grid.get(name, ()))
        ranges = [
            f"{part.removeprefix(name).removeprefix('.')} {text}".strip()
            for part, text in tried.by_name.items()
            if part.partition(".")[0] == name
        ]
        bounds = _bounds(field.metadata.get("bounds", {}))
        rows.append((f"`{name}`", *defaults, bounds, searched, "; ".join(ranges)))
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}={value!r}`" for name, value in values.items())


def _bounds(bounds: Mapping[str, float]) -> str:
    words = {"low": "at least", "high": "at most", "above": "over", "below": "under"}
    finite = [
        f"{words[name]} {value:.12g}" for name, value in bounds.items() if math.isfinite(value)
    ]
    return ", ".join(finite) or "one of its own"


def criterion_rows() -> dict[str, str]:
    """Return the row of each registered criterion, by name."""
    rows = {}
    for name, each in CRITERIA.all().items():
        cells = (
            f"`{name}`",
            str(each.version),
            *(each.better, each.unit, "" if each.chance is None else f"{each.chance:g}"),
            ", ".join(sorted(each.reads)),
            ", ".join(each.needs),
            *(each.items, each.title, each.group, ", ".join(each.judges), each.category),
            "by name" if each.opt_in else "always",
        )
        rows[name] = f"| {' | '.join(cells)} |"
    return rows


_CRITERIA_COLUMNS = (
    "| criterion | version | better | unit | chance | reads | needs | items | title | group"
    " | judges | category | measured |",
    "|" + "---|" * 13,
)


def main() -> int:
    """Write the pages."""
    sections = [_HYPERPARAMETERS_HEAD.rstrip(), *hyperparameter_sections().values()]
    HYPERPARAMETERS.write_text("\n\n".join(sections) + "\n")
    rows = criterion_rows().values()
    CRITERION_FACTS.write_text("\n".join([_CRITERIA_HEAD, *_CRITERIA_COLUMNS, *rows]) + "\n")
    LIMITS.write_text("\n\n".join([HEAD.rstrip(), *limit_sections().values()]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
