"""What an adapter's configuration says, and refusals of all that is not plain LoRA.

peft runs what a configuration names: a class to make, a regular expression to match, a change of
the base weights before the adapter is loaded. Here only numbers are read from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interventions.errors import InvalidInput, shown
from interventions.small_json import number_of_values

CONFIG = "adapter_config.json"
_MOST_VALUES = 100_000  # of an adapter's config
_MOST_RANK = 65_536  # of an adapter
_MOST_SHOWN = 60  # characters of what a file says
_BASE = "base_model_name_or_path"
# said of where it was trained, or how: of no weight of the adapter
_HARMLESS = frozenset(
    (
        *("alpha_pattern", "auto_mapping", "exclude_modules", "fan_in_fan_out", "inference_mode"),
        *("layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core"),
        *("peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern", "revision"),
        *("target_modules", "task_type", "use_rslora", "eva_config", _BASE),
    )
)
# beginnings of the training that leave the base model's weights as they are
_PLAIN_BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")
# names of modules; peft takes them for regular expressions, and one can take for ever
_PLAIN_PATTERN = re.compile(r"\^?[A-Za-z0-9_.]{1,500}")


@dataclass(frozen=True)
class LoraScale:
    """How strong the adapters of a configuration are, and of which rank.

    Attributes:
        base: the model that they were trained on, as the configuration calls it; "" if it does not.
        rank: of all modules but those of ``rank_pattern``.
        alpha: of all modules but those of ``alpha_pattern``.
        by_root: whether alpha is divided by the root of the rank (rsLoRA).
        rank_pattern: ends of modules' names -> their rank.
        alpha_pattern: the same for alpha.
    """

    base: str
    rank: int
    alpha: float
    by_root: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]

    def rank_of(self, module: str) -> int:
        """Return the rank of a module's adapter."""
        return self.rank_pattern.get(_pattern_of(self.rank_pattern, module), self.rank)

    def scaling_of(self, module: str) -> float:
        """Return what a module's change B A is multiplied with.

        Example:
            >>> LoraScale("", 4, 8.0, False, {"q_proj": 2}, {}).scaling_of("0.attn.q_proj")
            4.0
        """
        alpha = self.alpha_pattern.get(_pattern_of(self.alpha_pattern, module), self.alpha)
        rank = self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.by_root else rank)


def read_scale(config: Mapping[str, Any]) -> LoraScale:
    """Return what a configuration says of its adapters.

    Args:
        config: what adapter_config.json holds.

    Raises:
        InvalidInput: it is no plain LoRA, or a value is not valid.
    """
    if number_of_values(config) > _MOST_VALUES:
        raise InvalidInput(f"{CONFIG} has over {_MOST_VALUES} values")
    kind = config.get("peft_type")
    if kind != "LORA":
        raise InvalidInput(
            f"its type is {shown(kind, _MOST_SHOWN)}, but only LORA can be merged here: merge it"
            " with peft (merge_and_unload), save the model, and give its folder as the model"
        )
    _refuse_extras(config)
    return LoraScale(
        base=_text(config, _BASE),
        rank=_whole("r", config.get("r")),
        alpha=_number("lora_alpha", config.get("lora_alpha")),
        by_root=_yes_or_no("use_rslora", config.get("use_rslora", False)),
        rank_pattern={
            name: _whole(f"rank_pattern.{name}", value)
            for name, value in _patterns(config, "rank_pattern").items()
        },
        alpha_pattern={
            name: _number(f"alpha_pattern.{name}", value)
            for name, value in _patterns(config, "alpha_pattern").items()
        },
    )


def _refuse_extras(config: Mapping[str, Any]) -> None:
    """Refuse what makes more of an adapter than B A, or trains it on other weights than these."""
    if config.get("bias", "none") != "none":
        raise InvalidInput(
            f"it has trained biases (bias={shown(config['bias'], _MOST_SHOWN)}), which are not"
            " merged here"
        )
    beginning = config.get("init_lora_weights")
    if not isinstance(beginning, bool | str | None) or beginning not in _PLAIN_BEGINNINGS:
        raise InvalidInput(
            f"init_lora_weights is {shown(beginning, _MOST_SHOWN)}, which changes the base model"
            " before it is trained: save the adapter with peft's"
            " path_initial_model_for_weight_conversion"
        )
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        raise InvalidInput(
            f"its task is {shown(config['task_type'], _MOST_SHOWN)}, not CAUSAL_LM (the next token)"
        )
    known = _HARMLESS | {"bias", "init_lora_weights", "task_type"}
    for key, value in config.items():
        # peft writes the options that are off, too
        if key not in known and value and not _is_off(key, value):
            raise InvalidInput(
                f"{shown(key, _MOST_SHOWN)} in {CONFIG} is {shown(value, _MOST_SHOWN)}, but only"
                " plain LoRA is merged here: merge it with peft (merge_and_unload), and give the"
                " model's folder"
            )


def _is_off(key: str, value: object) -> bool:
    return key == "runtime_config" and value == {"ephemeral_gpu_offload": False}


def _patterns(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    patterns = config.get(key) or {}
    if not isinstance(patterns, Mapping):
        raise InvalidInput(f"{key} in {CONFIG} is {shown(patterns, _MOST_SHOWN)}, not an object")
    for pattern in patterns:
        if not _PLAIN_PATTERN.fullmatch(pattern):
            raise InvalidInput(
                f"{key} in {CONFIG} has the regular expression {shown(pattern, _MOST_SHOWN)}, which"
                " is not run: name the modules"
            )
    return patterns


def _pattern_of(patterns: Mapping[str, Any], module: str) -> str:
    """Return the first pattern that is the end of a module's name, or all of it, as peft has it."""
    for pattern in patterns:
        prefix = "" if pattern.startswith("^") else r"(.*\.)?"
        if re.fullmatch(rf"{prefix}({pattern.removeprefix('^')})", module):
            return pattern
    return ""


def _text(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isprintable():
        raise InvalidInput(f"{key} in {CONFIG} is {shown(value, _MOST_SHOWN)}, not a name")
    return value


def _whole(key: str, value: object) -> int:
    if type(value) is int and 1 <= value <= _MOST_RANK:
        return value
    raise InvalidInput(
        f"{shown(key, _MOST_SHOWN)} in {CONFIG} is {shown(value, _MOST_SHOWN)}, not an integer from"
        f" 1 to {_MOST_RANK}"
    )


def _number(key: str, value: object) -> float:
    # not True, which is an int, and not NaN, which is within nothing
    if isinstance(value, int | float) and type(value) is not bool and abs(value) <= 1e9:
        return float(value)
    raise InvalidInput(
        f"{shown(key, _MOST_SHOWN)} in {CONFIG} is {shown(value, _MOST_SHOWN)}, not a number within"
        " 1e9"
    )


def _yes_or_no(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidInput(f"{key} in {CONFIG} is {shown(value, _MOST_SHOWN)}, not true or false")
