"""Make edits, prompts, questions and texts out of rows; an error names file, row and field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from interventions.data.base import Edit, PortabilityPrompt, Prompt
from interventions.data.own.fields import row_fields
from interventions.data.own.files import Row
from interventions.data.own.leaks import text_hash
from interventions.data.own.schema import check_row, schema
from interventions.data.question_set import LETTERS, Question
from interventions.errors import InvalidInput, shown


@dataclass(frozen=True)
class Reading:
    """How the rows of one part are read.

    Attributes:
        place: the part and its file, for messages.
        mapping: field -> where it comes from.
        placeholder: what stands for the subject in a prompt; "" if nothing does.
        is_inline: whether the rows stand in the description.
        first_counts: whether of edits with one prompt the first counts; else they are refused.
    """

    place: str
    mapping: Mapping[str, Any]
    placeholder: str = ""
    is_inline: bool = False
    first_counts: bool = False

    def fields(self, kind: str, row: Row) -> tuple[str, dict[str, Any]]:
        """Return where a row is, and its fields, checked."""
        place = f"{self.place} {row[0]}"
        values = row_fields(kind, row[1], self.mapping, place, self.is_inline)
        required = schema()["$defs"][f"{kind}_row"]["required"]
        # tables and parquet files say so that nothing is there
        present = {
            field: value
            for field, value in values.items()
            if field in required or not _is_missing(value)
        }
        missing = [field for field in required if field not in present]
        if missing:
            columns = ", ".join(map(str, row[1])) if isinstance(row[1], Mapping) else ""
            raise InvalidInput(
                f"{place}: field {missing[0]!r} is missing; the row has:"
                f" {shown(columns or 'nothing', 120)[1:-1]}"
            )
        check_row(kind, present, place)
        _check_unicode(present, place)
        return place, present


@dataclass(frozen=True)
class EditRow:
    """An edit, with the unrelated prompts that its row has."""

    edit: Edit
    locality: tuple[Prompt, ...]


def read_edits(rows: Iterable[Row], reading: Reading) -> tuple[EditRow, ...]:
    """Return the edits of rows.

    Raises:
        InvalidInput: a field is missing or wrong; the subject is not in the prompt; or a prompt is
            there twice, with one target or with two.
    """
    edit_rows = []
    place_of_prompt: dict[str, str] = {}
    for row in rows:
        place, fields = reading.fields("edit", row)
        edit_row = _edit_row(fields, reading.placeholder, place)
        prompt = " ".join(edit_row.edit.prompt.casefold().split())
        if prompt in place_of_prompt and reading.first_counts:
            continue
        if prompt in place_of_prompt:
            raise InvalidInput(
                f"{place}: field 'prompt' is that of {place_of_prompt[prompt]} too:"
                f" {shown(edit_row.edit.prompt, 80)}; one prompt is edited once (or say repeats:"
                " first)"
            )
        place_of_prompt[prompt] = row[0]
        edit_rows.append(edit_row)
    return tuple(edit_rows)


def _edit_row(fields: dict[str, Any], placeholder: str, place: str) -> EditRow:
    subject, target = fields["subject"].strip(), fields["target"].strip()
    prompt = _with_subject(fields["prompt"], subject, placeholder, f"{place}: field 'prompt'")
    if subject not in prompt:
        raise InvalidInput(
            f"{place}: field 'prompt' must have the subject {shown(subject, 60)} in it, but is"
            f" {shown(prompt, 80)}"
        )
    rephrasings = fields.get("rephrasings", [])
    edit = Edit(
        subject=subject,
        prompt=prompt,
        target=target,
        original=fields.get("original", "").strip(),
        rephrasings=tuple(text.strip() for text in rephrasings),
        portability=tuple(
            PortabilityPrompt(entry["prompt"].strip(), entry["answer"].strip(), entry["kind"])
            for entry in fields.get("portability", [])
        ),
    )
    if target == edit.original:
        raise InvalidInput(
            f"{place}: field 'target' is the original answer, {shown(target, 80)}: nothing to edit"
        )
    answer = fields.get("locality_answer", "").strip()
    return EditRow(edit, tuple(_locality(fields.get("locality", []), answer, place)))


def _with_subject(prompt: str, subject: str, placeholder: str, place: str) -> str:
    if not placeholder:
        return prompt.strip()
    if placeholder not in prompt:
        raise InvalidInput(
            f"{place} must have {shown(placeholder, 30)} where the subject stands, but is"
            f" {shown(prompt, 80)}"
        )
    return prompt.replace(placeholder, subject).strip()


def _locality(entries: list[Any], answer: str, place: str) -> Iterable[Prompt]:
    for entry in entries:
        if isinstance(entry, str) and not answer:
            raise InvalidInput(
                f"{place}: field 'locality' has the prompt {shown(entry, 60)} without an answer:"
                " give locality_answer, or a prompt and an answer for each"
            )
        if isinstance(entry, str):
            yield Prompt(entry.strip(), answer)
        else:
            yield Prompt(entry["prompt"].strip(), entry["answer"].strip())


def read_prompts(rows: Iterable[Row], reading: Reading) -> tuple[Prompt, ...]:
    """Return the prompts of rows, each with its answer.

    Raises:
        InvalidInput: a field is missing or wrong.
    """
    checked = [reading.fields("prompt", row)[1] for row in rows]
    return tuple(Prompt(row["prompt"].strip(), row["answer"].strip()) for row in checked)


def read_questions(rows: Iterable[Row], reading: Reading) -> tuple[Question, ...]:
    """Return the questions of rows.

    Raises:
        InvalidInput: a field is missing or wrong, two choices are the same, it is not clear which
            is the right one, or two rows ask the same and differ in that.
    """
    made = []
    right: dict[Any, tuple[str, str]] = {}  # a question with its choices: the right one, and where
    for row in rows:
        place, fields = reading.fields("question", row)
        choices = tuple(choice.strip() for choice in fields["choices"])
        if len(set(choices)) < len(choices):
            raise InvalidInput(
                f"{place}: field 'choices' must have four different ones, but got"
                f" {shown(list(choices), 120)}"
            )
        answer = _answer(fields["answer"], choices, f"{place}: field 'answer'")
        same_question = (text_hash(fields["question"]), frozenset(choices))
        right_choice, first_place = right.setdefault(same_question, (choices[answer], row[0]))
        if right_choice != choices[answer]:
            raise InvalidInput(
                f"{place}: field 'answer' is {shown(choices[answer], 60)}, but {first_place} asks"
                f" the same and says {shown(right_choice, 60)}"
            )
        made.append(
            Question(fields["question"].strip(), choices, answer, fields.get("subject", ""))
        )
    return tuple(made)


def _answer(answer: float | str, choices: tuple[str, ...], place: str) -> int:
    """Return the index of the right choice, if only one can be meant."""
    if not isinstance(answer, str):
        return int(answer)  # 2.0 is an integer to JSON Schema, and in a table's column
    text = answer.strip()
    meanings = {index for index, choice in enumerate(choices) if choice == text}
    if text in LETTERS:
        meanings.add(LETTERS.index(text))
    if text in ("0", "1", "2", "3"):  # as every cell of a CSV file, it is text
        meanings.add(int(text))
    if len(meanings) != 1:
        problem = "can mean more than one of the choices" if meanings else "is none of the choices"
        raise InvalidInput(
            f"{place} must be 0 to 3, a letter from A to D or the text of a choice, but"
            f" {shown(text, 60)} {problem} {shown(list(choices), 100)}"
        )
    return meanings.pop()


def read_texts(rows: Iterable[Row], reading: Reading) -> tuple[str, ...]:
    """Return the texts of rows.

    Raises:
        InvalidInput: a row is no text, or a blank one.
    """
    made = []
    for row in rows:
        if isinstance(row[1], str) and not reading.mapping and row[1].strip():
            made.append(row[1])  # the usual case, of which there may be very many
            _check_unicode(row[1], f"{reading.place} {row[0]}")
        else:
            made.append(reading.fields("text", row)[1]["text"])
    return tuple(made)


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # NaN is not itself


def _check_unicode(value: Any, place: str) -> None:
    """Raise InvalidInput if a text has half a character, which no tokenizer and no file takes."""
    if isinstance(value, Mapping):
        for field, entry in value.items():
            _check_unicode(entry, f"{place}: field {field!r}")
    elif isinstance(value, list):
        for entry in value:
            _check_unicode(entry, place)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"{place} is no text: the character {error.object[error.start]!r} is half of one"
            ) from error
