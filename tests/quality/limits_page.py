"""The page of the reference that lists the numbers which the code decides by.

What is refused as too much, what is cut, from which difference on something is said, how long is
waited: every constant of the packages that is a number, with what its comment says.
"""

from __future__ import annotations

import ast
import io
import operator
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.quality.plain_words import PACKAGES, ROOT, python_files

LIMITS = ROOT / "docs" / "reference" / "limits.md"
HEAD = """\
# Limits, tolerances and sizes

The numbers that the code decides by, file by file: what is refused as too much, what a message or
a page cuts, from which difference on something is said, which differences are rounding, how long
is waited, how much is worked on at once. They are constants; none is an option.
`python -m tests.quality.reference_pages` writes this page, and a test holds the code against it.
"""

_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
_LOOKS = "analysis/plots/"  # sizes and places in a figure are to be seen there
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: pow,
}


@dataclass(frozen=True)
class Constant:
    """A number with a name.

    Attributes:
        path: of the file, from the checkout.
        name: as it is assigned.
        value: a number, or several.
        comment: what it says of the number; "" if nothing.
    """

    path: str
    name: str
    value: Any
    comment: str

    @property
    def row(self) -> str:
        """Return the constant's row of the page."""
        comment = self.comment.replace("|", "\\|")
        return f"| `{self.name}` | `{self.value!r}` | {comment} |"


def constants_of(path: str, source: str) -> Iterator[Constant]:
    """Yield the constants of a file that are numbers.

    Example:
        >>> source = "# of a name\\n_MOST = 2**6  # characters"
        >>> next(constants_of("tracking/a.py", source)).row
        '| `_MOST` | `64` | characters |'
    """
    comments = _comments(source)
    for node in ast.parse(source).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        name = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        value = _number(node.value)
        if value is not None and all(map(_CONSTANT.fullmatch, name.strip("()").split(", "))):
            comment = comments.get(node.end_lineno or 0) or _above(node.lineno, comments, source)
            yield Constant(path, name.strip("()"), value, comment)


def _comments(source: str) -> dict[int, str]:
    """Return line -> its comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("# ")
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _above(line: int, comments: dict[int, str], source: str) -> str:
    """Return what the lines of comment above a line say; they hold for what follows them too."""
    lines = source.splitlines()
    first = line - 1
    while first and _CONSTANT.match(lines[first - 1]) and first not in comments:
        first -= 1
    parts: list[str] = []
    while first and lines[first - 1].startswith("#"):
        parts.insert(0, comments[first])
        first -= 1
    return " ".join(parts)


def _number(node: ast.expr) -> Any:
    """Return the value of an expression of numbers, or of a tuple or list of them; else None."""
    if isinstance(node, ast.Tuple | ast.List):
        values = [_number(element) for element in node.elts]
        return None if None in values or not values else tuple(values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _number(node.left), _number(node.right)
        if isinstance(left, int) and isinstance(right, int):
            return _OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    return None


def limit_sections() -> dict[str, str]:
    """Return what the page says of each file, by its path."""
    sections = {}
    for file in python_files(*PACKAGES):
        path = file.relative_to(ROOT).as_posix()
        rows = [constant.row for constant in constants_of(path, file.read_text())]
        if rows and not path.startswith(_LOOKS):
            head = [f"## {path}", "", "| constant | value | |", "| --- | --- | --- |"]
            sections[path] = "\n".join([*head, *rows])
    return sections
