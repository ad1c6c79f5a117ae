"""A data set of somebody's own: all batches and splits, of which a run takes one."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from interventions.data.base import Data, Edit, Lazy, Prompt, Questions
from interventions.data.own.leaks import (
    LEARNED,
    Measured,
    check_locality,
    check_texts,
    hashes_of_measured,
)
from interventions.data.own.parts import DataPart
from interventions.data.own.rows import EditRow, read_texts
from interventions.data.own.splits import Split, batch_of, count_batches
from interventions.data.own.task_questions import hashes_of_tasks
from interventions.data.question_set import QuestionSet
from interventions.data.retain_model import retain_model_identity
from interventions.errors import InvalidInput, shown

SPLITS = ("test", "validation")
WINDOW = 1024  # tokens; what GPT-2 reads, and every model since
_TAKEN = ("testbed", "testbed-without-forget", "paper", "none")
_SHOWN_DIGEST = 12  # hexadecimal digits


@dataclass(frozen=True)
class DataContent:
    """What a data set consists of, read and checked.

    Attributes:
        edits: each with the unrelated prompts of its row.
        locality: unrelated prompts that every batch is judged by.
        questions: the sets of four-choice questions.
        perplexity: texts that perplexity is measured on.
        learned: texts by part: "forget", "retain", "calibration", "statistics"; a ``DataPart``
            where the texts are on the hub, and are read when a step first uses them.
        topics: names of what is forgotten, in the order in which texts alternate.
        task_sources: data set of lm-eval's own tasks -> its local copy, or its revision.
        batch: edits in a batch; 0 makes one batch of all.
        window: tokens that perplexity scores together.
        retain_model: folder of a model that was trained without what is to be forgotten; "" for
            none.
        allowed: the overlaps that are meant.
    """

    edits: Split[EditRow] = field(default_factory=Split)
    locality: Split[Prompt] = field(default_factory=Split)
    questions: Split[QuestionSet] = field(default_factory=Split)
    perplexity: Split[str] = field(default_factory=Split)
    learned: Mapping[str, Sequence[str] | DataPart] = field(default_factory=dict)
    topics: tuple[str, ...] = ()
    task_sources: tuple[tuple[str, Any], ...] = ()
    batch: int = 0
    window: int = WINDOW
    retain_model: str = ""
    allowed: frozenset[str] = frozenset()


class DataSet:
    """Data of somebody's own, as ``own_data`` makes them.

    Two data sets of equal content are equal, wherever their files are.

    Attributes:
        name: how runs call it.
        defaults: whose defaults hyperparameters have: "paper" or "testbed".
        content: all of it.
        digest: a hash of the content.
        path: of the file that describes it; "" if none does.
    """

    def __init__(self, name: str, defaults: str, content: DataContent) -> None:
        """Take checked content, and check that nothing that is learned from is measured too.

        Raises:
            InvalidInput: something is, and it is not allowed by name.
        """
        self.name, self.defaults, self.content, self.path = name, defaults, content, ""
        if name in _TAKEN:
            raise InvalidInput(
                f"data of your own cannot be called {name}, which names other data: say another"
                " name"
            )
        for part in LEARNED:
            learned = content.learned.get(part)
            if learned is not None and not isinstance(learned, DataPart):
                check_texts(part, learned, self._measured, content.allowed)
        self.digest = _digest(content)

    def __str__(self) -> str:
        """Return the name and the start of the digest, as runs record them."""
        return f"{self.name}@{self.digest[:_SHOWN_DIGEST]}"

    def __repr__(self) -> str:
        return f"DataSet({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataSet) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> DataSet:
        return self  # nothing in it changes

    def read_from(self, path: str) -> DataSet:
        """Return the data set, with the file that it was read from."""
        self.path = path
        return self

    @property
    def leakage(self) -> str:
        """What is known of texts that are learned from and measured, too."""
        allowed = ", ".join(sorted(self.content.allowed))
        return f"none found; allowed, and not looked for: {allowed}" if allowed else "none found"

    def batch(self, edit_batch: int = 0, split: str = "test") -> Data:
        """Return the data of one run.

        Args:
            edit_batch: the index of the batch of edits.
            split: "test", or "validation" for tuning.

        Raises:
            InvalidInput: there is no such batch, nothing is for tuning, or a prompt of the batch is
                edited and is to stay as it is.
        """
        content = self.content
        if split not in SPLITS:
            raise InvalidInput(
                f"split must be {' or '.join(SPLITS)} on data of your own, but got {shown(split)}"
            )
        measured = (content.edits, content.locality, content.questions, content.perplexity)
        if split == "validation" and not any(part.validation for part in measured):
            raise InvalidInput(
                f"data {self.name} have nothing for split=validation, by which tuning judges: say"
                " validation: 0.3 for a share, or give a part rows of its own for it"
            )
        edits = content.edits.of(split)
        count = count_batches(len(edits), content.batch)
        if not 0 <= edit_batch < count:
            with_split = " with split=validation" if split == "validation" else ""
            raise InvalidInput(
                f"edit_batch must be 0 to {count - 1} on {self.name}{with_split}, which has"
                f" {len(edits)} edits in batches of {content.batch or len(edits)}, but got"
                f" {edit_batch}"
            )
        rows = batch_of(edits, content.batch, edit_batch)
        of_rows = [prompt for row in rows for prompt in row.locality]
        locality = (*of_rows, *content.locality.of(split))
        check_locality([row.edit for row in rows], locality, content.allowed)
        return Data(
            name=self.name,
            edits=tuple(row.edit for row in rows),
            locality=locality,
            questions=_questions(content, split),
            test_text=content.perplexity.of(split),
            window=content.window,
            retain_model=content.retain_model,
            forget_topics=content.topics,
            sources=(("data", self.path),) if self.path else (),
            forget=self._texts("forget"),
            retain=self._texts("retain"),
            calibration=self._texts("calibration"),
            statistics=self._texts("statistics"),
        )

    def _texts(self, part: str) -> Sequence[str]:
        learned = self.content.learned.get(part, ())
        if not isinstance(learned, DataPart) and not (learned and self._task_names):
            return learned
        return Lazy(functools.partial(_read_checked, part, learned, self))

    @property
    def _task_names(self) -> list[str]:
        """Return the sets that are lm-eval's own tasks, whose questions are elsewhere."""
        return [each.name for each in self.content.questions.of("test") if each.task]

    def _edits(self, split: str) -> list[Edit]:
        return [row.edit for row in self.content.edits.of(split)]

    def _all_locality(self, split: str) -> list[Prompt]:
        of_edits = [prompt for row in self.content.edits.of(split) for prompt in row.locality]
        return [*of_edits, *self.content.locality.of(split)]

    @functools.cached_property
    def _measured(self) -> Measured:
        return hashes_of_measured(
            [each for split in SPLITS for each in self.content.questions.of(split)],
            [edit for split in SPLITS for edit in self._edits(split)],
            [prompt for split in SPLITS for prompt in self._all_locality(split)],
            [text for split in SPLITS for text in self.content.perplexity.of(split)],
        )

    @functools.cached_property
    def _measured_by_tasks(self) -> Measured:
        return hashes_of_tasks(_questions(self.content, "test").only(self._task_names))


