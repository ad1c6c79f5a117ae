"""Data: what interventions learn from and criteria measure on, in parts with an identity each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from interventions.data.edits import PORTABILITY_KINDS as PORTABILITY_KINDS
from interventions.data.edits import Edit as Edit
from interventions.data.edits import PortabilityKind as PortabilityKind
from interventions.data.edits import PortabilityPrompt as PortabilityPrompt
from interventions.data.edits import Prompt as Prompt
from interventions.data.identity import Lazy as Lazy
from interventions.data.identity import identity_of
from interventions.data.questions import Questions as Questions
from interventions.data.retain_model import retain_model_identity
from interventions.data.sampling import sample
from interventions.errors import InvalidInput, shown
from interventions.options import KEEP

# of each question its item id, and the log-likelihoods of its options in nats
Choices = tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class Data:
    """What a run intervenes with and is judged by, in named parts.

    Texts are documents.

    Attributes:
        name: what the run calls it ("testbed", "paper").
        edits: one batch; all batches, where a run's steps write several.
        locality: prompts on subjects that the batch does not edit.
        questions: four-choice questions.
        forget: what unlearning forgets; texts alternate between the hazard domains.
        retain: what it must not forget, from the train split.
        calibration: texts that compression computes activations on, from the train split.
        statistics: texts over which MEMIT takes second moments, from the train split.
        test_text: what perplexity is measured on, from the split that judges.
        window: tokens of a text that are scored together.
        stride: tokens after which the next window begins; 0: ``window``, so that none overlap.
        tail: "keep" or "drop" the last window of a text that is shorter than the others.
        facts: facts that the base model was trained on, to see how many it still recalls; empty
            where the data know of none.
        base_answers: the base model's answers to ``locality``, in order; None until it was asked.
        base_choices: the base model's log-likelihoods of the options of benign questions, of each
            its item id and nats; None until it was asked.
        retain_model: folder of a model that was trained without what is to be forgotten; "" if
            there is none.
        retain_choices: that model's log-likelihoods of the options of questions on what is to be
            forgotten, likewise; None until it was asked.
        forget_topics: names of the hazard domains, in the order in which they alternate in
            ``forget``; empty where the texts are of one domain.
        calibration_of: intervention -> its own calibration texts, where they are not
            ``calibration``; no part, as ``seen_by`` makes them the part.
        sources: what a part was read from, where there is a choice: ("edits", a file's name),
            ("awq.calibration", a data set's name).
        first_edits: the first of several batches; empty where there is one.
        edit_batches: how many batches after the run's -> the edits of that batch; no part, as
            ``with_batch`` makes one of them the part. Empty where all steps write ``edits``.
        limit: the most items of a criterion that are measured; 0: all. See ``limited``.

    Example:
        >>> from interventions.data.testbed import testbed
        >>> data = testbed(edit_batch=0, split="test")
        >>> len(data.edits), len(data.locality)
        (50, 150)
        >>> data.identity("edits") == testbed(edit_batch=1, split="test").identity("edits")
        False
    """

    name: str
    edits: tuple[Edit, ...] = ()
    locality: tuple[Prompt, ...] = ()
    questions: Questions = field(default_factory=lambda: Questions(()))
    forget: Sequence[str] = ()
    retain: Sequence[str] = ()
    calibration: Sequence[str] = ()
    statistics: Sequence[str] = ()
    test_text: tuple[str, ...] = ()
    window: int = 1024
    stride: int = 0
    tail: str = KEEP
    facts: tuple[Prompt, ...] = ()
    base_answers: tuple[str, ...] | None = None
    base_choices: Choices | None = None
    retain_model: str = ""
    retain_choices: Choices | None = None
    forget_topics: tuple[str, ...] = ()
    calibration_of: tuple[tuple[str, Sequence[str]], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    first_edits: tuple[Edit, ...] = ()
    edit_batches: tuple[tuple[int, tuple[Edit, ...]], ...] = ()
    limit: int = 0
    _identities: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def rephrasings(self) -> tuple[str, ...]:
        """The rephrased prompts of all edits, in order."""
        return tuple(prompt for edit in self.edits for prompt in edit.rephrasings)

    @property
    def portability(self) -> tuple[PortabilityPrompt, ...]:
        """The portability prompts of all edits, in order."""
        return tuple(prompt for edit in self.edits for prompt in edit.portability)

    @property
    def hops(self) -> tuple[PortabilityPrompt, ...]:
        """Those of kind "hop"."""
        return tuple(prompt for prompt in self.portability if prompt.kind == "hop")

    @property
    def aliases(self) -> tuple[PortabilityPrompt, ...]:
        """Those of kind "alias"."""
        return tuple(prompt for prompt in self.portability if prompt.kind == "alias")

    @property
    def reversals(self) -> tuple[PortabilityPrompt, ...]:
        """Those of kind "reverse"."""
        return tuple(prompt for prompt in self.portability if prompt.kind == "reverse")

    def identity(self, part: str) -> str:
        """Return a hash of one part's content: equal content has equal identity in every batch."""
        if part not in self._identities:
            self._identities[part] = self._identity_of(part)
        return self._identities[part]

    def _identity_of(self, part: str) -> str:
        # which model is the base is part of whatever is stored of a model that came of it, and
        # rounding differs between machines
        if part == "base_choices":
            return identity_of("the base model's")
        if part == "retain_choices" and self.retain_model:
            return retain_model_identity(self.retain_model)
        return identity_of(getattr(self, part))

    @property
    def changed_windows(self) -> dict[str, int | str]:
        """How texts are cut into windows, where it is not the usual way; part of no identity else.

        Example:
            >>> Data("none").changed_windows, Data("none", stride=512).changed_windows
            ({}, {'stride': 512})
        """
        stride = self.stride if self.stride < self.window else 0
        changed = {"stride": stride or None, "tail": self.tail if self.tail != KEEP else None}
        return {name: value for name, value in changed.items() if value is not None}

    def has(self, part: str) -> bool:
        """Return whether a part has anything in it; texts that are read on first use have.

        Args:
            part: of ``PARTS``, "rephrasings", or one set of questions: "questions.mmlu".

        Example:
            >>> Data("none").has("edits"), Data("none").has("window")
            (False, True)
        """
        if part == "retain_choices":
            return bool(self.retain_model or self.retain_choices)
        part, _, question_set = part.partition(".")
        content = getattr(self, part)
        if isinstance(content, Questions):
            return question_set in content.names if question_set else bool(content.names)
        return not isinstance(content, tuple) or bool(content)

    def limited(self, limit: int) -> Data:
        """Return the data with a sample of what is measured; steps are not to learn from them.

        Every run under one limit has the same sample, whatever its seed. Of questions, the sample
        is stratified by subject; of perplexity's windows it is drawn where they are made.

        Args:
            limit: the most items of a criterion; 0: all.

        Example:
            >>> locality = (Prompt("a", "b"), Prompt("c", "d"))
            >>> len(Data("one", locality=locality).limited(1).locality)
            1
        """
        if not limit:
            return self
        return dataclasses.replace(
            self,
            edits=sample(self.edits, limit),
            first_edits=sample(self.first_edits, limit),
            locality=sample(self.locality, limit),
            facts=sample(self.facts, limit),
            questions=dataclasses.replace(self.questions, limit=limit),
            limit=limit,
        )

    def seen_by(self, intervention: str) -> Data:
        """Return the data as an intervention gets them: with its own calibration texts, if any."""
        texts = dict(self.calibration_of).get(intervention)
        if texts is None:
            return self
        return dataclasses.replace(self, calibration=texts, calibration_of=())

    def with_batch(self, batches_later: int) -> Data:
        """Return the data as a step gets them that writes one batch of edits.

        Args:
            batches_later: how many batches after the run's it is.

        Raises:
            InvalidInput: the data have no such batch.

        Example:
            >>> edit = Edit("Ann", "The home of Ann is", "Rome", "Oslo", ())
            >>> Data("own", edit_batches=((1, (edit,)),)).with_batch(1).edits[0].target
            'Rome'
        """
        known = dict(self.edit_batches) or {0: self.edits}
        if batches_later not in known:
            raise InvalidInput(
                f"the run's data have the batches {', '.join(map(str, known))} after the first, but"
                f" not {shown(batches_later)}: a batch is read if a composition names it at the"
                " start of a run"
            )
        edits = known[batches_later]
        return dataclasses.replace(self, edits=edits, first_edits=(), edit_batches=())


_NO_PARTS = frozenset(
    {"name", "calibration_of", "edit_batches", "sources", "limit", "stride", "tail", "retain_model"}
)
_OF_EDITS = {"portability", "hops", "aliases", "reversals"}
_FIELDS = frozenset(part.name for part in dataclasses.fields(Data) if part.init)
PARTS = (_FIELDS | _OF_EDITS) - _NO_PARTS
# what another batch of edits has others of: a criterion that reads them has other items there
PARTS_OF_A_BATCH = frozenset({"edits", "first_edits", "locality"}) | _OF_EDITS
