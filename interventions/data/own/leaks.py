"""Find what is learned from among what is measured, by a hash of the text.

Of what is learned from, whole texts and every line are compared with questions and prompts, alone
and with their right answers behind them, and with the texts of perplexity and those of their lines
that have at least five words. Of lm-eval's own tasks the prompts, the texts of the rows and their
lines count (``task_questions``). Case, Unicode variants, the number of blanks, marks at the end
and a label of one or two words before, such as "Question:", make no difference; other words do.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from interventions.data.base import Edit, Prompt
from interventions.data.question_set import QuestionSet
from interventions.errors import InvalidInput, did_you_mean, shown

LEARNED = ("forget", "retain", "calibration", "statistics")
MEASURED = ("questions", "edits", "locality", "perplexity")
NAMES = (*(f"{part}-{other}" for part in LEARNED for other in MEASURED), "edits-locality")
MEASURED_WORDS = 5  # of a line; shorter ones, such as headings, are in many texts
_LONG = 500  # characters
_ENDS = ".!?:;,…\"'"  # of a text; nothing hangs on them
_LABEL = re.compile(r"\s*\w{1,20}(?: \w{1,20})?:\s+")  # as "Question: " before one


@dataclass(frozen=True)
class Measured:
    """The hashes of what is measured, by part: hash -> where it is."""

    places: Mapping[str, Mapping[str, str]]


def text_hash(text: str) -> str:
    """Return a text's normal form, in which neither case, blanks nor marks at its end count.

    Of a long text it is a hash. Short ones are compared as they are, which costs less.

    Example:
        >>> text_hash("Who  wrote it? ") == text_hash("who wrote IT")
        True
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    normal = " ".join(plain.casefold().split())
    normal = normal.rstrip(_ENDS).rstrip() or normal
    if len(normal) <= _LONG:
        return normal
    return hashlib.blake2b(normal.encode(), digest_size=16).hexdigest()


def hashes_of_measured(
    question_sets: Iterable[QuestionSet],
    edits: Iterable[Edit],
    locality: Iterable[Prompt],
    perplexity: Iterable[str],
) -> Measured:
    """Return the hashes of all that is measured."""
    places: dict[str, dict[str, str]] = {name: {} for name in MEASURED}
    for question_set in question_sets:
        for number, question in enumerate(question_set.questions, 1):
            place = f"question {number} of {question_set.name}"
            answers = [question.right_choice]
            add_question(places["questions"], question.question, answers, place)
    for number, edit in enumerate(edits, 1):
        place, answers = f"edit {number}", [edit.target, edit.original]
        for prompt in (edit.prompt, *edit.rephrasings):
            add_question(places["edits"], prompt, answers, place)
        for derived in edit.portability:
            add_question(places["edits"], derived.prompt, [derived.answer], place)
    for number, unedited in enumerate(locality, 1):
        place = f"locality prompt {number}"
        add_question(places["locality"], unedited.prompt, [unedited.answer], place)
    for number, text in enumerate(perplexity, 1):
        add_text(places["perplexity"], text, f"perplexity text {number}", least_words=1)
    return Measured(places)


def add_question(places: dict[str, str], prompt: str, answers: Sequence[str], place: str) -> None:
    """Add the hashes of a prompt, alone and with each answer behind it."""
    places.setdefault(text_hash(prompt), place)
    for answer in filter(None, answers):
        places.setdefault(text_hash(f"{prompt} {answer}"), place)


def add_text(
    places: dict[str, str], text: str, place: str, least_words: int = MEASURED_WORDS
) -> None:
    """Add the hashes of a text that has enough words, and of those of its lines that have five."""
    if len(text.split()) >= least_words:
        for unit in _units(text, MEASURED_WORDS):
            places.setdefault(text_hash(unit), place)


def check_texts(
    part: str, texts: Sequence[str], measured: Measured, allowed: frozenset[str]
) -> None:
    """Check that a part that is learned from has nothing of what is measured.

    Args:
        part: "forget", "retain", "calibration" or "statistics".
        texts: of the part.
        measured: the hashes of what is measured.
        allowed: the overlaps that are meant, such as "forget-questions".

    Raises:
        InvalidInput: a text or a line of it is measured too; names both, and how to allow it.
    """
    watched = {
        f"{part}-{name}": hashes
        for name, hashes in measured.places.items()
        if f"{part}-{name}" not in allowed and hashes
    }
    if not watched:
        return
    overlaps: dict[str, tuple[int, str, str]] = {}
    counts = dict.fromkeys(watched, 0)
    every = frozenset().union(*watched.values())
    for number, text in enumerate(texts, 1):
        units = chain.from_iterable(map(_unlabelled, _units(text)))
        shared = [(unit, key) for unit in units if (key := text_hash(unit)) in every]
        if not shared:
            continue
        for name, hashes in watched.items():
            both = next(((unit, key) for unit, key in shared if key in hashes), None)
            if both is not None:
                counts[name] += 1
                overlaps.setdefault(name, (number, both[0], hashes[both[1]]))
    for name, (number, unit, place) in overlaps.items():
        raise InvalidInput(
            f"leak {name}: text {number} of {part} has what is measured as {place}:"
            f" {shown(unit.strip(), 80)} ({counts[name]} of {len(texts)} texts; case, blanks and"
            f" marks at the end do not count); take it out, or write allow_leak: [{name}]"
        )


def check_locality(
    edits: Iterable[Edit], locality: Iterable[Prompt], allowed: frozenset[str]
) -> None:
    """Check that no prompt is edited and is to stay as it is.

    Raises:
        InvalidInput: one is both.
    """
    if "edits-locality" in allowed:
        return
    edited = {
        text_hash(prompt): number
        for number, edit in enumerate(edits, 1)
        for prompt in (edit.prompt, *edit.rephrasings)
    }
    for number, unedited in enumerate(locality, 1):
        edit_number = edited.get(text_hash(unedited.prompt))
        if edit_number is not None:
            raise InvalidInput(
                f"leak edits-locality: locality prompt {number} is edited as edit {edit_number}:"
                f" {shown(unedited.prompt, 80)}; take it out, or write"
                " allow_leak: [edits-locality]"
            )


def allowed_leaks(names: Sequence[str], place: str) -> frozenset[str]:
    """Return the overlaps that a description allows.

    Raises:
        InvalidInput: there is no such one.
    """
    for name in names:
        if name not in NAMES:
            raise InvalidInput(
                f"{place}: allow_leak names {shown(name, 60)}.{did_you_mean(name, NAMES)} It may"
                f" name a part that is learned from ({', '.join(LEARNED)}), a hyphen and one that"
                f" is measured ({', '.join(MEASURED)}), or edits-locality"
            )
    return frozenset(names)


def _unlabelled(unit: str) -> Iterable[str]:
    """Return a text, and what stands behind a label such as "Question: "."""
    yield unit
    label = _LABEL.match(unit)
    if label is not None:
        yield unit[label.end() :]


def _units(text: str, least_words: int = 1) -> Iterable[str]:
    """Return a text, and those of its lines that have enough words."""
    yield text
    lines = text.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line.split()) >= least_words)
