"""A decoder's anatomy: blocks, layers, taps, and what is said of models without them."""

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from interventions.anatomy import (
    block_linears,
    blocks,
    check_anatomy,
    check_layers,
    check_only_linears,
    down_projection,
    linears,
    residual_writers,
    taps,
)
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from interventions.feeders import Feeder
from interventions.lm import LM
from interventions.weight_matrix import WeightMatrix
from tests.anatomies.references import decoder_blocks
from tests.anatomies.zoo import ANATOMIES, Anatomy
from tests.interventions.test_weight_matrix import Experts


def _bare(anatomy: Anatomy) -> PreTrainedModel:
    """Return a model whose weights are not set, such as one on the meta device."""
    config = anatomy.config()
    name = anatomy.family.removesuffix("Text") + anatomy.head
    model: PreTrainedModel = getattr(transformers, name)(config)
    return model


def test_a_layer_that_the_model_lacks_or_that_is_named_twice_is_an_error(lm: LM) -> None:
    with pytest.raises(
        InvalidInput, match=r"ft\.layers names layer 17, but the model has layers 0 to 5"
    ):
        FT(layers=(1, 17)).check(lm.model)
    with pytest.raises(InvalidInput, match="names layer 6, but"):
        check_layers(lm.model, [6], "layers")
    with pytest.raises(InvalidInput, match="names layer -1, but"):
        check_layers(lm.model, [-1], "layers")
    with pytest.raises(InvalidInput, match=r"layers names layer 2 twice: \(2, 3, 2\)"):
        check_layers(lm.model, [2, 3, 2], "layers")
    check_layers(lm.model, [0, 5], "layers")


def test_the_linear_layers_of_a_llama_are_seven_a_block(lm: LM) -> None:
    names = [name for name, _ in linears(blocks(lm.model)[0])]
    assert names == [
        *(f"self_attn.{part}_proj" for part in "qkvo"),
        *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
    ]
    assert list(block_linears(lm.model))[7:] == [
        f"{i}.{name}" for i in range(1, 6) for name in names
    ]
    block: Any = blocks(lm.model)[0]
    assert down_projection(block).module is block.mlp.down_proj


def test_the_last_layer_outside_attention_writes_to_the_stream() -> None:
    block = nn.ModuleDict({"fc1": nn.Linear(2, 4), "fc2": nn.Linear(4, 2), "attn": nn.Linear(2, 2)})
    assert down_projection(block).weight is block["fc2"].weight
    with pytest.raises(InvalidInput, match="ModuleDict has no linear layer outside attention"):
        down_projection(nn.ModuleDict({"attention": nn.Linear(2, 2)}))


def test_taps_see_inputs_without_gradient_change_nothing_and_close(lm: LM) -> None:
    layer = nn.Linear(2, 3)
    inputs = torch.ones(5, 2, requires_grad=True)
    taken_down: list[tuple[str, Tensor]] = []

    def see(name: str, tensor: Tensor) -> Tensor:
        taken_down.append((name, tensor))
        return tensor + 1  # must not reach the layer

    expected = layer(inputs)
    with pytest.raises(RuntimeError), taps({"up": layer}, see):
        assert torch.equal(layer(inputs), expected)
        raise RuntimeError
    layer(inputs)
    ((name, tensor),) = taken_down
    assert name == "up" and torch.equal(tensor, inputs) and not tensor.requires_grad


@pytest.mark.parametrize("bias", [True, False])
def test_scaled_outputs_are_the_outputs_times_the_factor(bias: bool) -> None:
    factor, inputs = torch.tensor([1.0, 2.0, 4.0]), torch.randn(4, 3)
    for module in (nn.Linear(3, 3, bias=bias), nn.LayerNorm(3, bias=bias), nn.RMSNorm(3)):
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        expected = module(inputs) * factor
        Feeder(module).scale(factor)
        assert torch.allclose(module(inputs), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3)])
def test_scaled_outputs_of_a_conv1d_are_its_outputs_times_the_factor(
    shape: tuple[int, int],
) -> None:
    outputs, width = shape
    module, factor = Conv1D(outputs, width), 2.0 ** torch.arange(outputs)
    nn.init.normal_(module.bias)
    inputs = torch.randn(4, width)
    expected = module(inputs) * factor
    Feeder(WeightMatrix(module, transposed=True)).scale(factor)
    assert torch.allclose(module(inputs), expected, atol=1e-6)


