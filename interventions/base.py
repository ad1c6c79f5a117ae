"""Intervention: one change to a language model, and the registry of all of them."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from interventions import hyperparameters
from interventions.arguments import check_type
from interventions.errors import InvalidInput, did_you_mean, shown
from interventions.options import EMPTY, PROFILES
from interventions.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from interventions.composition import Composition
    from interventions.data.base import Data
    from interventions.lm import LM
    from interventions.search_space import Trial, TuningContext

_FOLDERS = ("editing", "compression", "unlearning", "adapters", "finetuning", "merging")
Category = Literal["editing", "compression", "unlearning", "training", "merging"]


class Intervention(ABC):
    """One change to a language model: a frozen dataclass whose fields are its hyperparameters.

    Attributes:
        name: how it is called everywhere: the class's name in lower case.
        category: editing, compression or unlearning; training of what was learned elsewhere, or
            merging of models, whose methods are compared with none.
        version: raise it when ``apply`` leads to other weights; checkpoints of other versions are
            not reused.
        title: how tables print it; the class's name where it sets none.
        family: within which "# wins" are counted, such as "pruning"; the category where it sets
            none.
        strength: the field that a sweep turns ("sparsity"), if there is one; always printed.
        paper_level: the strength at which the paper's Tables 2-4 compare, if they do.
        reads: the parts of Data that ``apply`` uses; they enter the checkpoint's key.
        recompressed_in_paper: whether the paper's code compresses again after editing or
            unlearning.
        grid: the values that the paper searched, by field; empty where it searched none.
        texts: a field that says how many texts to use -> the part of Data that has the texts.
        batch_field: the field that says how many batches after the run's the edits are that the
            step writes, if there is one: so that steps of one run write several batches.
        reports: whether ``apply`` reports intermediate models (``callbacks.report``).
        takes_branches: whether its positional arguments are compositions, for its field "branches".
        none_means: field -> what its default None comes to, which a study tries first.
        earlier: what versions up to one did that had not got a hyperparameter yet: version ->
            values by field, as literals. A recorded run that lacks the hyperparameter is read so.

    Example:
        >>> step = make("wanda", sparsity=0.25)
        >>> step.category, step.params()["sparsity"]
        ('compression', 0.25)
    """

    name: ClassVar[str]
    category: ClassVar[Category]
    version: ClassVar[int]
    title: ClassVar[str] = ""
    family: ClassVar[str] = ""
    strength: ClassVar[str | None] = None
    paper_level: ClassVar[float | None] = None
    reads: ClassVar[frozenset[str]] = frozenset()
    recompressed_in_paper: ClassVar[bool] = True
    grid: ClassVar[Mapping[str, Sequence[Any]]] = {}
    texts: ClassVar[Mapping[str, str]] = {}
    batch_field: ClassVar[str | None] = None
    reports: ClassVar[bool] = False
    takes_branches: ClassVar[bool] = False
    none_means: ClassVar[Mapping[str, Any]] = {}
    earlier: ClassVar[Mapping[int, Mapping[str, Any]]] = {}

    def __init_subclass__(cls, *, category: Category, version: int = 1) -> None:
        """Register the class.

        Raises:
            InvalidInput: the name is taken, the category is unknown, or a field has a name that an
                intervention has another use for.
        """
        super().__init_subclass__()
        if category not in get_args(Category):
            raise InvalidInput(
                f"{cls.__name__}: category must be one of {get_args(Category)}, "
                f"but got {shown(category)}"
            )
        check_type(f"{cls.__name__}: version", version, int)
        _check_names(cls)
        cls.name, cls.category, cls.version = cls.__name__.lower(), category, version
        cls.title = vars(cls).get("title") or cls.__name__
        cls.family = vars(cls).get("family") or category
        INTERVENTIONS.add(cls.name, cls)

    def __post_init__(self) -> None:
        """Check and coerce every field.

        Raises:
            InvalidInput: a value is of a wrong type or out of its bounds.
        """
        hyperparameters.check_fields(self, self.name)

    @abstractmethod
    def apply(self, lm: LM, data: Data) -> LM:
        """Return the changed model; ``lm`` may be changed in place and must not be used again.

        The step is seeded before the call. A method that needs another precision casts and casts
        back.

        Args:
            lm: the model so far.
            data: of which only the parts in ``reads`` may be used.
        """

    def check(self, model: PreTrainedModel) -> None:  # noqa: B027 - most steps fit every model
        """Check that the step fits the model, before any weight is loaded.

        Args:
            model: its weights may be on the meta device.

        Raises:
            InvalidInput: it does not fit.
        """

    def check_texts(self, data: Data) -> None:
        """Check that the data has as many texts as the fields in ``texts`` ask for.

        A default may ask for more than a small copy of the data has: it takes what there is.

        Args:
            data: what the step is to be applied with.

        Raises:
            InvalidInput: a value other than a default asks for more texts than there are.
        """
        fields = hyperparameters.fields_of(type(self))
        for key, part in self.texts.items():
            count, value = len(getattr(data, part)), getattr(self, key)
            defaults = [hyperparameters.default_value(fields[key], name) for name in PROFILES]
            if value > count and value not in defaults:
                raise InvalidInput(
                    f"{self.name}.{key} is {shown(value)}, but there are {count} texts ({part})"
                )

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Return values to try, by field: the space ``default`` of a study.

        Fields that are not in it keep their defaults.

        Args:
            trial: where the values come from.
            tuning_context: the model and the data to tune on.

        Raises:
            InvalidInput: the intervention does not say what to try.
        """
        raise InvalidInput(
            f"{cls.name} cannot be tuned: it has no method suggest; tunable: {', '.join(tunable())}"
        )

    def holds(self, lm: LM) -> bool:
        """Tell whether the weights still have the property that a compression gave them.

        Measured on the weights. Other interventions give them none to lose.
        """
        return True

    def stored_bytes(self, model: PreTrainedModel) -> int:
        """Return what ``apply`` holds in host memory and stores beside a checkpoint; for a plan.

        Args:
            model: its weights may be on the meta device.
        """
        return 0

    @property
    def batches_later(self) -> int:
        """Return how many batches after the run's the edits are that the step writes."""
        return int(getattr(self, self.batch_field)) if self.batch_field else 0

    def own_data(self, data: Data) -> Data:
        """Return a run's data as the step gets them: with its calibration texts, and its edits.

        Args:
            data: the run's.

        Raises:
            InvalidInput: the step writes a batch of edits that the run's data do not have.
        """
        if "edits" not in self.reads:
            return data.seen_by(self.name)
        try:
            return data.seen_by(self.name).with_batch(self.batches_later)
        except InvalidInput as error:
            raise InvalidInput(f"{self.name}.{self.batch_field or 'edits'}: {error}") from error

    def compositions(self) -> tuple[Composition, ...]:
        """Return the branches that the step merges, which start from the model before it; or none.

        Their checkpoints enter the step's key, and ``branches.branch_model`` gives their models.
        """
        return ()

    @classmethod
    def read_values(cls, values: Mapping[str, Any], profile: str) -> dict[str, Any]:
        """Return the values of a text as the class takes them, such as compositions of texts."""
        return dict(values)

    def params(self) -> dict[str, Any]:
        """Return every hyperparameter, defaults too, as JSON values (tuples become lists)."""
        values = {key: getattr(self, key) for key in hyperparameters.fields_of(type(self))}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }

    def identity(self) -> dict[str, Any]:
        """Return what of the step decides on the weights, as JSON values: it enters the key.

        Every hyperparameter, unless one is only the name of what decides, as a file's is, or as
        the number of a batch is, whose edits enter the key themselves.
        """
        return {key: value for key, value in self.params().items() if key != self.batch_field}

    def spec(self, profile: str = "testbed") -> str:
        """Return the shortest call that makes this step on a profile, with the strength always."""
        arguments = []
        for key, field in hyperparameters.fields_of(type(self)).items():
            value = getattr(self, key)
            if key == self.strength or value != _default_of(type(self), key, field, profile):
                arguments.append(f"{key}={value!r}")
        return f"{self.name}({', '.join(arguments)})" if arguments else self.name

    def __str__(self) -> str:
        return self.spec()


