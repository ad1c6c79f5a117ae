"""Which tests are asked about a changed line, and in which order."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from tests.quality.plain_words import PACKAGES, ROOT, python_files

_QUICK, _LONG, _NOT_SLOW = "not slow and not full", "slow or full", "not slow"


Round = tuple[list[str], str]  # tests, and which of them, as pytest's ``-m`` takes it


def test_rounds(path: str) -> list[Round]:
    """Return the tests to ask about a file, the nearest first, and which of them, as marked.

    Example:
        >>> test_rounds("tracking/store.py")[0][0][0]
        'tests/tracking/test_store.py'
    """
    folder, stem = Path("tests") / Path(path).parent, Path(path).stem
    while not (ROOT / folder).is_dir():
        folder = folder.parent
    files = sorted((ROOT / folder).glob(f"test_{stem}*.py")) or _naming(path)
    nearest = [file.relative_to(ROOT).as_posix() for file in files]
    package = Path("tests") / Path(path).parts[0]
    return [
        (nearest, _QUICK),
        ([folder.as_posix()], _QUICK),
        ([package.as_posix(), "tests/test_contracts.py"], _QUICK),
        (nearest, _LONG),
    ]


def _naming(path: str) -> list[Path]:
    """Return the files of tests that import a file of the packages, or one that imports it."""
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    parent, _, name = module.rpartition(".")
    imports = re.compile(rf"{re.escape(module)}\b|from {re.escape(parent)} import .*\b{name}\b")
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    naming = [test for test in tests if imports.search(test.read_text())]
    if naming:
        return naming
    users = [user for user in python_files(*PACKAGES) if imports.search(user.read_text())]
    stems = {f"test_{user.stem}" for user in users if user.stem != "__init__"}
    return [test for test in tests if test.stem in stems]


# they read what importing makes: defaults, bounds, limits, which data classes are frozen
_READERS = (
    "tests/test_defaults.py",
    "tests/test_reference_pages.py",
    "tests/test_style.py",
    "tests/composability/test_options.py",
    "tests/interventions/test_limits.py",
)


def is_of_import(source: str, line: int) -> bool:
    """Tell whether a line is in no function's body, so that importing the file runs it.

    Example:
        >>> [is_of_import("MOST = 3\\ndef f(x=1):\\n    return x", line) for line in (1, 2, 3)]
        [True, True, False]
    """
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(ast.parse(source)) if isinstance(node, functions)]
    return not any(body[0].lineno <= line <= (body[-1].end_lineno or 0) for body in bodies)


_ASKED_AT_ONCE = (40, 60.0)  # tests, and seconds that they take together
_MOST_PORTIONS = 8  # a line that every test runs is asked of the nearest and quickest only


def asked(
    path: str, covering_tests: Sequence[str], seconds: Sequence[float], is_run: bool = True
) -> list[Round]:
    """Return the tests to ask about a line: those that run it, in small portions, or the nearest.

    Args:
        path: of the file, from the checkout.
        covering_tests: that run the line, the first to ask first; none where this is not known.
        seconds: that each of them takes.
        is_run: whether tests run the line; else only importing does, and the tests that read what
            importing makes are asked after the first portion.
    """
    portions: list[list[str]] = []
    room = (0, 0.0)
    for test, cost in zip(covering_tests, seconds, strict=True):
        if room[0] < 1 or room[1] < cost:
            portions.append([])
            room = _ASKED_AT_ONCE
        portions[-1].append(test)
        room = room[0] - 1, room[1] - cost
    rounds = test_rounds(path)
    # tests that do not run the line see nothing of it, but those in processes of their own, and
    # those that look at what a fixture of another test made: both are near
    in_turn = [
        *((portion, _NOT_SLOW) for portion in portions[:_MOST_PORTIONS]),
        *((rounds[0], rounds[-1]) if portions else rounds),
    ]
    return in_turn if is_run else [in_turn[0], (list(_READERS), _QUICK), *in_turn[1:]]
