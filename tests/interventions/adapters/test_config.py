"""What is still read of an adapter's configuration, and what no longer: on the bounds."""

from typing import Any

import pytest

from interventions.adapters.config import LoraScale, read_scale
from interventions.errors import InvalidInput

GOOD = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}


def test_all_that_a_configuration_says_of_the_scale_is_read() -> None:
    patterns = {"rank_pattern": {"q_proj": 8, "k_proj": 65_536}, "alpha_pattern": {"v_proj": 3}}
    scale = read_scale({**GOOD, **patterns, "use_rslora": True, "base_model_name_or_path": "a/b"})
    assert scale == LoraScale(
        base="a/b",
        rank=2,
        alpha=4.0,
        by_root=True,
        rank_pattern={"q_proj": 8, "k_proj": 65_536},
        alpha_pattern={"v_proj": 3.0},
    )
    assert read_scale(GOOD) == LoraScale("", 2, 4.0, False, {}, {})


@pytest.mark.parametrize("alpha", [1e9, -1e9, 10**9])
def test_an_alpha_of_a_thousand_million_is_the_greatest(alpha: float) -> None:
    assert read_scale({**GOOD, "lora_alpha": alpha}).alpha == alpha
    for greater in (alpha * (1 + 2**-52), alpha * 1.5):
        with pytest.raises(InvalidInput, match="not a number within 1e9"):
            read_scale({**GOOD, "lora_alpha": greater})


def test_a_hundred_thousand_values_are_still_read() -> None:
    """Its four entries, and the modules in one of them."""
    modules = ["x"] * 99_996
    assert read_scale({**GOOD, "target_modules": modules}).rank == 2
    with pytest.raises(InvalidInput, match="has over 100000 values"):
        read_scale({**GOOD, "target_modules": [*modules, "x"]})


@pytest.mark.parametrize(
    "option",
    [
        {"runtime_config": {"ephemeral_gpu_offload": True}},
        {"loftq_config": {"ephemeral_gpu_offload": False}},
    ],
)
def test_an_option_that_is_on_is_refused_whatever_it_is_called(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="only plain LoRA is merged here"):
        read_scale({**GOOD, **option})


@pytest.mark.parametrize("beginning", [True, False, None, "gaussian", "eva", "orthogonal"])
def test_a_beginning_that_leaves_the_base_model_as_it_is_is_read(beginning: object) -> None:
    assert read_scale({**GOOD, "init_lora_weights": beginning}) == read_scale(GOOD)
