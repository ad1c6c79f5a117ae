"""Spec strings, such as ``lora | wanda(sparsity=0.25)``, read as calls.

They are read with ``ast`` and ``literal_eval``: nothing in them runs.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from typing import Any

from interventions.base import Intervention, make
from interventions.errors import InvalidInput

EMPTY = "none"  # how the empty composition is written


def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Read a composition as names and the values written for each; make nothing.

    Args:
        text: such as ``"lora | wanda(sparsity=0.25)"``; ``"none"`` is the empty composition.

    Raises:
        InvalidInput: unreadable text, or a list for a value.

    Example:
        >>> calls("lora | wanda(sparsity=0.25)")
        [('lora', {}), ('wanda', {'sparsity': 0.25})]
        >>> calls("none")
        []
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(
            f"cannot read {text!r}: write a spec such as 'lora | wanda(sparsity=0.25)'"
        ) from error
    steps = [_read_call(node, text) for node in _read_pipe(tree)]
    for name, values in steps:
        for key, value in values.items():
            if isinstance(value, list):
                raise InvalidInput(
                    f"{name}.{key}={value!r} is a list, which means a sweep: one run takes one"
                    f" value (a tuple is written with parentheses: {tuple(value)!r})"
                )
    return [(name, values) for name, values in steps if name != EMPTY]


def sweep(text: str, profile: str = "testbed") -> list[Intervention]:
    """Read a list of interventions, in which a list of values means one intervention of each.

    Args:
        text: such as ``"ft; wanda(sparsity=[0.25, 0.35])"``.
        profile: whose defaults the interventions have.

    Raises:
        InvalidInput: as ``Composition.parse``; an empty list, or an intervention named twice.

    Example:
        >>> [str(step) for step in sweep("ft; wanda(sparsity=[0.25, 0.35])")]
        ['ft', 'wanda(sparsity=0.25)', 'wanda(sparsity=0.35)']
    """
    try:
        statements = ast.parse(text.strip().strip(";")).body
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(
            f"cannot read {text!r}: write a list such as 'ft; wanda(sparsity=[0.25, 0.35])'"
        ) from error
    steps: dict[Intervention, None] = {}  # a set that keeps its order
    for statement in statements:
        if not isinstance(statement, ast.Expr):
            raise InvalidInput(
                f"cannot read {ast.unparse(statement)!r} in {text!r}: write name or name(key=value)"
            )
        name, values = _read_call(statement.value, text)
        lists = {key: value for key, value in values.items() if isinstance(value, list)}
        for combination in itertools.product(*lists.values()):
            chosen = dict(zip(lists, combination, strict=True))
            step = make(name, profile, **{**values, **chosen})
            if step in steps:
                raise InvalidInput(f"{step.spec(profile)} is named twice in {text!r}")
            steps[step] = None
        if any(not value for value in lists.values()):
            raise InvalidInput(
                f"{ast.unparse(statement)!r} in {text!r} has an empty list: nothing would run"
            )
    if not steps:
        raise InvalidInput(
            f"no intervention is named in {text!r}: "
            "write a list such as 'ft; wanda(sparsity=[0.25])'"
        )
    return list(steps)


def _read_pipe(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _read_pipe(node.left)
        yield from _read_pipe(node.right)
    else:
        yield node


def _read_call(node: ast.expr, text: str) -> tuple[str, dict[str, Any]]:
    # "None" is a constant of Python, not a name; it means the empty composition too
    if isinstance(node, ast.Constant) and node.value is None:
        return EMPTY, {}
    if isinstance(node, ast.Name):
        return node.id, {}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise InvalidInput(
            f"cannot read {ast.unparse(node)!r} in {text!r}: write name or name(key=value)"
        )
    name = node.func.id
    if node.args:
        raise InvalidInput(
            f"{name} takes key=value only, but got {ast.unparse(node.args[0])!r} in {text!r}"
        )
    return name, dict(_read_value(name, keyword, text) for keyword in node.keywords)


def _read_value(name: str, keyword: ast.keyword, text: str) -> tuple[str, Any]:
    if keyword.arg is None:
        raise InvalidInput(
            f"{name} takes key=value only, but got {ast.unparse(keyword)!r} in {text!r}"
        )
    try:
        return keyword.arg, ast.literal_eval(keyword.value)
    except ValueError as error:
        shown = ast.unparse(keyword.value)
        raise InvalidInput(
            f"{name}.{keyword.arg} must be a plain value, but got {shown!r} (quote text)"
        ) from error
