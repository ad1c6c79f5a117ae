"""Counts what makes code hard to read: filler names, long lines, long files.

``python -m tests.quality.plain_words`` prints the counts and where the filler names are;
tests/test_style.py holds the limits.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("composability", "interventions", "tracking", "sweeps", "analysis")
LINE_LENGTH = 100

# names that do not say what they hold
FILLERS = frozenset(
    (
        *("found", "there", "one", "at", "of", "made", "told", "own", "other", "others", "that"),
        *("this", "so", "here", "where", "what", "some", "those", "these", "kept", "seen", "asked"),
        *("given", "taken", "it", "such", "same", "each", "thing", "things"),
    )
)


@dataclass
class Counts:
    """What was counted over some files.

    Attributes:
        names: assigned names and arguments.
        fillers: those of them that are fillers, as "file:line: name".
        lines: lines of text.
        long_lines: those of over ``LINE_LENGTH`` characters, as "file:line".
        file_lengths: lines by file.
    """

    names: int = 0
    fillers: list[str] = field(default_factory=list)
    lines: int = 0
    long_lines: list[str] = field(default_factory=list)
    file_lengths: dict[str, int] = field(default_factory=dict)

    @property
    def filler_share(self) -> float:
        """Return the share of names that are fillers, 0 to 1."""
        return len(self.fillers) / max(1, self.names)

    @property
    def long_share(self) -> float:
        """Return the share of lines that are too long, 0 to 1."""
        return len(self.long_lines) / max(1, self.lines)


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below folders of the checkout, sorted."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def count(paths: list[Path]) -> Counts:
    """Count names and lines over files."""
    counts = Counts()
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        source = path.read_text()
        lines = source.splitlines()
        counts.file_lengths[name] = len(lines)
        counts.lines += len(lines)
        counts.long_lines += [
            f"{name}:{number}"
            for number, line in enumerate(lines, start=1)
            if len(line) > LINE_LENGTH
        ]
        for line_number, assigned in assigned_names(ast.parse(source)):
            counts.names += 1
            if assigned in FILLERS:
                counts.fillers.append(f"{name}:{line_number}: {assigned}")
    return counts


def assigned_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of every variable that is assigned and every argument.

    Example:
        >>> list(assigned_names(ast.parse("def add(a, b): total = a + b")))
        [(1, 'total'), (1, 'a'), (1, 'b')]
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def main() -> int:
    """Print the counts of the packages and of everything."""
    for title, folders in (("packages", PACKAGES), ("all", (*PACKAGES, "tests", "benchmarks"))):
        counts = count(python_files(*folders))
        lengths = counts.file_lengths
        longest = max(lengths, key=lengths.__getitem__)
        print(
            f"{title}: {len(lengths)} files, median {statistics.median(lengths.values()):g} lines,"
            f" longest {longest} ({lengths[longest]});"
            f" {len(counts.fillers)} of {counts.names} names are fillers"
            f" ({counts.filler_share:.2%});"
            f" {len(counts.long_lines)} of {counts.lines} lines over {LINE_LENGTH} characters"
            f" ({counts.long_share:.2%})"
        )
    print("\n".join(counts.fillers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
