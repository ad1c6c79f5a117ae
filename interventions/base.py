"""Intervention: one change to a model. A subclass is a frozen dataclass whose fields are its hyperparameters."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from interventions import hyperparameters
from interventions.errors import InvalidInput
from interventions.options import PROFILES
from interventions.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from interventions.data.base import Data
    from interventions.lm import LM
    from interventions.search_space import Trial, TuningContext

Category = Literal["editing", "compression", "unlearning"]


class Intervention(ABC):
    """One change to a language model.

    Attributes:
        name: how it is called everywhere: the class's name in lower case.
        category: editing, compression or unlearning.
        version: raise it when ``apply`` leads to other weights; checkpoints of other versions are not reused.
        strength: the field that a sweep turns ("sparsity", "bits"), if there is one; always printed.
        reads: the parts of Data that ``apply`` uses; they enter the checkpoint's key.
        recompressed_in_paper: whether the paper's code compresses again after editing or unlearning.
        grid: the values that the paper searched, by field; empty where it searched none.
        texts: fields that count texts -> the part of Data that these are of.
        reports: whether ``apply`` reports intermediate models (watching.report).
    """

    name: ClassVar[str]
    category: ClassVar[Category]
    version: ClassVar[int]
    strength: ClassVar[str | None] = None
    reads: ClassVar[frozenset[str]] = frozenset()
    recompressed_in_paper: ClassVar[bool] = True
    grid: ClassVar[Mapping[str, Sequence[Any]]] = {}
    texts: ClassVar[Mapping[str, str]] = {}
    reports: ClassVar[bool] = False

    def __init_subclass__(cls, *, category: Category, version: int = 1) -> None:
        """Register the class; a taken name or an unknown category raises ValueError."""
        super().__init_subclass__()
        if category not in get_args(Category):
            raise ValueError(
                f"{cls.__name__}: category must be one of {get_args(Category)}, but got {category!r}"
            )
        cls.name, cls.category, cls.version = cls.__name__.lower(), category, version
        INTERVENTIONS.add(cls.name, cls)

    def __post_init__(self) -> None:
        """Check and coerce every field; raises InvalidInput."""
        hyperparameters.check(self, self.name)

    @abstractmethod
    def apply(self, lm: LM, data: Data) -> LM:
        """Return the changed model; ``lm`` may be changed in place and must not be used again.

        The step is seeded before the call. A method that needs another precision casts and casts back.
        """

    def check(self, model: PreTrainedModel) -> None:  # noqa: B027 - most steps fit every model
        """Raise InvalidInput if the step does not fit the model; its weights may be on the meta device."""

    @classmethod
    def suggest(cls, trial: Trial, room: TuningContext) -> dict[str, Any]:
        """Values to try, by field, asked of a trial (the space ``default`` of a study); the others keep their defaults.

        Raises:
            InvalidInput: an intervention that does not say what to try cannot be tuned.
        """
        raise InvalidInput(
            f"{cls.name} cannot be tuned: it has no method suggest; tunable: {', '.join(tunable())}"
        )

    def holds(self, lm: LM) -> bool:
        """Compression only: whether the weights still have the property it gave them, measured on the weights."""
        return True

    def params(self) -> dict[str, Any]:
        """Every hyperparameter, defaults too, as JSON values (tuples become lists)."""
        values = {key: getattr(self, key) for key in hyperparameters.fields_of(type(self))}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    def spec(self, profile: str = "testbed") -> str:
        """The shortest call that makes this step on a profile; the strength is always shown."""
        shown = [
            f"{key}={getattr(self, key)!r}"
            for key, field in hyperparameters.fields_of(type(self)).items()
            if key == self.strength
            or getattr(self, key) != _coerced(type(self), key, field, profile)
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name

    def __str__(self) -> str:
        return self.spec()


INTERVENTIONS: Registry[type[Intervention]] = Registry(
    "intervention",
    packages=("interventions.editing", "interventions.compression", "interventions.unlearning"),
    group="composable_interventions.interventions",
)


def make(name: str, profile: str = "testbed", **given: Any) -> Intervention:
    """Make a step by name, with the profile's defaults; raises InvalidInput."""
    if profile not in PROFILES:
        raise InvalidInput(f"no profile is named {profile!r}. Known: {', '.join(PROFILES)}")
    cls = INTERVENTIONS.get(name)
    return cls(**hyperparameters.fill(cls, name, given, profile))


def _coerced(cls: type[Intervention], key: str, field: dataclasses.Field[Any], profile: str) -> Any:
    return getattr(cls(**{key: hyperparameters.default(field, profile)}), key)


def tunable() -> Mapping[str, type[Intervention]]:
    """The interventions that have a space."""
    return {
        name: cls
        for name, cls in INTERVENTIONS.all().items()
        if cls.suggest.__func__ is not Intervention.suggest.__func__  # type: ignore[attr-defined]
    }
