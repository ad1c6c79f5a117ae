"""Spec strings, such as ``lora | wanda(sparsity=0.25)``, read as calls.

They are read with ``ast`` and ``literal_eval``: nothing in them runs.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
import warnings
from string import whitespace
from typing import Any, Literal

from interventions.base import INTERVENTIONS, Intervention, make
from interventions.errors import InvalidInput, shown
from interventions.options import EMPTY

MOST_STEPS = 100  # of a composition: far more than anybody would compare
BRANCHES = "branches"  # the field that positional arguments are of
MOST_TEXT = 100_000  # characters: a list of 10,000 levels fits
MOST_VARIANTS = 100_000  # interventions of a sweep; a composition of one step is made of each
_MOST_DEPTH = 10  # of brackets: a call, a list in it, a tuple in that
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_MOST_QUOTED_TEXT = 100  # characters of a whole text that a message repeats beside a part of it


def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Read a composition as names and the values written for each; make nothing.

    Args:
        text: such as ``"lora | wanda(sparsity=0.25)"``; ``"none"`` is the empty composition.
            Positional arguments are branches: compositions, which are left as texts.

    Raises:
        InvalidInput: unreadable text, or a list for a value.

    Example:
        >>> calls("lora | wanda(sparsity=0.25)")
        [('lora', {}), ('wanda', {'sparsity': 0.25})]
        >>> calls("merge(lora | ft, rmu)")
        [('merge', {'branches': ('lora | ft', 'rmu')})]
        >>> calls("none")
        []
    """
    tree = _parse(text, "eval", "a spec such as 'lora | wanda(sparsity=0.25)'").body
    steps = [_read_call(node, text) for node in _read_pipe(tree)]
    for name, values in steps:
        _check_branches(name, values)
        for key, value in values.items():
            if isinstance(value, list):
                raise InvalidInput(
                    f"{name}.{key}={shown(value, 80)} is a list, which means a sweep: one run takes"
                    " one value (a tuple is written with parentheses:"
                    f" {shown(tuple(value), 80)})"
                )
    return [(name, values) for name, values in steps if name != EMPTY]


def sweep(text: str, profile: str = "testbed") -> list[Intervention]:
    """Read a list of interventions, in which a list of values means one intervention of each.

    Args:
        text: such as ``"ft; wanda(sparsity=[0.25, 0.35])"``.
        profile: whose defaults the interventions have.

    Raises:
        InvalidInput: as ``Composition.parse``; an empty list, an intervention named twice, or more
            than 100,000 of them.

    Example:
        >>> [str(step) for step in sweep("ft; wanda(sparsity=[0.25, 0.35])")]
        ['ft', 'wanda(sparsity=0.25)', 'wanda(sparsity=0.35)']
    """
    tree = _parse(text, "exec", "a list such as 'ft; wanda(sparsity=[0.25, 0.35])'")
    whole = shown(text, _MOST_QUOTED_TEXT)
    named_calls = []
    for statement in tree.body:
        if not isinstance(statement, ast.Expr):
            raise InvalidInput(
                f"cannot read {_source(statement)} in {whole}: write name or name(key=value)"
            )
        name, values = _read_call(statement.value, text)
        _check_branches(name, values)
        named_calls.append((name, values))
        if [] in values.values():
            raise InvalidInput(
                f"{_source(statement)} in {whole} has an empty list: nothing would run"
            )
    _check_count(sum(_variants(values) for _, values in named_calls))
    steps: dict[Intervention, None] = {}  # a set that keeps its order
    for name, values in named_calls:
        lists = {key: value for key, value in values.items() if isinstance(value, list)}
        for combination in itertools.product(*lists.values()):
            chosen = dict(zip(lists, combination, strict=True))
            step = make(name, profile, **{**values, **chosen})
            if step in steps:
                raise InvalidInput(f"{step.spec(profile)} is named twice in {whole}")
            steps[step] = None
    if not steps:
        raise InvalidInput(
            f"no intervention is named in {whole}:"
            " write a list such as 'ft; wanda(sparsity=[0.25])'"
        )
    return list(steps)


def _variants(values: dict[str, Any]) -> int:
    """Return how many interventions a call stands for, without making any."""
    return math.prod(len(value) for value in values.values() if isinstance(value, list))


def _check_count(count: int) -> None:
    if count > MOST_VARIANTS:
        raise InvalidInput(
            f"a sweep may have {MOST_VARIANTS} interventions, but its lists make {count}"
        )


