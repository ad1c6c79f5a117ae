"""Four-choice criteria of lm-eval's tasks: the testbed's questions as those of MMLU and WMDP."""

from __future__ import annotations

import dataclasses
import functools
import math

from interventions.criteria.base import (
    CRITERIA,
    Criterion,
    Scores,
    criterion,
    makes_criteria,
    mean_scores,
)
from interventions.criteria.criterion import Better
from interventions.criteria.engine.evaluation import Answered, answered
from interventions.criteria.sharing import shared
from interventions.data.base import Choices, Data, Questions
from interventions.data.lm_eval_tasks import criterion_of_task, sampled, tasks
from interventions.data.question_set import QuestionSet
from interventions.errors import InvalidInput
from interventions.lm import LM


@criterion(
    better="higher",
    unit="accuracy",
    reads=("questions",),
    title="MMLU",
    chance=0.25,
    judges=("unlearning",),
    items="crossed",
    needs=("questions.mmlu",),
)
def mmlu(lm: LM, data: Data) -> Scores:
    """Measure four-choice accuracy, 0-shot (Hendrycks et al. 2021).

    On the testbed: questions on its benign domains.
    """
    return _accuracy(lm, data, "mmlu")


@criterion(
    better="lower",
    unit="accuracy",
    reads=("questions",),
    title="WMDP bio",
    chance=0.25,
    group="wmdp",
    category="unlearning",
    items="crossed",
    needs=("questions.wmdp_bio",),
)
def wmdp_bio(lm: LM, data: Data) -> Scores:
    """Measure four-choice accuracy on hazardous biology, 0-shot (Li et al. 2024).

    On the testbed: questions on its compounds.
    """
    return _accuracy(lm, data, "wmdp_bio")


@criterion(
    better="lower",
    unit="accuracy",
    reads=("questions",),
    title="WMDP cyber",
    chance=0.25,
    group="wmdp",
    category="unlearning",
    items="crossed",
    needs=("questions.wmdp_cyber",),
)
def wmdp_cyber(lm: LM, data: Data) -> Scores:
    """Measure four-choice accuracy on hazardous computing, 0-shot (Li et al. 2024).

    On the testbed: questions on its protocols.
    """
    return _accuracy(lm, data, "wmdp_cyber")


@criterion(
    better="lower",
    unit="accuracy",
    reads=("questions",),
    title="WMDP",
    chance=0.25,
    judges=("unlearning",),
    category="unlearning",
    items="crossed",
    needs=("questions.wmdp_bio", "questions.wmdp_cyber"),
)
def wmdp(lm: LM, data: Data) -> Scores:
    """Measure the unweighted mean of wmdp_bio and wmdp_cyber (paper, section 3.1)."""
    bio, cyber = wmdp_bio(lm, data), wmdp_cyber(lm, data)
    bio_items = {f"bio/{item}": score for item, score in bio.items.items()}
    cyber_items = {f"cyber/{item}": score for item, score in cyber.items.items()}
    # the two sets of questions are independent: their variances add up
    stderr = math.hypot(bio.stderr, cyber.stderr) / 2
    return Scores((bio.value + cyber.value) / 2, stderr, bio_items | cyber_items)


@makes_criteria
def criteria_of_sets(data: Data) -> list[Criterion]:
    """Return a criterion for each set of questions of somebody's own.

    A set that is called as one of the criteria above is what that one is measured on.

    Raises:
        InvalidInput: a set is called as a criterion that is about something else.
    """
    registered, criteria = CRITERIA.all(), []
    for each in data.questions.sets:
        if each.name in registered:
            _check_role(each, registered[each.name])
        else:
            criteria.append(_criterion_of_set(each))
    return criteria


def _criterion_of_set(question_set: QuestionSet) -> Criterion:
    name = question_set.name
    return Criterion(
        name=name,
        better=question_set.better,
        unit="accuracy",
        version=1,
        reads=frozenset({"questions"}),
        function=functools.partial(_accuracy, name=name),
        chance=question_set.chance,
        title=question_set.title,
        # knowledge that is to go is what unlearning works on
        category="unlearning" if question_set.better == "lower" else "",
        needs=(f"questions.{name}",),
    )


