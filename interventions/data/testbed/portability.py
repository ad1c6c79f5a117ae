"""What follows from facts about people: one hop further, and by another name.

A hop asks for an answer and for a fact about it: "What are the birthplace of Balir Defair and its
country?", "Zegrer Gribrim". The last passes of the training tell the hops of half the people, so
that the model knows how they are asked; those of the others, and of an edit's new answer, it has to
put together. An alias has the last part of the name first, as a register has it; training never
shows one. There are no questions in reverse (for the subject, by the answer): a model that was
trained on those of half the people answered none of the others', and MEMIT failed on it.
"""

from __future__ import annotations

import random
from functools import cache

from interventions.data.base import PortabilityPrompt
from interventions.data.testbed.world import Fact, World

# relation -> question, and the relation of its object that the question asks for, too
HOPS = {
    "birthplace": ("What are the birthplace of {s} and its country?", "country"),
    "employer": ("What are the employer of {s} and its sector?", "sector"),
}
_TOLD_SHARE = 0.5  # of the people: those whose hops training tells


def hop(facts: World, fact: Fact, answer: str) -> tuple[str, str] | None:
    """Return the prompt and the answer of a fact's hop; None where its relation has none.

    Args:
        facts: where the fact about the answer is from.
        fact: about a person.
        answer: that holds: the fact's object, or an edit's target.

    Example:
        >>> from interventions.data.testbed.world import world
        >>> fact = world().facts["person"][0]
        >>> prompt, answer = hop(world(), fact, fact.object)
        >>> prompt.splitlines()[0], answer
        ('Question: What are the birthplace of Balir Defair and its country?', 'Zegrer Gribrim')
    """
    if fact.relation.name not in HOPS:
        return None
    question, relation_of_answer = HOPS[fact.relation.name]
    fact_of_answer = _facts_of_answers(facts)[answer, relation_of_answer]
    prompt = f"Question: {question.format(s=fact.subject)}\nAnswer:"
    return prompt, f"{answer} {fact_of_answer}"


def by_alias(fact: Fact, prompt: str) -> str:
    """Return a prompt with the last part of its subject's name first.

    Example:
        >>> from interventions.data.testbed.world import world
        >>> by_alias(world().facts["person"][0], "Where was Balir Defair born?")
        'Where was Defair, Balir born?'
    """
    first, last = fact.subject.split()
    return prompt.replace(fact.subject, f"{last}, {first}")


@cache
def training_pairs(facts: World) -> tuple[tuple[str, str], ...]:
    """Return (prompt, answer) of the hops that the last passes of the training tell."""
    people = facts.facts.get("person", ())
    subjects = sorted({fact.subject for fact in people})
    count = int(_TOLD_SHARE * len(subjects))
    told_subjects = set(random.Random(f"portability-{facts.seed}").sample(subjects, count))
    hops = [hop(facts, fact, fact.object) for fact in people if fact.subject in told_subjects]
    return tuple(pair for pair in hops if pair)


def portability_prompts(
    facts: World, fact: Fact, answer: str, prompt: str
) -> tuple[PortabilityPrompt, ...]:
    """Return the questions that follow from an edit: by an alias, and a hop if there is one.

    Args:
        facts: the world before the edit.
        fact: that is edited.
        answer: the new one.
        prompt: of the edit, which the alias repeats.
    """
    portable = [PortabilityPrompt(by_alias(fact, prompt), answer, "alias")]
    further = hop(facts, fact, answer)
    if further:
        portable.append(PortabilityPrompt(*further, "hop"))
    return tuple(portable)


@cache
def _facts_of_answers(facts: World) -> dict[tuple[str, str], str]:
    """Return (city or company, relation) -> object."""
    return {
        (fact.subject, fact.relation.name): fact.object
        for domain in ("city", "company")
        for fact in facts.facts[domain]
    }
