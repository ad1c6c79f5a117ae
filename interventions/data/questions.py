"""Which four-choice questions are asked, and where they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from interventions.data.question_set import QuestionSet
from interventions.files import file_digest


@dataclass(frozen=True)
class Questions:
    """Four-choice questions as lm-eval tasks.

    Attributes:
        tasks: criterion name -> lm-eval task name.
        folder: the tasks' YAML files and their data; None for the tasks that lm-eval ships.
        revision: which state of the questions, where the folder does not say.
        split: which questions of the folder: "test", or "validation" for tuning.
        sources: data set of lm-eval's own tasks -> its local copy, or its revision on the hub.
        halved: data sets that have test questions only: "validation" asks every second question of
            these, and "held_out" the rest.
        sets: somebody's own questions; each has a task of ``tasks``.
        limit: the most questions of a criterion that are asked, a stratified sample; 0: all.
    """

    tasks: tuple[tuple[str, str], ...]
    folder: Path | None = None
    revision: str = ""
    split: str = "test"
    sources: tuple[tuple[str, Path | str], ...] = ()
    halved: tuple[str, ...] = ()
    sets: tuple[QuestionSet, ...] = ()
    limit: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the criteria that have questions here."""
        return tuple(name for name, _ in self.tasks)

    def only(self, names: Collection[str]) -> Questions:
        """Return the questions of some criteria; they are asked as among all."""
        if set(names) >= set(self.names):
            return self
        tasks = tuple((name, task) for name, task in self.tasks if name in names)
        sets = tuple(each for each in self.sets if each.name in names)
        return dataclasses.replace(self, tasks=tasks, sets=sets)

    @cached_property
    def identity(self) -> str:
        """Return a text that changes when a question does."""
        files = _files(self.folder) if self.folder else ""
        sources = {
            name: _files(place) if isinstance(place, Path) else place
            for name, place in self.sources
        }
        text = f"{self.tasks}-{files}-{self.revision}-{self.split}-{sources}{self.halved or ''}"
        # what not all data have is not said of those that have not, whose scores are stored
        text += f"-{[dataclasses.astuple(each) for each in self.sets]}" if self.sets else ""
        return f"{text}-{self.limit} of each" if self.limit else text

    def rows(self, source: str) -> tuple[str, slice]:
        """Return which questions of a data set are asked: its split, and which rows of it."""
        if source in self.halved:
            return "test", slice(0 if self.split == "validation" else 1, None, 2)
        return "validation" if self.split == "validation" else "test", slice(None)


def _files(folder: Path) -> str:
    """Return a hash of a folder's files; hidden ones (a downloader's notes) do not count."""
    visible = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            visible.append(path)
    return file_digest(visible)