def _check_role(question_set: QuestionSet, role: Criterion) -> None:
    name = question_set.name
    if role.needs != (f"questions.{name}",):
        raise InvalidInput(
            f"no set of questions can be called {name}, as the criterion of that name is measured"
            " on something else; give it another name"
        )
    stated, known = (question_set.better, question_set.chance), (role.better, role.chance)
    if stated != known:
        raise InvalidInput(
            f"questions.{name} says better: {stated[0]}, chance: {stated[1]}, but the criterion"
            f" {name} has {known[0]} and {known[1]}; give the set another name"
        )


def _accuracy(lm: LM, data: Data, name: str) -> Scores:
    return mean_scores(accuracies(lm, data.questions)[name])


def accuracies(lm: LM, questions: Questions) -> dict[str, dict[str, float]]:
    """Answer all questions in one pass; lm-eval's tasks say what is asked, and what is right.

    Returns:
        Criterion -> item id -> 1 if the answer is right, else 0.
    """
    return {
        name: {item: float(question.metrics["acc"]) for item, question in answers.items()}
        for name, answers in answered_questions(lm, questions).items()
    }


@shared
def answered_questions(lm: LM, questions: Questions) -> dict[str, dict[str, Answered]]:
    """Answer all questions in one pass.

    Returns:
        Criterion -> item id -> what the model says.
    """
    results: dict[str, dict[str, Answered]] = {name: {} for name, _ in questions.tasks}
    for task, answers in answered(lm, tasks(questions)["tasks"], sampled(questions)).items():
        name, prefix = criterion_of_task(questions, task)
        results[name].update({f"{prefix}{index}": answer for index, answer in answers.items()})
    return results


def sets_by_direction(questions: Questions, better: Better) -> list[str]:
    """Return the sets of questions whose accuracy is to be high, or low.

    Args:
        questions: of some data.
        better: "higher" or "lower".

    Example:
        >>> from interventions.data.testbed import testbed
        >>> sets_by_direction(testbed().questions, "lower")
        ['wmdp_bio', 'wmdp_cyber']
    """
    directions = {name: criterion.better for name, criterion in CRITERIA.all().items()}
    directions |= {each.name: each.better for each in questions.sets}
    return [name for name in questions.names if directions.get(name) == better]


def on_sets(role: Criterion, questions: Questions, better: Better) -> Criterion:
    """Return a criterion that is measured on all sets of one direction, whatever they are called.

    Args:
        role: as it is registered: it stays so where there is no such set.
        questions: of some data.
        better: direction of the sets.
    """
    names = sets_by_direction(questions, better)
    if not names:
        return role
    needs = tuple(f"questions.{name}" for name in names)
    chances = {name: criterion.chance for name, criterion in CRITERIA.all().items()}
    chances |= {question_set.name: question_set.chance for question_set in questions.sets}
    # guessing gets what it gets in every set, if that is the same
    of_sets = {chances[name] for name in names}
    chance = of_sets.pop() if role.chance is not None and len(of_sets) == 1 else None
    return dataclasses.replace(role, needs=needs, chance=chance)


def choices_of_sets(lm: LM, questions: Questions, better: Better) -> Choices:
    """Return a model's log-likelihoods of the options of all questions of one direction.

    Args:
        lm: the model.
        questions: of some data; the others are asked too, in the pass that criteria share.
        better: direction of the sets.

    Returns:
        (``<set>/<item>``, log-likelihoods in nats) of each question.
    """
    answers = answered_questions(lm, questions)
    return tuple(
        (f"{name}/{item}", question.log_likelihoods)
        for name in sets_by_direction(questions, better)
        for item, question in answers[name].items()
    )


def made_up_choices(questions: Questions, better: Better) -> Choices:
    """Return what ``choices_of_sets`` does, of no model: for a rehearsal."""
    names, sample = sets_by_direction(questions, better), sampled(questions)
    choices = []
    for task, lm_eval_task in tasks(questions)["tasks"].items():
        name, prefix = criterion_of_task(questions, task)
        docs = lm_eval_task.eval_docs
        if name in names:
            for index in range(len(docs)) if sample is None else sample[task]:
                count = len(lm_eval_task.doc_to_choice(docs[index]))
                choices.append((f"{name}/{prefix}{index}", (0.0,) * count))
    return tuple(choices)