@pytest.mark.parametrize("name", ANATOMIES)
def test_the_matrices_that_write_to_the_stream_are_those_that_a_reader_finds(name: str) -> None:
    """Reference: the paths that the zoo names, read in transformers' code."""
    anatomy = ANATOMIES[name]
    with torch.device("meta"):
        model = _bare(anatomy)
    for block in decoder_blocks(model, anatomy):
        parameters = dict(block.named_parameters())
        expected = {
            id(parameters[path])
            for writer in anatomy.writers
            for path in (writer, f"{writer}.weight")
            if path in parameters
        }
        writers = residual_writers(block)
        assert {id(matrix.parameter) for matrix in writers.values()} == expected
        if len(writers) == 1:
            assert down_projection(block) == next(iter(writers.values()))
        else:
            with pytest.raises(InvalidInput, match=r"has \d down-projections, of experts"):
                down_projection(block)


def test_of_an_mlp_among_other_projections_to_the_stream_the_widest_is_meant() -> None:
    block = nn.ModuleDict(
        {
            "self_attn": nn.ModuleDict({"q_proj": nn.Linear(4, 4)}),
            "fc1": nn.Linear(4, 4),
            "fc2": nn.Linear(4, 4),
            "per_layer_projection": nn.Linear(2, 4),
        }
    )
    assert list(residual_writers(block)) == ["fc2"]
    mlp = nn.ModuleDict({"up": nn.Linear(4, 6), "down": nn.Linear(6, 4)})
    later = nn.ModuleDict({"projection": nn.Linear(2, 4)})
    assert list(residual_writers(nn.ModuleDict({"mlp": mlp, "later": later}))) == ["mlp.down"]


MESSAGES = {
    "mamba": r"^MambaForCausalLM has weights that are not known here: 0\.mixer\.A_log ",
    "llama4_text": r"has weights that are not known here: 0\.feed_forward\.experts\.gate_up_proj",
    "bart": r"^BartForCausalLM reads an encoder \(0\.encoder_attn\): only decoders",
    "bert": r"^BertLMHeadModel reads texts in both directions \(0\.attention\.self is not causal\)",
    "xlm": r"^XLMWithLMHeadModel has 4 lists of decoder blocks: its text model is not known$",
    "t5": r"^T5ForConditionalGeneration has an encoder: only decoders are compressed",
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_model_whose_weights_are_not_all_known_is_refused_in_one_line(kind: str) -> None:
    config = AutoConfig.for_model(kind)
    auto = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    with pytest.raises(InvalidInput, match=MESSAGES[kind]) as refusal:
        check_anatomy(model)
    assert len(str(refusal.value)) < 300
    with pytest.raises(InvalidInput):
        block_linears(model)


def test_a_backend_for_linear_layers_is_refused_where_there_are_other_matrices() -> None:
    for name, held in (("gpt2", "0.attn.c_attn"), ("mixtral", r"0\.mlp\.experts\.0\.gate_up_proj")):
        with torch.device("meta"):
            model = _bare(ANATOMIES[name])
        with pytest.raises(
            InvalidInput, match=rf"^backend='x' knows linear layers only, but {held}"
        ):
            check_only_linears(model, "backend='x'")
    with torch.device("meta"):
        check_only_linears(_bare(ANATOMIES["opt"]), "backend='x'")


@pytest.mark.parametrize(
    ("mlp", "writer"),
    [
        # the first matrix, of attention, reads a stream of four
        ({"down": (6, 4), "up": (4, 6)}, "down"),
        ({"first": (4, 6), "last": (6, 5)}, "last"),
    ],
)
def test_an_mlps_writer_is_as_wide_as_the_stream_or_its_last_matrix(
    mlp: dict[str, tuple[int, int]], writer: str
) -> None:
    layers = {name: nn.Linear(*sizes) for name, sizes in mlp.items()}
    attention = nn.ModuleDict({"q_proj": nn.Linear(4, 4)})
    block = nn.ModuleDict({"self_attn": attention, "mlp": nn.ModuleDict(layers)})
    assert list(residual_writers(block)) == [f"mlp.{writer}"]
    assert down_projection(block).module is layers[writer]


def test_of_two_experts_neither_is_the_blocks_down_projection() -> None:
    experts = Experts()
    experts.register_buffer("_apply_gate", None)
    with pytest.raises(InvalidInput) as error:
        down_projection(nn.ModuleDict({"experts": experts}))
    assert str(error.value) == (
        "ModuleDict has 2 down-projections, of experts: none of them is the block's"
    )
