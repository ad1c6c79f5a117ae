"""Named sets of four-choice questions of somebody's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LETTERS = "ABCD"


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        question: its text.
        choices: four.
        answer: the index of the right one.
        subject: of which a stratified sample has as many as of others, in proportion.
    """

    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str = ""

    @property
    def right_choice(self) -> str:
        """The text of the right choice."""
        return self.choices[self.answer]


@dataclass(frozen=True)
class QuestionSet:
    """Questions under a name, which becomes a criterion.

    Attributes:
        name: of the set.
        questions: in order; none where an lm-eval task has them.
        better: which direction of the accuracy is good; "" says what the criterion of that name
            says.
        chance: the accuracy that guessing gets.
        title: how tables print the name; "" for the name itself.
        letters: whether the letters of the choices are scored, listed in the prompt as in MMLU;
            otherwise the choices' texts are, each after the question alone.
        task: the lm-eval task that has the questions; "" if they are here.

    Example:
        >>> question = Question("Which is a river?", ("Rhine", "Alps", "Bonn", "Harz"), 0)
        >>> trivia = QuestionSet("trivia", (question,), "higher")
        >>> print(trivia.prompt(question))
        Which is a river?
        A. Rhine
        B. Alps
        C. Bonn
        D. Harz
        Answer:
    """

    name: str
    questions: tuple[Question, ...]
    better: Literal["higher", "lower"]
    chance: float = 0.25
    title: str = ""
    letters: bool = True
    task: str = ""

    def prompt(self, question: Question) -> str:
        """Return the text after which the answers are scored."""
        if not self.letters:
            return f"Question: {question.question}\nAnswer:"
        choices = zip(LETTERS, question.choices, strict=True)
        listed = [f"{letter}. {choice}" for letter, choice in choices]
        return "\n".join([question.question, *listed, "Answer:"])

    def answers(self, question: Question) -> tuple[str, ...]:
        """Return the texts that are scored."""
        return tuple(LETTERS) if self.letters else question.choices
