"""Up to which sizes a model's small files are read."""

from pathlib import Path
from typing import Any

import pytest

from interventions.errors import InvalidInput
from interventions.model_files import ModelFiles
from interventions.model_source import _refuse_sizes


def files(name: str, document: dict[str, Any]) -> ModelFiles:
    return ModelFiles("a model", Path(), frozenset(), {name: document})


@pytest.mark.parametrize(
    ("name", "key", "most"),
    [
        ("config.json", "num_hidden_layers", 1_000),
        ("config.json", "encoder_layers", 1_000),
        ("config.json", "num_local_experts", 10_000),
        ("config.json", "num_codebooks", 10_000),
        ("config.json", "num_labels", 10_000),
        ("tokenizer_config.json", "extra_ids", 100_000),
        ("tokenizer_config.json", "offset", 100_000),
        ("tokenizer_config.json", "num_madeup_words", 100_000),
    ],
)
def test_a_number_of_parts_may_be_as_large_as_this(name: str, key: str, most: int) -> None:
    _refuse_sizes(files(name, {key: most}))
    _refuse_sizes(files(name, {key: "many"}))
    with pytest.raises(InvalidInput, match=f"{key}'? in {name} is {most + 1}, over {most}"):
        _refuse_sizes(files(name, {key: most + 1}))


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_config_may_have_as_many_values_as_this(name: str) -> None:
    _refuse_sizes(files(name, {"of": list(range(99_999))}))
    with pytest.raises(InvalidInput, match=f"{name} has 100001 values, over 100000"):
        _refuse_sizes(files(name, {"of": list(range(100_000))}))


def test_numbers_of_other_things_are_no_sizes() -> None:
    _refuse_sizes(files("config.json", {"vocab_size": 10**9, "max_position_embeddings": 10**9}))
