"""Rephrasings in other words: phrasings of a relation that share no word of content."""

from __future__ import annotations

from interventions.data.testbed.relations import PHRASINGS
from interventions.data.testbed.world import Fact

_STEM = 4  # letters: "works" and "work", "employs" and "employer" are one word
_FUNCTION_WORDS = {"does", "from", "what", "where", "which", "with"}


def stems(phrasing: str) -> set[str]:
    """Return the beginnings of a phrasing's words of content: those of four letters and more.

    Args:
        phrasing: a statement or question with ``{s}`` for the subject.

    Example:
        >>> sorted(stems("For which company does {s} work?"))
        ['comp', 'work']
    """
    words = phrasing.replace("{s}", "").lower().strip("?").split()
    return {word[:_STEM] for word in words if len(word) >= _STEM and word not in _FUNCTION_WORDS}


def rephrasings(fact: Fact, prompt: str) -> tuple[str, ...]:
    """Return the prompts of a fact that share no word of content with one of them, questions first.

    Args:
        fact: which is said and asked in six phrasings.
        prompt: one of these.

    Example:
        >>> from interventions.data.testbed.world import world
        >>> fact = world().facts["person"][0]
        >>> rephrasings(fact, fact.question(0))[1]
        'The birthplace of Balir Defair is'
    """
    phrasings = (*fact.relation.questions, *fact.relation.statements)
    indices = range(PHRASINGS)
    prompts = [*map(fact.question, indices), *map(fact.statement, indices)]
    words = stems(phrasings[prompts.index(prompt)])
    return tuple(
        candidate
        for candidate, phrasing in zip(prompts, phrasings, strict=True)
        if not stems(phrasing) & words
    )
