"""The prompts of a batch of edits as one encoded batch, with where subjects and answers are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from interventions.data.base import Edit
from interventions.lm import LM
from interventions.training import PASS_TOKENS, row_slices


class EditPrompts:
    """The prompts of a batch of edits, each behind every prefix, encoded as one batch.

    Places are (rows, positions), which index a tensor (rows, tokens, …).

    Attributes:
        each: rows of an edit, one after the other: as many as there are prefixes.
        encoded: token ids and attention mask, (edits * each, tokens).
        subjects: the places of the subjects' last tokens, one a row.
        answers: the places from whose logits the targets' tokens are read.
    """

    def __init__(
        self, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str], *, answers: bool
    ) -> None:
        """Encode prompts, with their targets if ``answers``; an empty prefix is the bare prompt."""
        self.each = len(prefixes)
        rows = [(f"{prefix}{edit.prompt}", edit) for edit in edits for prefix in prefixes]
        self.encoded, labels = lm.encode_pairs(
            [(text, f" {edit.target}" if answers else "") for text, edit in rows]
        )
        positions = []
        for row, (text, edit) in enumerate(rows):
            # searched behind the prefix, which may name the subject too
            start = len(text) - len(edit.prompt) + subject_start(edit)
            last_character = start + len(edit.subject) - 1
            place = lm.prompt_format.place(text, last_character)
            positions.append(self.encoded.char_to_token(row, place))
        self.subjects = (
            torch.arange(len(rows), device=lm.device),
            torch.tensor(positions, device=lm.device),
        )
        targets = labels[:, 1:]  # the logits of a position are of the token after it
        answer_rows, answer_positions = (targets != -100).nonzero(as_tuple=True)
        self.answers = (answer_rows, answer_positions)
        self._target_ids = targets[self.answers]  # (answer tokens)

    @classmethod
    def neutral(cls, lm: LM, edits: Sequence[Edit]) -> EditPrompts:
        """Return one row "<subject> is a" per edit, without targets."""
        plain = [replace(edit, prompt=f"{edit.subject} is a") for edit in edits]
        return cls(lm, plain, [""], answers=False)

    @classmethod
    def in_parts(
        cls, lm: LM, edits: Sequence[Edit], prefixes: Sequence[str], *, answers: bool
    ) -> list[EditPrompts]:
        """Return the edits' prompts in batches of at most ``PASS_TOKENS`` tokens, in order."""
        return [
            cls(lm, edits[edits_of_pass], prefixes, answers=answers)
            for edits_of_pass in edit_slices(lm, edits, prefixes)
        ]

    def add(self, hidden: Tensor, delta: Tensor) -> Tensor:
        """Return hidden states (rows, tokens, hidden) with each edit's delta added at its subjects.

        Args:
            hidden: (rows, tokens, hidden); not changed.
            delta: (edits, hidden).
        """
        added = delta.repeat_interleave(self.each, 0).to(hidden.dtype)
        return hidden.index_put(self.subjects, added, accumulate=True)

    def answer_losses(self, logits: Tensor) -> Tensor:
        """Return the mean negative log-likelihood, in nats, of each edit's target: (edits).

        The mean is over the target's tokens, then over prefixes.

        Args:
            logits: (answer tokens, vocabulary), those at ``answers``.
        """
        losses = F.cross_entropy(logits.float(), self._target_ids, reduction="none")
        rows = len(self.subjects[0])
        sums = losses.new_zeros(rows).index_add(0, self.answers[0], losses)
        counts = self.answers[0].bincount(minlength=rows)
        return (sums / counts).unflatten(0, (-1, self.each)).mean(1)


def edit_slices(lm: LM, edits: Sequence[Edit], prefixes: Sequence[str]) -> list[slice]:
    """Return slices of the edits whose prompts, with targets, are a pass of ``PASS_TOKENS`` tokens.

    Args:
        lm: the model, of which only the tokenizer counts.
        edits: at least one.
        prefixes: what stands before every prompt.
    """
    texts = [
        "".join(lm.prompt_format.pair(f"{prefix}{edit.prompt}", f" {edit.target}"))
        for edit in edits
        for prefix in prefixes
    ]
    lengths = [len(ids) for ids in lm.tokenizer(texts)["input_ids"]]
    slices = row_slices(lengths, PASS_TOKENS, together=len(prefixes))
    return [slice(rows.start // len(prefixes), rows.stop // len(prefixes)) for rows in slices]


def subject_start(edit: Edit) -> int:
    """Return where the subject starts in the prompt: as a word of its own, where it is one.

    Example:
        >>> subject_start(Edit("Ann", "The daughter of Annie's friend Ann is", "Bea", "Cat", ()))
        31
    """
    word = re.search(rf"(?<!\w){re.escape(edit.subject)}(?!\w)", edit.prompt)
    return word.start() if word else edit.prompt.index(edit.subject)
