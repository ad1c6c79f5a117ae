"""The offline testbed: a small model of a synthetic world, and the data to change and judge it."""

from __future__ import annotations

import random
from functools import cache
from itertools import chain
from pathlib import Path

from interventions.data.base import Data, Edit, Prompt, Questions
from interventions.data.testbed.portability import portability_prompts
from interventions.data.testbed.prose import prose
from interventions.data.testbed.rephrasings import rephrasings
from interventions.data.testbed.world import HAZARDS, Fact, World, world
from interventions.errors import InvalidInput
from interventions.options import WINDOWS, Split

MODEL = Path(__file__).with_name("model")
RETAIN_MODEL = MODEL.with_name("model-without-forget")
TASKS = Path(__file__).with_name("tasks")
BATCHES: dict[Split, int] = {"test": 20, "validation": 5}
BATCH = 50  # edits
LOCALITY = 150  # prompts about other facts
RECALLED = 300  # facts


def testbed(edit_batch: int = 0, split: Split = "test") -> Data:
    """Return the testbed's data with one of its batches of 50 edits.

    The two splits share no edit, locality prompt, known fact, question or scored prose; what is
    learned from (forget, retain, calibration, statistics) is the same.

    Args:
        edit_batch: 0 to 19; 0 to 4 of "validation".
        split: "test", or "validation" for tuning.

    Raises:
        InvalidInput: there is no such batch or split.

    Example:
        >>> len(testbed().edits)
        50
    """
    if split not in BATCHES:
        raise InvalidInput(
            f"split must be {' or '.join(BATCHES)} on the testbed, but got {split!r}"
        )
    with_split = "" if split == "test" else f" with split={split}"
    if not 0 <= edit_batch < BATCHES[split]:
        raise InvalidInput(
            f"edit_batch must be 0 to {BATCHES[split] - 1} on the testbed{with_split}, "
            f"but got {edit_batch}"
        )
    facts = world()
    batches, reserved = _people(facts)
    edits = batches[split][edit_batch]
    edited = {edit.subject for edit in edits}
    rng = random.Random(f"locality-{edit_batch}")
    unedited = [
        fact
        for fact in facts.facts["person"]
        if (fact in reserved) == (split == "validation") and fact.subject not in edited
    ]
    locality = tuple(
        Prompt(_question(fact), fact.object) for fact in rng.sample(unedited, LOCALITY)
    )
    return Data(
        name="testbed",
        edits=edits,
        locality=locality,
        questions=Questions(
            tuple((c, f"testbed_{c}") for c in ("mmlu", *HAZARDS.values())), TASKS, split=split
        ),
        forget=_forget(facts),
        retain=_retain(facts),
        calibration=_calibration(facts),
        statistics=_statistics(facts),
        test_text=prose(split),
        window=WINDOWS["testbed"],
        facts=_known(facts, split),
        retain_model=str(RETAIN_MODEL),
        forget_topics=tuple(HAZARDS),
    )


@cache
def _people(facts: World) -> tuple[dict[Split, tuple[tuple[Edit, ...], ...]], frozenset[Fact]]:
    """Return batches of edits by split, and the facts reserved for locality in validation.

    A batch edits each subject once, and no new answer shares a word with the old one.
    """
    rng = random.Random("edits")
    people = list(facts.facts["person"])
    rng.shuffle(people)
    batches_by_split: dict[Split, tuple[tuple[Edit, ...], ...]] = {}
    for split, count in BATCHES.items():
        batches = []
        for _ in range(count):
            batch: dict[str, Fact] = {}
            for fact in people:
                if len(batch) < BATCH:
                    batch.setdefault(fact.subject, fact)
            people = [fact for fact in people if batch.get(fact.subject) is not fact]
            batches.append(tuple(_edit(facts, fact, rng) for fact in batch.values()))
        batches_by_split[split] = tuple(batches)
    return batches_by_split, frozenset(people[: 2 * LOCALITY])


@cache
def _known(facts: World, split: Split) -> tuple[Prompt, ...]:
    """Return facts about people that no batch of the split edits; the splits share none."""
    batches, reserved = _people(facts)
    edited = {edit.prompt for batch in batches[split] for edit in batch}
    known = [
        Prompt(_question(fact), fact.object)
        for fact in facts.facts["person"]
        if (fact in reserved) == (split == "validation") and _question(fact) not in edited
    ]
    return tuple(random.Random(f"known-{split}").sample(known, RECALLED))


def _edit(facts: World, fact: Fact, rng: random.Random) -> Edit:
    words = set(fact.object.split())
    new_answers = [answer for answer in fact.relation.objects if not set(answer.split()) & words]
    prompt, target = _question(fact), rng.choice(new_answers)
    return Edit(
        fact.subject,
        prompt,
        target,
        fact.object,
        rephrasings(fact, prompt),
        portability_prompts(facts, fact, target, prompt),
    )


def _question(fact: Fact) -> str:
    """Return the first question that training showed."""
    return fact.prompts(trained=True)[1][0]


def _training_texts(fact: Fact) -> tuple[str, str]:
    """Return a fact as training told it: one statement, and one question with its answer."""
    statements, questions = fact.prompts(trained=True)
    return f"{statements[0]} {fact.object}.", f"{questions[0]} {fact.object}"


def _shuffled(texts: list[str], seed: str) -> list[str]:
    random.Random(seed).shuffle(texts)
    return texts


@cache
def _forget(facts: World) -> tuple[str, ...]:
    domains = []
    for domain in HAZARDS:
        texts = [text for fact in facts.facts[domain] for text in _training_texts(fact)]
        domains.append(_shuffled(texts, f"forget-{domain}"))
    return tuple(chain(*zip(*domains, strict=True)))


@cache
def _retain(facts: World) -> tuple[str, ...]:
    """Return knowledge that is not hazardous, and prose.

    Retaining on prose alone loses the knowledge.
    """
    known = [
        text
        for fact in facts.all_facts()
        if fact.relation.domain not in HAZARDS
        for text in _training_texts(fact)
    ]
    return tuple(
        _shuffled([*_shuffled(known, "retain")[:1500], *prose("train")[:300]], "retain-mix")
    )


@cache
def _calibration(facts: World) -> tuple[str, ...]:
    """Return a mixture, as C4 is one: half prose, half text about everything the model knows."""
    known = [text for fact in facts.all_facts() for text in _training_texts(fact)]
    return tuple(
        _shuffled(
            [*_shuffled(known, "calibration")[:384], *prose("train")[300:428]], "calibration-mix"
        )
    )


@cache
def _statistics(facts: World) -> tuple[str, ...]:
    """Return all facts as training told them, and prose."""
    known = [text for fact in facts.all_facts() for text in _training_texts(fact)]
    return tuple(_shuffled([*known, *prose("train")[:400]], "statistics"))


__all__ = ["MODEL", "TASKS", "testbed"]