def _read_checked(
    part: str, source: Sequence[str] | DataPart, data_set: DataSet
) -> tuple[str, ...]:
    """Return the texts of a part, read now, with nothing of what is measured.

    The questions of lm-eval's own tasks are read for it, from their copies or the hub.
    """
    allowed = data_set.content.allowed
    if isinstance(source, DataPart):
        texts = read_texts(source.rows(), source.reading)
        check_texts(part, texts, data_set._measured, allowed)
    else:  # compared with what is in memory before
        texts = tuple(source)
    if data_set._task_names and f"{part}-questions" not in allowed:
        check_texts(part, texts, data_set._measured_by_tasks, allowed)
    return texts


def _questions(content: DataContent, split: str) -> Questions:
    sets = content.questions.of(split)
    return Questions(
        tasks=tuple((each.name, each.task or f"own_{each.name}") for each in sets),
        split=split,
        sources=content.task_sources,
        sets=sets,
    )


def _digest(content: DataContent) -> str:
    """Return a hash of all that a data set has, in both splits and all batches."""
    hashed = hashlib.sha256()
    for split in SPLITS:
        for part in ("edits", "locality", "questions", "perplexity"):
            hashed.update(json.dumps([part, split]).encode())
            for item in getattr(content, part).of(split):
                plain = item if isinstance(item, str) else asdict(item)
                hashed.update(json.dumps(plain, sort_keys=True).encode())
    for part in LEARNED:
        hashed.update(json.dumps(part).encode())
        learned = content.learned.get(part, ())
        for entry in learned.hub_identity() if isinstance(learned, DataPart) else learned:
            hashed.update(json.dumps(entry, sort_keys=True).encode())
    about = [content.topics, _identities(content.task_sources), content.batch, content.window]
    if content.retain_model:
        about.append(retain_model_identity(content.retain_model))
    hashed.update(json.dumps(about).encode())
    return hashed.hexdigest()[:32]


def _identities(sources: tuple[tuple[str, Any], ...]) -> str:
    # a local copy is known by its files, not by its place
    return Questions((), sources=sources).identity
