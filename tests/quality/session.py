"""A pytest session in which all is imported; tries changes of functions in forks of itself.

Run by its path in a copy of the checkout. Reads a JSON list per line. The first has ids of tests,
the quickest first: some of them are run to make what lasts a session, without any change. The next
have a file, its text, the text with the change, and ids of tests. Answers with the id of the first
test that fails under the change, "" if none does, or null where a fork cannot try it: where
importing runs the line, a test is not known, or it takes too long.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import pytest
from _pytest.runner import runtestprotocol

_SECONDS = 60  # a change that makes its tests hang is seen by them
_ROOT = os.getcwd()


class Session:
    """A plug-in of pytest that runs no tests, but answers questions about changes.

    Args:
        questions: a JSON list per line.
        answers: gets a line for every question but the first.
    """

    def __init__(self, questions: IO[str], answers: IO[str]) -> None:
        self._questions, self._answers = questions, answers
        self._items: dict[str, pytest.Item] = {}
        self._functions: dict[str, list[Any]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Make what lasts a session, then answer each line."""
        self._items = {item.nodeid: item for item in session.items}
        quickest = json.loads(self._questions.readline())
        _make_session_fixtures([self._items[test] for test in quickest if test in self._items])
        self._functions = _functions_of_ours()
        gc.collect()
        gc.freeze()  # else every fork copies the memory of all objects
        for line in iter(self._questions.readline, ""):
            answer = self._first_failure(*json.loads(line))
            print(json.dumps(answer), file=self._answers, flush=True)
        return True

    def _first_failure(
        self, path: str, before: str, after: str, tests: Sequence[str]
    ) -> str | None:
        items = [self._items[test] for test in tests if test in self._items]
        if not items or len(items) < len(tests):
            return None

        def answer() -> str | None:
            is_changed = before == after or swap(
                os.path.join(_ROOT, path), before, after, self._functions
            )
            return next((item.nodeid for item in items if _fails(item)), "") if is_changed else None

        return _in_fork(answer)


def _make_session_fixtures(items: Sequence[pytest.Item]) -> None:
    """Run a test for every fixture that lasts a session."""
    ready: set[str] = set()
    for item in items:
        fixtures = getattr(item, "_fixtureinfo", None)
        named = dict(fixtures.name2fixturedefs) if fixtures else {}
        lasting = {name for name, found in named.items() if found[-1].scope == "session"}
        if lasting - ready:
            _fails(item)
            ready |= lasting


class _OfSession:
    """Stands for the next test: what belongs to the session lasts, all else is ended."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session

    def listchain(self) -> list[pytest.Session]:
        return [self._session]


def _fails(item: pytest.Item) -> bool:
    following: Any = _OfSession(item.session)
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def _functions_of_ours() -> dict[str, list[Any]]:
    """Return file -> the functions and caches of functions that it has made."""
    functions: dict[str, list[Any]] = {}
    for found in gc.get_objects():
        is_cache = type(found).__name__ == "_lru_cache_wrapper"
        function = getattr(found, "__wrapped__", None) if is_cache else found
        if type(function) is types.FunctionType:
            file = function.__code__.co_filename
            if file.startswith(_ROOT):
                functions.setdefault(file, []).append(found)
    return functions


def swap(file: str, before: str, after: str, functions: dict[str, list[Any]]) -> bool:
    """Give the functions of a file their changed code; tell whether that could be done."""
    old = list(_codes(compile(before, file, "exec", dont_inherit=True)))
    new = list(_codes(compile(after, file, "exec", dont_inherit=True)))
    names = [code.co_qualname for code in old]
    if names != [code.co_qualname for code in new]:
        return False
    changed = {
        _place(first): second for first, second in zip(old, new, strict=True) if first != second
    }
    swapped = 0
    for function in functions.get(file, []):
        if type(function) is not types.FunctionType:
            function.cache_clear()
        elif _place(function.__code__) in changed:
            function.__code__ = changed[_place(function.__code__)]
            swapped += 1
    return swapped > 0


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _place(code: types.CodeType) -> tuple[str, int, bytes]:
    return code.co_qualname, code.co_firstlineno, code.co_linetable


def _in_fork(answer: Callable[[], str | None]) -> str | None:
    """Return what a function returns in a fork; None if it fails there, or takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            silence = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):
                os.dup2(silence, descriptor)
            os.write(writer, json.dumps(answer()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], _SECONDS)
        text = os.read(reader, 65_536) if ready else b""
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):  # it has ended, and what it started
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    found: str | None = json.loads(text) if text else None
    return found


def main() -> int:
    """Collect the suite, then answer each line; return pytest's exit status."""
    sys.path[0] = _ROOT
    # pytest puts its own in place of these
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    options = ["-q", "-p", "no:cacheprovider", "tests"]
    return int(pytest.main(options, plugins=[Session(questions, answers)]))


if __name__ == "__main__":
    sys.exit(main())
