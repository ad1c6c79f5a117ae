"""Criterion: a function of a model and the data that returns its value and every item's score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch

from interventions.arguments import check_type, checked
from interventions.criteria.criterion import Better, Items
from interventions.criteria.criterion import Criterion as Criterion
from interventions.criteria.scores import Scores as Scores
from interventions.criteria.scores import grouped_scores as grouped_scores
from interventions.criteria.scores import mean_scores as mean_scores
from interventions.criteria.scores import standard_error as standard_error
from interventions.criteria.sharing import measuring
from interventions.data.base import PARTS, PARTS_OF_A_BATCH, Data
from interventions.errors import InvalidInput, did_you_mean, shown, whole_number
from interventions.lm import LM
from interventions.registry import Registry

ALL = "all"  # the criteria that apply to the data
_MOST_VERSIONS = 1_000_000  # of a criterion


CRITERIA: Registry[Criterion] = Registry(
    "criterion", packages=("interventions.criteria",), group="composable_interventions.criteria"
)


@checked
def criterion(
    better: Better,
    unit: str,
    reads: Iterable[str] = (),
    version: int = 1,
    *,
    chance: float | None = None,
    title: str = "",
    group: str = "",
    judges: Iterable[str] = (),
    category: str = "",
    items: Items | None = None,
    needs: Iterable[str] = (),
    opt_in: bool = False,
) -> Callable[[Callable[[LM, Data], Scores]], Criterion]:
    """Register a function of (lm, data) as a criterion under its own name.

    The arguments are the attributes of ``Criterion``. ``items`` follow from ``reads`` where they
    are not given: nested if these change with the batch of edits, else crossed.

    Raises:
        InvalidInput: there is a criterion of that name, an argument is of another type, no part
            of the data is named as ``reads`` says, or ``items`` are "crossed" though ``reads``
            names what changes with the batch of edits.

    Example:
        >>> @criterion(better="lower", unit="parameters", title="Size")
        ... def example_size(lm: LM, data: Data) -> Scores:
        ...     return Scores(float(lm.model.num_parameters()), 0.0, {})
        >>> example_size.name, example_size.better
        ('example_size', 'lower')
        >>> CRITERIA.remove("example_size")
    """
    reads, judges, needs = list(reads), list(judges), list(needs)
    # anything that can be iterated over came here: a table, a tensor
    check_type("reads", reads, Sequence[str])
    check_type("judges", judges, Sequence[str])
    check_type("needs", needs, Sequence[str])
    whole_number("version", version, 1, _MOST_VERSIONS)
    parts = frozenset(reads)
    if not parts <= PARTS:
        unknown = shown(sorted(parts - PARTS)[0], 100)
        raise InvalidInput(f"reads names {unknown}; the data has: {', '.join(sorted(PARTS))}")

    of_a_batch = sorted(parts & PARTS_OF_A_BATCH)
    if items == "crossed" and of_a_batch:
        raise InvalidInput(
            f"items cannot be crossed: another batch of edits has other {of_a_batch[0]}, which"
            " reads names; give nested, or leave items out"
        )
    sample: Items = items or ("nested" if of_a_batch else "crossed")
    if chance is not None and not math.isfinite(chance):
        raise InvalidInput(f"chance must be finite, but got {chance}")

    def register(function: Callable[[LM, Data], Scores]) -> Criterion:
        if not callable(function) or not hasattr(function, "__name__"):
            raise InvalidInput(f"a criterion must be a function, but got {shown(function)}")
        registered = Criterion(
            name=function.__name__,
            better=better,
            unit=unit,
            version=version,
            reads=parts,
            function=function,
            chance=chance,
            title=title,
            group=group,
            judges=tuple(judges),
            category=category,
            items=sample,
            needs=tuple(needs),
            opt_in=opt_in,
        )
        # a frozen dataclass refuses plain assignment
        registered.__dict__["__doc__"] = function.__doc__
        CRITERIA.add(registered.name, registered)
        return registered

    return register


def makes_criteria(
    function: Callable[[Data], list[Criterion]],
) -> Callable[[Data], list[Criterion]]:
    """Register a function that makes criteria of what some data have, such as their questions."""
    _MAKERS.append(function)
    return function


_MAKERS: list[Callable[[Data], list[Criterion]]] = []


def measure(
    lm: LM,
    data: Data,
    names: Iterable[str] | None = None,
    on_failure: Callable[[str, Exception], None] | None = None,
    on_start: Callable[[str], None] = lambda name: None,
) -> dict[str, Scores]:
    """Measure criteria on one model; what two of them share is computed once.

    Args:
        lm: the model.
        data: what to measure on.
        names: of the criteria; by default all that apply to the data.
        on_failure: is told of a criterion that fails, and the rest is measured; by default the
            first failure is raised.
        on_start: is told of each criterion before it is measured.

    Raises:
        InvalidInput: an unknown name, a criterion that does not apply to the data, or, without
            ``on_failure``, a value that is NaN or -inf, which no criterion may be.
    """
    criteria = applicable(data) if names is None else [criterion_of(data, name) for name in names]
    measured, data = {}, _with_questions_of(criteria, data)
    with measuring(), torch.inference_mode():
        for each_criterion in criteria:
            on_start(each_criterion.name)
            try:
                measured[each_criterion.name] = _valid(each_criterion, each_criterion(lm, data))
            except Exception as error:
                if on_failure is None:
                    raise
                on_failure(each_criterion.name, error)
    return measured


def _with_questions_of(criteria: Iterable[Criterion], data: Data) -> Data:
    """Return the data with those sets of questions alone that the criteria need."""
    names: set[str] = set()
    for each in criteria:
        needed = [name.removeprefix("questions.") for name in each.needs]
        if "questions" in each.reads:
            names.update(needed or data.questions.names)
    return replace(data, questions=data.questions.only(names))


def _valid(each_criterion: Criterion, scores: Scores) -> Scores:
    if math.isnan(scores.value) or scores.value == -math.inf:
        raise InvalidInput(
            f"criterion {each_criterion.name} must be finite or +inf, but got {scores.value}"
        )
    return scores


def applicable(data: Data) -> list[Criterion]:
    """Return the criteria whose parts of the data are there: the registered, and the data's own.

    Those that are measured only by name are left out.
    """
    return [each for each in _known(data).values() if each.applies_to(data) and not each.opt_in]


def _known(data: Data) -> dict[str, Criterion]:
    registered = dict(CRITERIA.all())
    made = {each.name: each for make in _MAKERS for each in make(data)}
    return registered | made


def criterion_of(data: Data, name: str) -> Criterion:
    """Return the criterion of a name, which the data have what it takes to measure.

    Raises:
        InvalidInput: there is none, or the data have not.
    """
    known = _known(data)
    if not isinstance(name, str) or name not in known:
        hint = did_you_mean(name, known, most=3)
        raise InvalidInput(
            f"no criterion is named {shown(name, 100)}.{hint} Known: {', '.join(known)}"
        )
    check_applies(known[name], data)
    return known[name]


def selected(data: Data, names: str = "all") -> list[Criterion]:
    """Return the criteria that a setting names, in the order of all.

    Args:
        data: what is to be measured on.
        names: with commas between; "all" stands for those that apply to the data, but for those
            that are measured only by name: "all,edit_exact".

    Raises:
        InvalidInput: a name is unknown or there twice, or the data lack what the criterion reads.

    Example:
        >>> [each.name for each in selected(Data("none"), "sparsity, average_bits")]
        ['average_bits', 'sparsity']
    """
    if names == ALL:
        return applicable(data)
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name != ALL:
            criterion_of(data, name)
        if wanted.count(name) > 1:
            raise InvalidInput(f"criteria names {shown(name, 100)} twice, in {shown(names, 150)}")
    if ALL in wanted:
        wanted += [each.name for each in applicable(data)]
    return [each for each in _known(data).values() if each.name in wanted]


def check_applies(each_criterion: Criterion, data: Data) -> None:
    """Check that the data have what a criterion reads.

    Raises:
        InvalidInput: a part is empty.
    """
    missing = each_criterion.lacks(data)
    if missing:
        raise InvalidInput(
            f"{each_criterion.name} is measured on {' and '.join(missing)}, of which the data"
            f" {shown(data.name, 60)} have none"
        )
