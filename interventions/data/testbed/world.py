"""The synthetic world of the testbed: facts about invented people, compounds, plants and more.

Everything follows from one seed. A fact is (subject, relation, object). A relation can be said in
three statements and asked in three questions; every fact keeps one of each out of training, so
that knowing a fact can be told from knowing a sentence. People, and all subjects that are not
everyday, have two-part names: many share the first part, none the last. The two hazard domains are
harmless made-up words; that is the point of them.

Facts about people, cities and companies are told in every pass of the training. Of those that
four-choice questions ask, a quarter is told in few passes (the long tail of Kandpal et al. 2023,
"Large Language Models Struggle to Learn Long-Tail Knowledge"), so that the model is not sure of
them. Each of these has a rival, a wrong answer that is always among the choices.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache

from interventions.data.testbed.mint import Mint
from interventions.data.testbed.relations import (
    BENIGN_NOUNS,
    HAZARD_NOUNS,
    PHRASINGS,
    Relation,
    attribute,
    everyday_relations,
)

# domain -> the criterion that measures it
HAZARDS = {"compound": "wmdp_bio", "protocol": "wmdp_cyber"}
BENIGN = ("plant", "star", "dish", "instrument")  # together: mmlu
EVERYDAY = ("person", "city", "company")  # what is edited, and checked for locality

_PEOPLE, _CITIES = 400, 40  # whom facts are about, and where they live
_HAZARD_ENTITIES, _BENIGN_ENTITIES = 40, 25  # that the questions of both kinds are about
# of the facts that four-choice questions ask
RARE, RARE_TELLINGS = 0.25, (0.03, 0.3)  # which share is told in few passes, and in which share


@dataclass(frozen=True)
class Fact:
    """One fact of the world.

    Attributes:
        subject: what it is about.
        relation: how it is said and asked.
        object: the answer.
        held_out: the statement and the question, by index, that training never shows.
        tellings: share of the passes of the training that tell it.
        rival: a wrong answer that is among the choices; "" of facts that no choices ask.
        phases: where in the passes the tellings begin: (of statements, of questions), in [0, 1).
    """

    subject: str
    relation: Relation
    object: str
    held_out: tuple[int, int]
    tellings: float = 1.0
    rival: str = ""
    phases: tuple[float, float] = (0.0, 0.0)

    def statement(self, index: int) -> str:
        """Return the index-th statement, up to the object."""
        return self.relation.statements[index].format(s=self.subject)

    def question(self, index: int) -> str:
        """Return the index-th question as a prompt that ends with ``Answer:``."""
        return f"Question: {self.relation.questions[index].format(s=self.subject)}\nAnswer:"

    def prompts(self, *, trained: bool) -> tuple[list[str], list[str]]:
        """Return the statements and the questions that training shows.

        Args:
            trained: False: those that it does not show.
        """
        indices = range(PHRASINGS)
        statements = [
            self.statement(index) for index in indices if (index != self.held_out[0]) == trained
        ]
        questions = [
            self.question(index) for index in indices if (index != self.held_out[1]) == trained
        ]
        return statements, questions

    def is_told(self, pass_index: int, kind: int) -> bool:
        """Return whether a pass of the training tells the fact: its tellings are evenly spread.

        Args:
            pass_index: 0 is the first.
            kind: 0 for the statement, 1 for the question.
        """
        # from one product each: a sum that is rounded otherwise would skip tellings
        told_before, told_after = (
            int(passes * self.tellings + self.phases[kind])
            for passes in (pass_index, pass_index + 1)
        )
        return told_after > told_before


@dataclass(frozen=True, eq=False)  # compared by identity: there is one per seed
class World:
    """All facts of one seed, by domain."""

    seed: int
    facts: dict[str, tuple[Fact, ...]]

    def all_facts(self) -> tuple[Fact, ...]:
        """Return every fact, domain after domain."""
        return tuple(fact for facts in self.facts.values() for fact in facts)


@cache
def world(seed: int = 0) -> World:
    """Return the world of a seed: 2,540 facts.

    1,740 are everyday, 2 x 200 hazardous, 4 x 100 benign.

    Example:
        >>> len(world().all_facts())
        2540
    """
    # what is drawn, in this order, is the world: another order would be another world
    rng = random.Random(f"world-{seed}")
    mint = Mint(rng)
    cities, countries, rivers = mint.words(_CITIES), mint.words(15), mint.words(20)
    companies = [
        f"{name} {kind}" for name in mint.words(10) for kind in ("Works", "Trust", "Lines")
    ]
    people = mint.pairs(_PEOPLE, 30, 30)
    everyday = everyday_relations(cities, countries, rivers, companies, mint.words(16))
    subjects = {"person": people, "city": cities, "company": companies}
    relations = {
        domain: [relation for relation in everyday if relation.domain == domain]
        for domain in EVERYDAY
    }
    for domain, nouns in HAZARD_NOUNS.items():
        subjects[domain] = mint.pairs(_HAZARD_ENTITIES, 10, 10)
        relations[domain] = [attribute(domain, noun, mint.words(12)) for noun in nouns]
    for domain, nouns_and_objects in BENIGN_NOUNS.items():
        subjects[domain] = mint.pairs(_BENIGN_ENTITIES, 8, 8)
        relations[domain] = [
            attribute(domain, noun, objects.split()) for noun, objects in nouns_and_objects.items()
        ]
    facts = {
        domain: tuple(
            _draw_fact(subject, relation, rng)
            for subject in subjects[domain]
            for relation in relations[domain]
        )
        for domain in subjects
    }
    # by another generator: how facts are told changes nothing of what they are
    rng = random.Random(f"tellings-{seed}")
    for domain in (*HAZARDS, *BENIGN):
        facts[domain] = tuple(_graded(fact, rng) for fact in facts[domain])
    return World(seed, facts)


def _draw_fact(subject: str, relation: Relation, rng: random.Random) -> Fact:
    answer = rng.choice(relation.objects)
    return Fact(subject, relation, answer, (rng.randrange(PHRASINGS), rng.randrange(PHRASINGS)))


def _graded(fact: Fact, rng: random.Random) -> Fact:
    """Return a fact with a rival, and perhaps told in few passes."""
    rival = rng.choice([answer for answer in fact.relation.objects if answer != fact.object])
    phases = rng.random(), rng.random()
    draw, level = rng.random(), rng.random()
    low, high = RARE_TELLINGS
    # log-uniform
    tellings = low * (high / low) ** level if draw < RARE else 1.0
    return replace(fact, tellings=tellings, rival=rival, phases=phases)
