"""A step of a composition that somebody's own function makes, without being registered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from transformers import PreTrainedModel

from interventions.base import INTERVENTIONS, Category, Intervention
from interventions.data.base import Data
from interventions.errors import InvalidInput, one_of, shown
from interventions.lm import LM
from interventions.options import EMPTY

Function = Callable[[PreTrainedModel], PreTrainedModel | None]

_LONGEST_NAME = 60  # characters
_LONGEST_VALUE = 200  # characters of a param's value


@dataclass(frozen=True)
class FunctionStep(Intervention, category="training"):
    """What a function did to a model, or code between two calls.

    It is made by ``function_step``, and has a name, a category and params of its own.
    """

    def apply(self, lm: LM, data: Data) -> LM:
        """Refuse: a run applies it where the function is at hand.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput(f"{self.name} was somebody's own function: it cannot be applied again")

    def params(self) -> dict[str, Any]:
        """Return what the caller said of the step."""
        return dict(vars(self)["own_params"])

    def spec(self, profile: str = "testbed") -> str:
        """Return the step with its params, as a composition writes it."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.params().items())
        return f"{self.name}({arguments})" if arguments else self.name


# no name that a composition's text may use
INTERVENTIONS.remove(FunctionStep.name)


def function_step(
    name: str, category: str = "training", params: Mapping[str, Any] | None = None
) -> FunctionStep:
    """Return a step of a name, a category and params.

    Args:
        name: letters, digits and _, and no name of a registered intervention.
        category: "editing", "compression", "unlearning", "training" or "merging": which criteria
            judge it.
        params: of the step: numbers, texts, booleans.

    Raises:
        InvalidInput: one of them is something else.

    Example:
        >>> function_step("mine", params={"rate": 0.1}).spec()
        'mine(rate=0.1)'
        >>> function_step("lora")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: name 'lora' is that of a registered intervention: ...
    """
    if not isinstance(name, str) or not name.isidentifier() or len(name) > _LONGEST_NAME:
        raise InvalidInput(
            f"name must be letters, digits and _, at most {_LONGEST_NAME}, as of a variable, but"
            f" got {shown(name, 100)}"
        )
    if name in INTERVENTIONS.all() or name.lower() == EMPTY:
        raise InvalidInput(
            f"name {name!r} is that of a registered intervention: a run's reader would take your"
            " step for it; give another one"
        )
    one_of("category", category, get_args(Category))
    step = FunctionStep()
    about = {
        "name": name,
        "category": category,
        "title": name,
        "family": category,
        "own_params": {key: _plain(name, key, value) for key, value in (params or {}).items()},
    }
    for attribute, value in about.items():
        object.__setattr__(step, attribute, value)
    return step


def changed_model(function: Function, lm: LM, name: str) -> LM:
    """Return a model after a function that changes it in place, or returns another.

    Args:
        function: takes the transformers model.
        lm: the model so far.
        name: of the step, for errors.

    Raises:
        InvalidInput: it returns something else than a model or None.
    """
    returned: Any = function(lm.model)
    if returned is None or returned is lm.model:
        return lm
    if isinstance(returned, LM):
        return returned
    if not isinstance(returned, PreTrainedModel):
        raise InvalidInput(
            f"{name} must return a transformers model, or None where it changed the one it got, but"
            f" returned {shown(returned, 60)}"
        )
    keys = dict(lm.edited_keys)
    return LM(returned, lm.tokenizer, dict(lm.grids), lm.prompt_format, keys)


def _plain(step: str, key: object, value: object) -> Any:
    """Return a param's value as JSON would hold it."""
    if not isinstance(key, str) or not key.isidentifier():
        raise InvalidInput(
            f"params of {step} must have names as variables have, but got {shown(key, 60)}"
        )
    is_plain = isinstance(value, str | int | float | bool | list | tuple)
    try:
        text = json.dumps(value, allow_nan=False) if is_plain else ""
    except (TypeError, ValueError):
        text = ""
    if not text or len(text) > _LONGEST_VALUE or "|" in text:
        raise InvalidInput(
            f"{step}.{key} must be a finite number, a boolean, a text without | or a list of these,"
            f" of at most {_LONGEST_VALUE} characters, but got {shown(value, 60)}"
        )
    return json.loads(text)
