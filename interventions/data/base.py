"""Data: what interventions learn from and criteria measure on, in named parts with an identity each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from interventions.lm import file_digest
from interventions.options import Split

SPLITS: tuple[str, ...] = get_args(Split)


@dataclass(frozen=True)
class Edit:
    """One fact to change.

    Attributes:
        subject: what the fact is about, as it stands in the prompt.
        prompt: ends where the answer begins (without the space).
        target: the new answer.
        original: the answer before.
        rephrasings: other prompts that the new answer must hold for.
    """

    subject: str
    prompt: str
    target: str
    original: str
    rephrasings: tuple[str, ...]


@dataclass(frozen=True)
class Prompt:
    """An unedited prompt and its gold answer."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Questions:
    """Four-choice questions as lm-eval tasks.

    Attributes:
        tasks: criterion name -> lm-eval task name.
        folder: the tasks' YAML files and their data; None for the tasks that lm-eval ships.
        revision: which state of the questions, where the folder does not say.
        split: which questions of the folder: "test", or "validation" for tuning.
        sources: data set of lm-eval's own tasks -> its local copy, or the revision to take from the hub.
        halved: data sets that have test questions only: of these, "validation" asks every second one, and "held_out"
            the others.
    """

    tasks: tuple[tuple[str, str], ...]
    folder: Path | None = None
    revision: str = ""
    split: str = "test"
    sources: tuple[tuple[str, Path | str], ...] = ()
    halved: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> str:
        """Changes when a question does."""
        files = _files(self.folder) if self.folder else ""
        sources = {
            name: _files(place) if isinstance(place, Path) else place
            for name, place in self.sources
        }
        return f"{self.tasks}-{files}-{self.revision}-{self.split}-{sources}{self.halved or ''}"

    def rows(self, source: str) -> tuple[str, slice]:
        """(split, which of its rows) of a data set that are asked."""
        if source in self.halved:
            return "test", slice(0 if self.split == "validation" else 1, None, 2)
        return "validation" if self.split == "validation" else "test", slice(None)


def _files(folder: Path) -> str:
    """A hash of the files' contents; hidden ones (a downloader's notes) do not count."""
    visible = (
        p
        for p in folder.rglob("*")
        if not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
    return file_digest(path for path in visible if path.is_file())


class Lazy(Sequence[str]):
    """Texts that are read when they are first looked at; their identity is that of a tuple of them.

    For corpora that only some interventions use: an unused one is never read.
    """

    def __init__(self, read: Callable[[], tuple[str, ...]]) -> None:
        self._read = read

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """All of them."""
        return self._read()

    @cached_property
    def identity(self) -> str:
        """As of the tuple."""
        return _identity(self.texts)

    def __getitem__(self, index: Any) -> Any:
        return self.texts[index]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Data:
    """All parts. Texts are documents; ``forget`` alternates between the hazard domains.

    Attributes:
        name: what the run calls it ("testbed", "paper").
        edits: one batch.
        locality: prompts on subjects that the batch does not edit.
        questions: four-choice questions.
        forget: what unlearning forgets.
        retain: what it must not forget, from the train split.
        calibration: texts that compression looks at, from the train split.
        statistics: texts over which MEMIT takes second moments, from the train split.
        test_text: what perplexity is measured on, from the test split, or from the one that is asked for.
        window: tokens of a text that are scored together.
        base_answers: the base model's answers to ``locality``, in order; None until it was asked.
    """

    name: str
    edits: tuple[Edit, ...]
    locality: tuple[Prompt, ...]
    questions: Questions
    forget: Sequence[str]
    retain: Sequence[str]
    calibration: Sequence[str]
    statistics: Sequence[str]
    test_text: tuple[str, ...]
    window: int
    base_answers: tuple[str, ...] | None = None
    _identities: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def identity(self, part: str) -> str:
        """A hash of one part's content; equal content, equal identity, whichever batch it came with."""
        if part not in self._identities:
            self._identities[part] = _identity(getattr(self, part))
        return self._identities[part]


PARTS = frozenset(one.name for one in dataclasses.fields(Data) if one.init) - {"name"}


def _identity(part: Any) -> str:
    if isinstance(part, Lazy):
        return part.identity
    if isinstance(part, Questions):
        part = part.identity
    plain = [_plain(item) for item in part] if isinstance(part, tuple) else part
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def _plain(item: Edit | Prompt | str) -> Any:
    return item if isinstance(item, str) else dataclasses.asdict(item)
