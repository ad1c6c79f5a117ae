"""Where the text model is: in its own class, in multimodal ones, and what is said of others."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BloomConfig,
    CLIPVisionConfig,
    FalconConfig,
    Gemma3Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MptConfig,
    OpenAIGPTConfig,
    OPTConfig,
    PreTrainedConfig,
    XLNetConfig,
)

from interventions.errors import InvalidInput
from interventions.text_model import blocks, context_length, length_borders, text_config
from tests.anatomies.references import decoder_blocks
from tests.anatomies.zoo import ANATOMIES, POSITIONS


@pytest.mark.parametrize("name", ANATOMIES)
def test_blocks_and_context_are_the_text_models(name: str) -> None:
    model = ANATOMIES[name].model()
    assert blocks(model) is decoder_blocks(model, ANATOMIES[name])
    assert context_length(model) == (None if name == "bloom" else POSITIONS)
    assert text_config(model).hidden_size == model.get_input_embeddings().weight.shape[1] or (
        name == "opt-350m"
    )


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_a_vision_tower_is_not_taken_for_the_text_model_however_deep_it_is(depth: int) -> None:
    text = LlamaConfig(
        hidden_size=16, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2
    )
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=8, num_hidden_layers=depth, num_attention_heads=2
    )
    config = LlavaConfig(text_config=text, vision_config=vision)
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    assert blocks(model) is model.model.language_model.layers
    assert text_config(model).num_hidden_layers == 2


def test_of_several_lists_the_one_that_is_as_long_as_the_configuration_says() -> None:
    class Model(nn.Module):
        def __init__(self, depth: int) -> None:
            super().__init__()
            self.config = LlamaConfig(num_hidden_layers=depth)
            self.norms = nn.ModuleList([nn.LayerNorm(2) for _ in range(4)])
            self.layers = nn.ModuleList([nn.ModuleList([nn.Linear(2, 2)] * 5) for _ in range(3)])

    model = Model(depth=3)
    assert blocks(model) is model.layers
    with pytest.raises(InvalidInput, match=r"^Model has no list of decoder blocks: its text model"):
        blocks(Model(depth=2))


def test_without_a_configuration_only_a_single_list_is_taken() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2)])
    assert blocks(nn.ModuleDict({"layers": layers, "nothing": nn.ModuleList()})) is layers
    with pytest.raises(InvalidInput, match=r"^ModuleDict has 2 lists of decoder blocks"):
        blocks(nn.ModuleDict({"layers": layers, "heads": nn.ModuleList([nn.Linear(2, 2)])}))
    with pytest.raises(InvalidInput, match=r"^Linear has no list of decoder blocks"):
        blocks(nn.Linear(2, 2))


class OnlyConfigured:
    """Stands for a model: nothing but its configuration is read."""

    def __init__(self, config: PreTrainedConfig) -> None:
        self.config = config


@pytest.mark.parametrize(
    ("config", "length"),
    [
        (OPTConfig(max_position_embeddings=100), 100),
        (MptConfig(max_seq_len=100), 100),
        (OpenAIGPTConfig(n_positions=100), 100),
        (FalconConfig(alibi=False, max_position_embeddings=100), 100),
        (FalconConfig(alibi=True, max_position_embeddings=100), None),
        (BloomConfig(seq_length=100), None),
        (XLNetConfig(), None),
        (Gemma3Config(text_config={"max_position_embeddings": 100}), 100),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_context_is_what_the_configuration_says_under_any_name(
    config: PreTrainedConfig, length: int | None
) -> None:
    assert context_length(OnlyConfigured(config)) == length


class TextPart:
    """A multimodal model's configuration, of which the part that decodes counts."""

    def __init__(self, **facts: Any) -> None:
        self._facts = facts

    def get_text_config(self, decoder: bool = False) -> Any:
        return SimpleNamespace(**self._facts if decoder else {"num_hidden_layers": 99})


def configured(**facts: Any) -> Any:
    return SimpleNamespace(config=TextPart(**facts))


def test_a_length_of_nothing_is_no_bound() -> None:
    assert context_length(configured(max_position_embeddings=0, n_positions=7)) == 7
    assert context_length(configured(max_position_embeddings=1, n_positions=7)) == 1


def test_borders_of_lengths_are_named_once_and_in_order() -> None:
    name = "original_max_position_embeddings"
    assert length_borders(configured(**{name: 4096}, rope_parameters={name: 128})) == (128, 4096)
    assert length_borders(configured(**{name: 64}, rope_parameters={name: 64})) == (64,)
    assert length_borders(configured(rope_parameters=None)) == ()


def test_a_single_list_is_taken_whatever_the_configuration_says() -> None:
    class Model(nn.Module):
        def __init__(self, lists: int) -> None:
            super().__init__()
            self.config = TextPart(num_hidden_layers=2)
            for count in range(lists):
                layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3 - count)])
                self.add_module(f"layers_{count}", layers)

    assert len(blocks(Model(lists=1))) == 3
    assert len(blocks(Model(lists=2))) == 2