def _parse(text: Any, mode: Literal["eval", "exec"], example: str) -> Any:
    """Return the syntax tree of a text; whatever Python says of it becomes one line."""
    if not isinstance(text, str):
        raise InvalidInput(f"cannot read {shown(text)}: write {example}")
    _check_characters(text)
    try:
        with warnings.catch_warnings():
            # of "1if 2else 3" and the like, which is refused below
            warnings.simplefilter("ignore")
            stripped = text.strip() if mode == "eval" else text.strip(f";{whitespace}")
            return ast.parse(stripped, mode=mode)
    # the last two: of operators that are nested too deeply
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise InvalidInput(f"cannot read {shown(text)}: write {example}") from error


def _check_characters(text: str) -> None:
    """Refuse what makes Python's parser slow or crash, and letters that only look like others."""
    if len(text) > MOST_TEXT:
        raise InvalidInput(
            f"a spec may have {MOST_TEXT} characters, but got {len(text)}: {shown(text, 100)}"
        )
    unquoted = _QUOTED.sub("''", text)
    if not text.replace("\n", " ").replace("\t", " ").isprintable() or not unquoted.isascii():
        raise InvalidInput(
            f"a spec is written in ASCII, and other text in it in quotes, but got {shown(text)}"
        )
    depth = deepest = 0
    for character in unquoted:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > _MOST_DEPTH:
        raise InvalidInput(
            f"a spec may have {_MOST_DEPTH} brackets within one another, but got {deepest}:"
            f" {shown(text)}"
        )


def _read_pipe(node: ast.expr) -> list[ast.expr]:
    """Return the steps that ``|`` joins, in order."""
    backwards, pending = [], [node]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            pending += [node.left, node.right]
        else:
            backwards.append(node)
        if len(backwards) > MOST_STEPS:
            raise InvalidInput(f"a composition may have {MOST_STEPS} steps, but got more")
    return backwards[::-1]


def _read_call(node: ast.expr, text: str) -> tuple[str, dict[str, Any]]:
    # "None" is a constant of Python, not a name; it means the empty composition too
    if isinstance(node, ast.Constant) and node.value is None:
        return EMPTY, {}
    if isinstance(node, ast.Name):
        return node.id, {}
    whole = shown(text, _MOST_QUOTED_TEXT)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise InvalidInput(f"cannot read {_source(node)} in {whole}: write name or name(key=value)")
    name = node.func.id
    if node.args and not _takes_branches(name):
        raise InvalidInput(
            f"{_cut(name)} takes key=value only, but got {_source(node.args[0])} in {whole}"
        )
    values: dict[str, Any] = {}
    if node.args:
        values[BRANCHES] = tuple(_branch_text(argument, whole) for argument in node.args)
    for keyword in node.keywords:
        key, value = _read_value(name, keyword, whole)
        if key in values:
            raise InvalidInput(f"{_cut(name)}.{_cut(key)} is given twice in {whole}")
        values[key] = value
    if name == EMPTY and values:
        raise InvalidInput(f"{EMPTY} is the empty composition and takes no values, but got {whole}")
    return name, values


def _takes_branches(name: str) -> bool:
    cls = INTERVENTIONS.all().get(name)
    return cls is not None and cls.takes_branches


def _check_branches(name: str, values: dict[str, Any]) -> None:
    """Refuse a call without the branches that its step takes."""
    if BRANCHES not in values and _takes_branches(name):
        raise InvalidInput(
            f"{name} takes two or more branches, compositions that start from the model before it,"
            f" such as {name}(lora | ft, rmu), but got none"
        )


def _branch_text(node: ast.expr, whole: str) -> str:
    try:
        return ast.unparse(node)
    except RecursionError as error:
        raise InvalidInput(f"cannot read a branch that is nested too deeply in {whole}") from error


def _read_value(name: str, keyword: ast.keyword, whole: str) -> tuple[str, Any]:
    if keyword.arg is None:
        raise InvalidInput(
            f"{_cut(name)} takes key=value only, but got {_source(keyword)} in {whole}"
        )
    try:
        return keyword.arg, ast.literal_eval(keyword.value)
    # a list in a set is a TypeError; the last two: operators that are nested too deeply
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        raise InvalidInput(
            f"{_cut(name)}.{_cut(keyword.arg)} must be a plain value, but got"
            f" {_source(keyword.value)} (quote text)"
        ) from error


def _source(node: ast.AST) -> str:
    """Return a part of a spec as a message repeats it."""
    try:
        return shown(ast.unparse(node), _MOST_QUOTED_TEXT)
    except RecursionError:
        return "a part that is nested too deeply"


def _cut(name: str) -> str:
    """Return the start of a name, without the quotes that ``shown`` gives text."""
    return shown(name, 50).strip("'")
