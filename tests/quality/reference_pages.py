"""Pages of the reference that repeat what the code says: hyperparameters, and numbers.

    python -m tests.quality.reference_pages

writes both; tests/test_reference_pages.py holds the code against them. A change of a default, a
bound or a threshold changes what recorded runs are compared with, so it is to be seen in a page.
"""

from __future__ import annotations

import ast
import io
import math
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from interventions.base import INTERVENTIONS, Intervention
from interventions.criteria.base import CRITERIA
from interventions.data.testbed import MODEL, testbed
from interventions.hyperparameters import default_value, fields_of
from interventions.lm import skeleton
from interventions.options import PROFILES
from interventions.search_space import TuningContext
from tests.quality.plain_words import PACKAGES, ROOT, python_files

HYPERPARAMETERS = ROOT / "docs" / "reference" / "hyperparameters.md"
NUMBERS = ROOT / "docs" / "reference" / "numbers.md"
_DROPPED_IN = ("adapters", "editing", "compression", "finetuning", "unlearning", "criteria")
_LONGEST = 300  # characters of a value; longer ones are tables of words

_HYPERPARAMETERS_HEAD = """\
# Hyperparameters

What every intervention takes: the defaults on the testbed and at full scale (`data=paper`), what
is valid, the values that the paper searched (its Tables 5 to 7), and what a study with the space
`default` tries on the testbed. "one of its own" is checked against the model or by the
intervention. `python -m tests.quality.reference_pages` writes this page, and a test holds the
code against it.
"""

_NUMBERS_HEAD = """\
# Numbers

Limits, tolerances, levels, waits and defaults that the code decides by, with where they stand,
and what every criterion is declared as. `f(x)` is the default of the argument `x` of a function.
[Statistics](../explanation/statistics.md) explains those of the tests behind a sentence,
[security](../explanation/security.md) the limits of what others hand in. `python -m
tests.quality.reference_pages` writes this page, and a test holds the code against it.
"""


def is_of_the_house(file: str) -> bool:
    """Tell whether a file is in none of the folders into which others drop files of their own."""
    folder = Path(file).parent
    return folder.name not in _DROPPED_IN or folder.parent.name != "interventions"


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


def number_rows(files: Sequence[Path]) -> Iterator[tuple[str, str, str, str]]:
    """Yield file, name, value and meaning of what the files set to numbers.

    These are constants of modules, defaults of public functions, and fields of public classes.
    """
    for path in files:
        tree, comments = ast.parse(path.read_text()), _comments(path.read_text())
        file = path.relative_to(ROOT).as_posix()
        for name, value, lines in _settings(tree.body):
            text = ast.unparse(value)
            if len(text) <= _LONGEST and any(map(_is_number, ast.walk(value))):
                meaning = next((comments[line] for line in lines if line in comments), "")
                yield file, name, text, meaning


Setting = tuple[str, ast.expr, tuple[int, int]]  # name, value, lines that may have its comment


def _settings(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[Setting]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _settings(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or prefix):
            yield from _defaults(node, prefix)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not _is_declaration(node.value):
                name = prefix + ast.unparse(target).strip("()")
                yield name, node.value, (node.end_lineno or 0, node.lineno)


def _is_declaration(value: ast.expr) -> bool:
    """Tell whether a field is a hyperparameter, which the other page has."""
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "hyperparameter"


def _defaults(function: ast.FunctionDef, prefix: str) -> Iterator[Setting]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    pairs = [*zip(with_default, arguments.defaults, strict=True)]
    pairs += [
        (argument, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    ]
    for argument, default in pairs:
        yield f"{prefix}{function.name}({argument.arg})", default, (0, 0)


def _comments(source: str) -> dict[int, str]:
    """Return the comments by the line that they are about: their own, or the one after it."""
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            is_whole_line = token.line.lstrip().startswith("#")
            comments[token.start[0] + is_whole_line] = token.string.lstrip("# ")
    return comments


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def numbers(package: str) -> dict[tuple[str, str], str]:
    """Return the rows of a package on the page, by file and name."""
    rows = {}
    files = [path for path in python_files(package) if not _is_of_looks(path)]
    for file, name, value, meaning in number_rows(files):
        cells = (f"`{name}`", f"`{value}`".replace("|", "\\|"), meaning.replace("|", "\\|"))
        rows[file, name] = f"| {file.partition('/')[2]} | {' | '.join(cells)} |"
    return rows


def _is_of_looks(path: Path) -> bool:
    """Tell whether the numbers of a file are sizes in a picture."""
    return path.parent.name == "plots" and ("figure" in path.name or "interactive" in path.name)


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
        )
        rows[name] = f"| {' | '.join(cells)} |"
    return rows


_NUMBERS_COLUMNS = ("| file | name | value | meaning |", "|---|---|---|---|")
_CRITERIA_COLUMNS = (
    "| criterion | version | better | unit | chance | reads | needs | items | title | group"
    " | judges | category |",
    "|" + "---|" * 12,
)


def main() -> int:
    """Write both pages."""
    sections = [_HYPERPARAMETERS_HEAD.rstrip(), *hyperparameter_sections().values()]
    HYPERPARAMETERS.write_text("\n\n".join(sections) + "\n")
    lines = [_NUMBERS_HEAD.rstrip()]
    for package in PACKAGES:
        lines += ["", f"## {package}", "", *_NUMBERS_COLUMNS, *numbers(package).values()]
    lines += ["", "## Criteria", "", *_CRITERIA_COLUMNS, *criterion_rows().values()]
    NUMBERS.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