INTERVENTIONS: Registry[type[Intervention]] = Registry(
    "intervention",
    packages=tuple(f"interventions.{folder}" for folder in _FOLDERS),
    group="composable_interventions.interventions",
)


def make(name: str, profile: str = "testbed", /, **values: Any) -> Intervention:
    """Make a step by name.

    Args:
        name: of the intervention.
        profile: "testbed" or "paper": whose defaults the other fields have.
        **values: hyperparameters.

    Raises:
        InvalidInput: an unknown name, profile or hyperparameter, or an invalid value.

    Example:
        >>> make("wanda", sparsity=0.25).spec()
        'wanda(sparsity=0.25)'
    """
    if not isinstance(profile, str) or profile not in PROFILES:
        hint = did_you_mean(profile, PROFILES)
        raise InvalidInput(
            f"no profile is named {shown(profile)}.{hint} Known: {', '.join(PROFILES)}"
        )
    cls = INTERVENTIONS.get(name)
    all_values = hyperparameters.with_defaults(cls, name, values, profile)
    return cls(**cls.read_values(all_values, profile))


def _check_names(cls: type[Intervention]) -> None:
    """Raise InvalidInput if the class or a field is named as something that it cannot be."""
    if cls.__name__.lower() == EMPTY:
        raise InvalidInput(f"{cls.__name__}: {EMPTY!r} is how the empty composition is written")
    # what every intervention has already, and the arguments of `make` and of methods
    reserved = {*dir(Intervention), *Intervention.__annotations__, "profile", "self", "cls"}
    for field, annotation in vars(cls).get("__annotations__", {}).items():
        if field in reserved and "ClassVar" not in str(annotation):
            raise InvalidInput(
                f"{cls.__name__}: no hyperparameter may be named {field!r}, which every"
                " intervention has or is made with; choose another name"
            )


def _default_of(
    cls: type[Intervention], key: str, field: dataclasses.Field[Any], profile: str
) -> Any:
    """Return a field's default as an instance has it: coerced to the field's type."""
    return getattr(cls(**{key: hyperparameters.default_value(field, profile)}), key)


def tunable() -> Mapping[str, type[Intervention]]:
    """Return the interventions that say what a tuner may try."""
    return {
        name: cls
        for name, cls in INTERVENTIONS.all().items()
        if cls.suggest.__func__ is not Intervention.suggest.__func__  # type: ignore[attr-defined]
    }
