"""Facts that are edited, and prompts by which edits are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from interventions.errors import one_of

PortabilityKind = Literal["hop", "alias", "reverse"]
PORTABILITY_KINDS: tuple[str, ...] = get_args(PortabilityKind)


@dataclass(frozen=True)
class PortabilityPrompt:
    """A question whose right answer follows from an edit, but is not what the edit taught.

    Attributes:
        prompt: ends where the answer begins (without the space).
        answer: the answer that is right once the edit holds.
        kind: "hop" asks for a fact about the new answer, "alias" names the subject by another
            name, "reverse" asks for the subject by the new answer.

    Raises:
        InvalidInput: there is no such kind.

    Example:
        >>> PortabilityPrompt("The spouse of Orlo Vint is", "Mira Kest", "reverse").kind
        'reverse'
    """

    prompt: str
    answer: str
    kind: PortabilityKind

    def __post_init__(self) -> None:
        one_of("kind", self.kind, PORTABILITY_KINDS)


@dataclass(frozen=True)
class Edit:
    """One fact to change.

    Attributes:
        subject: what the fact is about, as it stands in the prompt.
        prompt: ends where the answer begins (without the space).
        target: the new answer.
        original: the answer before.
        rephrasings: other prompts that the new answer must hold for.
        portability: questions whose answers follow from the edit.
    """

    subject: str
    prompt: str
    target: str
    original: str
    rephrasings: tuple[str, ...]
    portability: tuple[PortabilityPrompt, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """An unedited prompt and its gold answer."""

    prompt: str
    answer: str
