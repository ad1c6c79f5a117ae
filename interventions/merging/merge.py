"""Merging of branches: task arithmetic, TIES and DARE."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from transformers import PreTrainedModel

from interventions.anatomy import block_linears
from interventions.base import Intervention
from interventions.branches import branch_model
from interventions.composition import Composition
from interventions.data.base import Data
from interventions.errors import InvalidInput, shown
from interventions.hyperparameters import hyperparameter
from interventions.lm import LM
from interventions.merging.branch_texts import read_branches
from interventions.merging.carried import carried
from interventions.merging.mixing import DARE, LINEAR, TIES, Mixer
from interventions.merging.task_vectors import check_mergeable, tensors_of
from interventions.quantization_grid import QuantizationGrid
from interventions.search_space import Trial, TuningContext
from interventions.specs import BRANCHES

_EXAMPLE = ("ft", "rmu")  # where a program asks for a merge and names no branches; no text may
_FIELD_OF = {"density": TIES, "drop": DARE}  # which way of merging has a field


@dataclass(frozen=True)
class Merge(Intervention, category="merging"):
    """Merge the models of branches, which all start from the model before this step.

    ``merge(lora | ft, rmu)`` applies ``lora | ft`` and ``rmu`` apart, and adds up what each
    changed: with theta_0 the model before, theta_i that of branch i, t_i = theta_i - theta_0 its
    task vector and w_i its weight,

        linear:  theta_0 + sum_i w_i t_i
        ties:    theta_0 + mean of w_i t^_i over the branches whose w_i t^_i has the sign of
                 sum_j w_j t^_j, by weight of the model; t^_i keeps the ``density`` of t_i that is
                 largest in size, counted over all of the model, and is 0 elsewhere; of equal
                 sizes at the cut all stay
        dare:    theta_0 + sum_i w_i t~_i; t~_i drops a share ``drop`` of t_i at random, and
                 divides the rest by 1 - drop

    A weight below 0 takes away what a branch has learned. All is computed in float64 and rounded
    once; with weights (1, 0) the result is the first branch bit for bit (ties with density 1, dare
    with drop 0). Branches share their checkpoints with plain compositions of the same steps; what a
    compression in a branch gave its weights is not applied again after merging.

    Source: Ilharco et al. 2023, "Editing Models with Task Arithmetic", equation 1; Yadav et al.
    2023, "TIES-Merging", algorithm 1; Yu et al. 2024, "Language Models are Super Mario", equation
    2. Where TIES has one scale for all, it is the ``weights``.

    Example:
        >>> str(Composition.parse("merge(lora | ft, rmu, how='ties')"))
        "merge(lora | ft, rmu, how='ties')"
    """

    branches: tuple[Composition, ...] = hyperparameter(
        _EXAMPLE, "compositions that start from the model before the step: its positional arguments"
    )
    how: Literal["linear", "ties", "dare"] = hyperparameter(
        LINEAR, "linear (task arithmetic), ties or dare"
    )
    weights: tuple[float, ...] | None = hyperparameter(
        None, "of the branches, or one for all; below 0: unlearns; None: 1", low=-100, high=100
    )
    density: float = hyperparameter(0.2, "share of a task vector that ties keeps", above=0, high=1)
    drop: float = hyperparameter(0.5, "share of a task vector that dare drops", low=0, below=1)
    takes_branches = True
    none_means: ClassVar[Mapping[str, Any]] = {"weights": 1.0}

    def __post_init__(self) -> None:
        """Check the fields; raises InvalidInput."""
        object.__setattr__(self, BRANCHES, read_branches(self.branches, "testbed"))
        super().__post_init__()
        for field, how in _FIELD_OF.items():
            default = type(self).__dataclass_fields__[field].default
            if self.how != how and getattr(self, field) != default:
                raise InvalidInput(
                    f"merge.{field} is of how={how!r}, but how is {self.how!r}: it would change"
                    f" nothing, but got {getattr(self, field)}"
                )
        count, weights = len(self.branches), self.weights
        if weights is not None and len(weights) == 1:
            weights *= count
        if weights is not None and len(weights) != count:
            raise InvalidInput(
                f"merge.weights must be one number, or {count}, one for each branch, but got"
                f" {shown(weights, 100)}"
            )
        # one checkpoint for what is the same
        is_default = weights is None or all(weight == 1 for weight in weights)
        object.__setattr__(self, "weights", None if is_default else weights)

    @classmethod
    def read_values(cls, values: Mapping[str, Any], profile: str) -> dict[str, Any]:
        """Return the values with the branches read on a profile; raises InvalidInput."""
        return {**values, BRANCHES: read_branches(values[BRANCHES], profile)}

    def compositions(self) -> tuple[Composition, ...]:
        """Return the branches."""
        return self.branches

    @property
    def scales(self) -> tuple[float, ...]:
        """The weight of every branch."""
        return (1.0,) * len(self.branches) if self.weights is None else self.weights

    def params(self) -> dict[str, Any]:
        """Return every hyperparameter; the branches as texts with the testbed's defaults."""
        return {**super().params(), BRANCHES: [branch.spec() for branch in self.branches]}

    def identity(self) -> dict[str, Any]:
        """Return what decides on the weights beside the branches, whose own keys enter the key."""
        fields = [field for field, how in _FIELD_OF.items() if self.how == how]
        return {
            "how": self.how,
            "weights": list(self.scales),
            **{field: getattr(self, field) for field in fields},
        }

    def spec(self, profile: str = "testbed") -> str:
        """Return the shortest call that makes this step on a profile, with the branches always."""
        defaults = {name: field.default for name, field in type(self).__dataclass_fields__.items()}
        values = {name: getattr(self, name) for name in defaults if name != BRANCHES}
        arguments = [
            f"{name}={value!r}" for name, value in values.items() if value != defaults[name]
        ]
        return f"{self.name}({', '.join([*(b.spec(profile) for b in self.branches), *arguments])})"

    def check(self, model: PreTrainedModel) -> None:
        """Raise InvalidInput if a step of a branch does not fit the model."""
        for branch in self.branches:
            for step in branch:
                step.check(model)

    def check_texts(self, data: Data) -> None:
        """Raise InvalidInput if a step of a branch asks for more texts than there are."""
        for branch in self.branches:
            for step in branch:
                # which batch of edits a step writes is no matter: edits are no texts
                step.check_texts(data.seen_by(step.name))

    @classmethod
    def suggest(cls, trial: Trial, tuning_context: TuningContext) -> dict[str, Any]:
        """Suggest how to merge, with one weight for all branches."""
        return {
            "how": trial.suggest_categorical("how", (LINEAR, TIES, DARE)),
            "weights": trial.suggest_float("weights", 0.1, 2.0),
        }

    def apply(self, lm: LM, data: Data) -> LM:
        """Merge in place; raises InvalidInput if the branches' weights cannot be merged."""
        branches = [branch_model(self.name, index) for index in range(len(self.branches))]
        counting: dict[str, LM] = {}
        for branch, steps, scale in zip(branches, self.branches, self.scales, strict=True):
            check_mergeable(lm, branch, str(steps))
            if scale:
                counting[str(steps)] = branch
        added = carried(lm, counting)
        start, ends = tensors_of(lm), [tensors_of(branch) for branch in branches]
        mixer = Mixer(self.how, self.scales, self.density, self.drop)
        with torch.no_grad():
            for name, weight in mixer.mixed(start, ends):
                start[name].copy_(weight)
        return dataclasses.replace(lm, grids=_grids(lm, branches), **added)


def _grids(lm: LM, branches: Sequence[LM]) -> dict[str, QuantizationGrid]:
    """Return the grids that the merged weights lie on, measured: a branch's, or the one before.

    Args:
        lm: with the merged weights, and the grids of before.
        branches: the models that were merged.
    """
    grids: dict[str, QuantizationGrid] = {}
    for name, matrix in block_linears(lm.model).items():
        known = [model.grids[name] for model in (*branches, lm) if name in model.grids]
        held = next((grid for grid in known if grid.holds(matrix.weight)), None)
        if held is not None:
            grids[name] = held
    return grids
