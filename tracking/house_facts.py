"""Read the facts of this project's interventions and criteria from their source files.

To import the files would import torch. They are parsed with ``ast`` instead, so a fact has to be
written as a literal; one that is not is left out with a warning.
"""

from __future__ import annotations

import ast
import functools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import interventions
from interventions.data.base import PARTS_OF_A_BATCH
from tracking.facts import CriterionFacts, InterventionFacts

SOURCES = Path(interventions.__file__).parent
_FOLDERS = ("editing", "compression", "unlearning", "adapters", "finetuning", "merging")
_CLASS_FACTS = ("title", "strength", "family", "paper_level")
_CRITERION_FACTS = ("better", "unit", "chance", "title", "group", "judges", "category", "items")
_POSITIONAL = ("better", "unit", "reads", "version")  # the order of `criterion`'s arguments


def house_interventions(sources: Path = SOURCES) -> dict[str, InterventionFacts]:
    """Return the facts of every intervention in a folder, by name.

    Args:
        sources: a folder with ``editing``, ``compression``, ``unlearning``, ``adapters`` and
            ``finetuning``; by default that of the package ``interventions``.

    Example:
        >>> house_interventions()["wanda"].strength
        'sparsity'
    """
    return dict(_read_interventions(sources))


def house_earlier(sources: Path = SOURCES) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the class attribute ``earlier`` of every intervention that has one, by name.

    Args:
        sources: as of ``house_interventions``.

    Example:
        >>> house_earlier()["gptq"][1]["static_groups"]
        True
    """
    return dict(_read_earlier(sources))


def house_criteria(sources: Path = SOURCES) -> dict[str, CriterionFacts]:
    """Return the facts of every criterion in a folder, by name, in the order of tables.

    That is: what editing, then unlearning is judged by, then what any model can do, then what
    compression is judged by.

    Args:
        sources: a folder with ``criteria``; by default that of the package ``interventions``.

    Example:
        >>> house_criteria()["wikitext_ppl"].better
        'lower'
    """
    return dict(_read_criteria(sources))


def in_house_order(criteria: Iterable[str]) -> list[str]:
    """Return names of criteria in the order of tables; those of others stay in theirs, last.

    Example:
        >>> in_house_order(["mine", "mmlu", "edit_success"])
        ['edit_success', 'mmlu', 'mine']
    """
    places = {name: place for place, name in enumerate(house_criteria())}
    return sorted(criteria, key=lambda name: places.get(name, len(places)))


@functools.cache
def _read_interventions(sources: Path) -> dict[str, InterventionFacts]:
    facts_of_name: dict[str, InterventionFacts] = {}
    for node, path in _classes(sources):
        facts = _facts_of_class(node, path)
        if facts is not None:
            facts_of_name[node.name.lower()] = facts
    return dict(sorted(facts_of_name.items()))


@functools.cache
def _read_earlier(sources: Path) -> dict[str, dict[int, dict[str, Any]]]:
    earlier_of_name: dict[str, dict[int, dict[str, Any]]] = {}
    for node, path in _classes(sources):
        for target, value in _assignments(node):
            values = _literals({target: value}, node.name, path) if target == "earlier" else None
            if values is not None:
                earlier_of_name[node.name.lower()] = values[target]
    return earlier_of_name


@functools.cache
def _classes(sources: Path) -> list[tuple[ast.ClassDef, Path]]:
    """Return the classes of all files of interventions, each with its file."""
    return [
        (node, path)
        for folder in _FOLDERS
        for path in _modules(sources / folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]


@functools.cache
def _read_criteria(sources: Path) -> dict[str, CriterionFacts]:
    facts_of_name: dict[str, CriterionFacts] = {}
    for path in _modules(sources / "criteria"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    facts = _facts_of_decorator(decorator, node.name, path)
                    if facts is not None:
                        facts_of_name[node.name] = facts
    names = sorted(facts_of_name, key=lambda name: _place(facts_of_name[name], facts_of_name))
    return {name: facts_of_name[name] for name in names}


def _place(facts: CriterionFacts, facts_of_name: dict[str, CriterionFacts]) -> tuple[int, ...]:
    """Return what criteria are sorted by; those that are equal in it stay in their file's order."""
    ranks = {"editing": 0, "unlearning": 1, "": 2, "compression": 3}
    is_part = facts.group in facts_of_name
    # one that belongs to no category goes by the first category that is tuned by it
    judged_category = facts.judges[0] if facts.judges else ""
    return (
        ranks.get(facts.category, len(ranks)),
        facts.better == "neither",
        is_part,
        ranks.get(judged_category, len(ranks)) if not facts.category else 0,
    )


def _modules(folder: Path) -> list[Path]:
    """Return the files that a registry imports: modules, and packages by their __init__."""
    return sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")])


def _facts_of_class(node: ast.ClassDef, path: Path) -> InterventionFacts | None:
    """Return the facts of ``class Wanda(Intervention, category="compression")``."""
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if "category" not in keywords:
        return None
    expressions = {"category": keywords["category"]}
    for target, value in _assignments(node):
        if target in _CLASS_FACTS:
            expressions[target] = value
    values = _literals(expressions, node.name, path)
    if values is None:
        return None
    return InterventionFacts(
        title=values.get("title") or node.name,
        category=values["category"],
        strength=values.get("strength"),
        group=values.get("family") or values["category"],
        level=values.get("paper_level"),
    )


def _assignments(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names and values of ``title = "Wanda"`` and ``title: ClassVar[str] = "Wanda"``."""
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and statement.value is not None:
                yield target.id, statement.value


def _facts_of_decorator(decorator: ast.expr, name: str, path: Path) -> CriterionFacts | None:
    """Return the facts of ``@criterion(better="lower", unit="perplexity")``."""
    if not isinstance(decorator, ast.Call):
        return None
    function = decorator.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called != "criterion":
        return None
    expressions = dict(zip(_POSITIONAL, decorator.args, strict=False))
    expressions |= {keyword.arg or "": keyword.value for keyword in decorator.keywords}
    facts = {
        key: value for key, value in expressions.items() if key in (*_CRITERION_FACTS, "reads")
    }
    values = _literals(facts, name, path)
    if values is None:
        return None
    # as `criterion` does
    of_a_batch = PARTS_OF_A_BATCH & set(values.pop("reads", ()))
    sample = values.get("items") or ("nested" if of_a_batch else "crossed")
    judges = tuple(values.get("judges", ()))
    return CriterionFacts(**{**values, "judges": judges, "items": sample})


def _literals(expressions: dict[str, ast.expr], name: str, path: Path) -> dict[str, Any] | None:
    """Return the values of literal expressions; None, with a warning, if one is not literal."""
    values: dict[str, Any] = {}
    for key, expression in expressions.items():
        try:
            values[key] = ast.literal_eval(expression)
        except ValueError:
            warnings.warn(
                f"{name} in {path.name} is left out of the catalogue: its {key} is"
                f" {ast.unparse(expression)}, not a literal",
                stacklevel=2,
            )
            return None
    return values
