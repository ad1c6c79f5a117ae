"""How often the training tells a fact, and its rival."""

import dataclasses
import random

import pytest

from interventions.data.testbed.world import BENIGN, EVERYDAY, HAZARDS, RARE, _graded, world

FACT = dataclasses.replace(world().facts["dish"][0], tellings=1.0, phases=(0.0, 0.5))


@pytest.mark.parametrize("tellings", [0.05, 0.25, 0.3, 1.0])
def test_a_share_of_the_passes_tells_a_fact(tellings: float) -> None:
    fact = dataclasses.replace(FACT, tellings=tellings)
    for kind in range(2):
        told = [fact.is_told(index, kind) for index in range(200)]
        assert abs(sum(told) - 200 * tellings) <= 1


def test_a_rare_fact_is_told_at_even_distances() -> None:
    """By hand: every fourth pass; the question, whose phase is .5, two passes before."""
    fact = dataclasses.replace(FACT, tellings=0.25)
    for kind, passes in enumerate(([3, 7, 11], [1, 5, 9])):
        assert [index for index in range(12) if fact.is_told(index, kind)] == passes


def test_only_facts_of_questions_are_rare_a_quarter_of_them() -> None:
    for domain in EVERYDAY:
        assert {fact.tellings for fact in world().facts[domain]} == {1.0}
    of_questions = [fact for domain in (*HAZARDS, *BENIGN) for fact in world().facts[domain]]
    rare = [fact.tellings for fact in of_questions if fact.tellings < 1]
    assert len(rare) / len(of_questions) == pytest.approx(0.25, abs=0.05)
    assert min(rare) >= 0.03 and max(rare) <= 0.3
    assert all(fact.rival in {*fact.relation.objects} - {fact.object} for fact in of_questions)
    assert {fact.tellings for fact in of_questions} - {*rare} == {1.0}


class Fixed(random.Random):
    """Draws one number every time."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def random(self) -> float:
        return self.number


def test_the_share_of_rare_facts_is_just_below_the_bound() -> None:
    """By hand: the level is the draw, too; .03 x 10^.125 of the passes tell the fact."""
    assert _graded(FACT, Fixed(RARE)).tellings == 1
    rare = _graded(FACT, Fixed(0.125))
    assert rare.tellings == pytest.approx(0.04000564) and rare.phases == (0.125, 0.125)


def test_a_statement_and_a_question_are_held_out_each_by_its_own_index() -> None:
    fact = dataclasses.replace(FACT, held_out=(0, 2))
    assert fact.prompts(trained=False) == ([fact.statement(0)], [fact.question(2)])
    statements, questions = fact.prompts(trained=True)
    assert statements == [fact.statement(1), fact.statement(2)]
    assert questions == [fact.question(0), fact.question(1)]
