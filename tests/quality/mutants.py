"""Draws lines of the packages, changes one thing in each, and asks whether a test fails.

    python -m tests.quality.mutants --seed 1 --lines 80
    python -m tests.quality.mutants --files interventions/merging --each 10

A mutant is killed if a test fails. Asked first are the tests that run the line, the quickest and
nearest first (some seconds of them in forks of a session that has imported all), where `python -m
tests.quality.covering` has noted them and the file is still the same; else the tests of the file,
those of its folder, and those of its package and the contracts; last its slow and full ones. Of
a line that only importing runs, those tests are asked too that read what importing makes. Mutants
are made in copies of the checkout, so the checkout itself is never changed. Survivors are printed;
the exit status is 1 if fewer than 95 % were killed.
Not drawn is what ``equivalent.jsonl`` lists: changes after which the code does the same, with why.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.quality.copies import Copy
from tests.quality.covering import Covering, load
from tests.quality.plain_words import PACKAGES, ROOT, python_files
from tests.quality.rounds import Round, asked, is_of_import

LEAST_KILLED = 0.95

_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "+"),
    ast.Pow: ("**", "*"),
    ast.Mod: ("%", "+"),
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
# what only a person sees, or only costs time: no test could hold a change there
_SKIPPED_CALLS = frozenset(("tqdm", "warn", "print", "sleep", "set_postfix", "refresh", "Literal"))
_SKIPPED_KEYWORDS = frozenset(
    (
        *("delay", "desc", "unit", "indent", "stacklevel", "timeout", "maxsize", "max_results"),
        *(
            "help",
            "show_progress",
            "log_to_driver",
            "include_dashboard",
            "disable",
            "daemon",
            "miniters",
        ),
        # a guard of zip, as an assertion is
        "strict",
        # how a figure looks, not what it shows
        *("figsize", "fontsize", "dpi", "linewidth", "markersize", "horizontal_spacing"),
        *(
            "vertical_spacing",
            "shared_yaxes",
            "shared_xaxes",
            "showgrid",
            "width",
            "height",
            "margin",
        ),
        *(
            "nticks",
            "labelpad",
            "pad",
            "rotation",
            "bbox_to_anchor",
            "frameon",
            "ncol",
            "size",
            "font",
        ),
    )
)


@dataclass(frozen=True)
class Mutant:
    """One change: what is at columns ``start`` to ``end`` (bytes) of a line becomes ``text``."""

    path: str
    line: int
    start: int
    end: int
    text: str

    def applied(self, source: str) -> str:
        """Return the file's text with the change."""
        lines = source.splitlines(keepends=True)
        raw = lines[self.line - 1].encode()
        lines[self.line - 1] = (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()
        return "".join(lines)

    def change(self, source: str) -> tuple[str, str]:
        """Return the line before and after."""
        line = source.splitlines()[self.line - 1]
        raw = line.encode()
        changed = raw[: self.start] + self.text.encode() + raw[self.end :]
        return line.strip(), changed.decode().strip()

    def describe(self, source: str) -> str:
        """Return "file:line: before -> after"."""
        before, after = self.change(source)
        return f"{self.path}:{self.line}: {before}  ->  {after}"


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Yield every one-line change of a file.

    Example:
        >>> [mutant.text for mutant in mutants_of("a.py", "total = 1 + count")]
        ['-', '2']
    """
    tree = ast.parse(source)
    for node in _walk(tree):
        for start, end, text in _changes(node, source):
            if start[0] == end[0]:
                yield Mutant(path, start[0], start[1], end[1], text)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that hold behaviour: no docstrings, annotations, messages, progress bars."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params", "msg"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_skipped(child):
                yield from _walk(child)


def _is_skipped(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
        return True
    if isinstance(node, ast.Call):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return name in _SKIPPED_CALLS
    if isinstance(node, ast.keyword):
        return node.arg in _SKIPPED_KEYWORDS
    if isinstance(node, ast.If):
        # what is only for type checkers, and what only a process of its own runs
        return ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        # in the packages a progress bar is named so, and nothing else is
        return ast.unparse(node.value.func).startswith(("bar.", "self._bar."))
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


Position = tuple[int, int]
Change = tuple[Position, Position, str]


def _start(node: ast.expr | ast.stmt) -> Position:
    return node.lineno, node.col_offset


def _end(node: ast.expr | ast.stmt) -> Position:
    assert node.end_lineno is not None and node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


def _changes(node: ast.AST, source: str) -> Iterator[Change]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from _operator(
            node.left, node.comparators[0], _COMPARISONS.get(type(node.ops[0])), source
        )
    elif isinstance(node, ast.BinOp) and not _is_text(node.left) and not _is_text(node.right):
        yield from _operator(node.left, node.right, _ARITHMETIC.get(type(node.op)), source)
    elif isinstance(node, ast.BoolOp):
        swap = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        yield from _operator(node.values[0], node.values[1], swap, source)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        # the word alone: brackets around what is negated belong to neither node
        yield _start(node), (node.lineno, node.col_offset + len("not ")), ""
    elif isinstance(node, ast.If | ast.IfExp):
        condition = ast.get_source_segment(source, node.test) or ""
        yield _start(node.test), _end(node.test), f"(not ({condition}))"
    elif isinstance(node, ast.Constant):
        yield from _constant(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in _FUNCTIONS:
            yield _start(node.func), _end(node.func), _FUNCTIONS[node.func.id]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield _start(node), _end(node), "pass"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _constant(node: ast.Constant) -> Iterator[Change]:
    if isinstance(node.value, bool):
        yield _start(node), _end(node), str(not node.value)
    elif isinstance(node.value, int):
        yield _start(node), _end(node), str(node.value + 1)
    elif isinstance(node.value, float):
        yield _start(node), _end(node), str(node.value * 2 or 1.0)


def _operator(
    left: ast.expr, right: ast.expr, swap: tuple[str, str] | None, source: str
) -> Iterator[Change]:
    """Yield the change of the operator between two operands on one line."""
    if swap is None or _end(left)[0] != _start(right)[0]:
        return
    line = source.splitlines()[_end(left)[0] - 1].encode()
    between = line[_end(left)[1] : _start(right)[1]].decode()
    if between.count(swap[0]) != 1:
        return
    column = _end(left)[1] + between.index(swap[0])
    row = _end(left)[0]
    yield (row, column), (row, column + len(swap[0])), swap[1]


EQUIVALENT = Path(__file__).with_name("equivalent.jsonl")


def equivalents() -> list[dict[str, str]]:
    """Return the changes after which the code does the same: path, before, after, why."""
    return [json.loads(line) for line in EQUIVALENT.read_text().splitlines()]


def draw(seed: int, lines: int, files: Sequence[str] = PACKAGES) -> list[Mutant]:
    """Draw lines uniformly over some files, and of each line one of its mutants.

    Args:
        seed: of the draw.
        lines: how many.
        files: paths from the checkout, or folders; all packages by default.
    """
    equivalent = {(row["path"], row["before"], row["after"]) for row in equivalents()}
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for path in _named(files):
        name, source = path.relative_to(ROOT).as_posix(), path.read_text()
        for mutant in mutants_of(name, source):
            if (name, *mutant.change(source)) not in equivalent:
                by_line.setdefault((name, mutant.line), []).append(mutant)
    generator = random.Random(seed)
    chosen = generator.sample(sorted(by_line), min(lines, len(by_line)))
    return [generator.choice(by_line[place]) for place in chosen]


def _named(files: Sequence[str]) -> list[Path]:
    """Return the files of the packages that are named, or lie in a folder that is."""
    named = [ROOT / name for name in files]
    return [path for path in python_files(*PACKAGES) if {path, *path.parents} & {*named}]


class Judge:
    """Finds out in copies of the checkout whether a mutant is killed.

    Args:
        covering: which tests run which lines, if that is known.

    Attributes:
        quickest_tests: all that are known, the quickest first.
    """

    def __init__(self, covering: Covering | None) -> None:
        self._covering = covering
        self._passing: set[str] = set()  # tests that were seen to pass without a mutant
        self.quickest_tests = covering.quickest_tests if covering else []

    def is_killed(self, mutant: Mutant, copy: Copy) -> bool:
        """Apply a mutant in a copy of the checkout, run tests, and put the file back.

        A test that fails is run again without the mutant: if it fails then too, it says nothing.
        """
        target = copy.folder / mutant.path
        source = target.read_text()
        if self._is_killed_in_fork(mutant, source, copy):
            return True
        for tests, marked in self._tests_of(mutant, source):
            target.write_text(mutant.applied(source))
            try:
                failed = copy.first_failure(tests, marked) if tests else []
            finally:
                target.write_text(source)
            if failed and self._pass_without(failed, copy, marked):
                return True
            if failed:
                print(f"these fail without a mutant too: {' '.join(failed)}", flush=True)
        return False

    def _is_killed_in_fork(self, mutant: Mutant, source: str, copy: Copy) -> bool:
        if self._covering is None or is_of_import(source, mutant.line):
            return False
        tests = self._covering.quick_tests_of(mutant.path, mutant.line, source)
        failed = copy.first_failure_in_fork(mutant.path, source, mutant.applied(source), tests)
        return bool(failed) and (
            copy.first_failure_in_fork(mutant.path, source, source, [str(failed)]) == ""
        )

    def _tests_of(self, mutant: Mutant, source: str) -> list[Round]:
        covering = self._covering
        tests = covering.tests_of(mutant.path, mutant.line, source) if covering else []
        seconds = [covering.seconds_of(test) for test in tests] if covering else []
        is_run = not is_of_import(source, mutant.line)
        return asked(mutant.path, tests, seconds, is_run)

    def _pass_without(self, failed: Sequence[str], copy: Copy, marked: str) -> bool:
        if not set(failed) <= self._passing:
            if copy.first_failure(failed, marked):
                return False
            self._passing |= set(failed)
        return True


def main() -> int:
    """Run the command; return 0 if enough mutants were killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=int, default=80)
    parser.add_argument("--files", nargs="+", default=PACKAGES, help="or folders; all by default")
    parser.add_argument("--each", type=int, default=0, help="lines of every file, instead of all")
    parser.add_argument("--workers", type=int, default=2, help="mutants that are tried at once")
    options = parser.parse_args()
    drawn = [[str(path.relative_to(ROOT))] for path in _named(options.files)]
    parts = drawn if options.each else [options.files]
    lines = options.each or options.lines
    mutants = [mutant for part in parts for mutant in draw(options.seed, lines, part)]
    if not mutants:
        parser.error(f"no line to change in {' '.join(options.files)}")
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(load())
        survivors = _survivors(mutants, options.workers, judge, Path(folder))
    share = 1 - len(survivors) / len(mutants)
    print(f"seed {options.seed}: {len(mutants)} mutants, {share:.1%} killed; survivors:")
    print("\n".join(survivors) or "none")
    return 0 if share >= LEAST_KILLED else 1


def _survivors(mutants: Sequence[Mutant], workers: int, judge: Judge, folder: Path) -> list[str]:
    free = [Copy(folder / f"copy{n}", judge.quickest_tests) for n in range(workers)]
    copies = list(free)

    def survives(mutant: Mutant) -> str:
        copy = free.pop()
        try:
            killed = judge.is_killed(mutant, copy)
        finally:
            free.append(copy)
        line = mutant.describe((ROOT / mutant.path).read_text())
        print(f"{'killed  ' if killed else 'SURVIVED'} {line}", flush=True)
        return "" if killed else line

    try:
        with ThreadPoolExecutor(workers) as pool:
            return [line for line in pool.map(survives, mutants) if line]
    finally:
        for copy in copies:
            copy.close()


if __name__ == "__main__":
    sys.exit(main())
