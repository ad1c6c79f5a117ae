"""Lists for readers: every intervention with its hyperparameters, and every criterion."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

from interventions.base import INTERVENTIONS, Intervention
from interventions.criteria.base import CRITERIA, Criterion
from interventions.hyperparameters import default_value, fields_of
from interventions.options import PROFILES


def list_interventions(names: Sequence[str] = ()) -> str:
    """Return a paragraph per intervention: name, category and purpose; a line per hyperparameter.

    Args:
        names: which; all by default.

    Raises:
        InvalidInput: an intervention of that name does not exist.

    Example:
        >>> print(list_interventions(["wanda"]).splitlines()[1])
            sparsity = 0.5 (data=paper: 0.25): share of the weights to remove
    """
    classes = [INTERVENTIONS.get(name) for name in names] or INTERVENTIONS.all().values()
    return "\n\n".join("\n".join(_intervention_lines(cls)) for cls in classes)


def list_criteria(names: Sequence[str] = ()) -> str:
    """Return a paragraph per criterion: name, purpose, the good direction, unit and chance.

    Args:
        names: which; all by default.

    Raises:
        InvalidInput: a criterion of that name does not exist.

    Example:
        >>> print(list_criteria(["wikitext_ppl"]).splitlines()[1])
            better: lower; unit: perplexity
    """
    criteria = [CRITERIA.get(name) for name in names] or CRITERIA.all().values()
    return "\n\n".join("\n".join(_criterion_lines(criterion)) for criterion in criteria)


def _intervention_lines(cls: type[Intervention]) -> Iterator[str]:
    yield f"{cls.name} ({cls.category}): {_first_line(cls)}"
    for key, field in fields_of(cls).items():
        testbed, paper = (repr(default_value(field, profile)) for profile in PROFILES)
        default = testbed if testbed == paper else f"{testbed} (data=paper: {paper})"
        yield f"    {key} = {default}: {field.metadata.get('help', '')}"


def _criterion_lines(criterion: Criterion) -> Iterator[str]:
    yield f"{criterion.name}: {_first_line(criterion)}"
    facts = [f"better: {criterion.better}", f"unit: {criterion.unit or 'none'}"]
    if criterion.chance is not None:
        facts.append(f"chance: {criterion.chance:g}")
    yield f"    {'; '.join(facts)}"


def _first_line(described: object) -> str:
    return inspect.cleandoc(described.__doc__ or "").partition("\n")[0]
