"""Passes that start or end at a layer, against plain full passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from interventions.partial_pass import hidden_states, split_pass


def gpt2() -> Any:
    shape = {"n_layer": 3, "n_head": 2, "n_embd": 16, "n_positions": 32, "vocab_size": 50}
    return GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **shape))


def qwen2() -> Any:
    shape = {
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "hidden_size": 16,
    }
    windows = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    return Qwen2ForCausalLM(Qwen2Config(intermediate_size=24, vocab_size=50, **windows, **shape))


def llama() -> Any:
    shape = {
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "hidden_size": 16,
    }
    return LlamaForCausalLM(LlamaConfig(intermediate_size=24, vocab_size=50, **shape))


MODELS = {"gpt2": gpt2, "qwen2": qwen2, "llama": llama}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    """A tiny random model in float64."""
    torch.manual_seed(0)
    return MODELS[request.param]().double().eval().requires_grad_(False)


@pytest.fixture
def encoded() -> dict[str, Tensor]:
    """Three rows of 9, 6 and 2 tokens, padded on the right."""
    ids = torch.randint(1, 50, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] * 2 + [0] * 7])
    return {"input_ids": ids, "attention_mask": mask}


def decoder_blocks(model: Any) -> Any:
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


@contextmanager
def shifted(block: nn.Module, shift: Tensor) -> Iterator[None]:
    """While open, the block's output is shifted."""

    def add(module: nn.Module, args: object, output: Any) -> Any:
        return (output[0] + shift, *output[1:]) if isinstance(output, tuple) else output + shift

    handle = block.register_forward_hook(add)
    yield
    handle.remove()


def wiring(model: nn.Module) -> list[tuple[str, bool, int, int]]:
    """Return, by module, whether its forward is its class's, and how many hooks it has."""
    return [
        (
            name,
            "forward" in vars(module),
            len(module._forward_pre_hooks),
            len(module._forward_hooks),
        )
        for name, module in model.named_modules()
    ]


def raising(*args: object, **kwargs: object) -> None:
    raise ZeroDivisionError("must not run")


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_pass_taken_up_at_a_layer_is_the_plain_pass(
    model: Any, encoded: dict[str, Tensor], layer: int
) -> None:
    """Reference: whole passes with a hook that shifts the block's output, in float64."""
    real = encoded["attention_mask"].bool()
    plain = model(**encoded, output_hidden_states=True)
    before = wiring(model)  # transformers' own hooks for the line above stay
    hidden, rest = split_pass(model, encoded, layer)
    if layer < 2:
        torch.testing.assert_close(hidden[real], plain.hidden_states[layer + 1][real])
    torch.testing.assert_close(rest(hidden)[real], plain.logits[real])

    generator = torch.Generator().manual_seed(2)
    shift = torch.randn(hidden.shape, generator=generator, dtype=torch.float64)
    direction = (
        torch.randn(plain.logits.shape, generator=generator, dtype=torch.float64) * real[..., None]
    )
    changed = (hidden + shift).requires_grad_()
    ours = rest(changed)
    (ours * direction).sum().backward()
    shift.requires_grad_()
    with shifted(decoder_blocks(model)[layer], shift):
        theirs = model(**encoded).logits
    (theirs * direction).sum().backward()
    torch.testing.assert_close(ours[real], theirs[real])
    assert changed.grad is not None and shift.grad is not None
    assert shift.grad[real].abs().max() > 1e-6
    torch.testing.assert_close(changed.grad[real], shift.grad[real])

    torch.testing.assert_close(
        rest(hidden)[real], plain.logits[real]
    )  # once more: nothing of the call before is left
    places = (
        torch.tensor([2, 0, 1, 0, 0]),
        torch.tensor([1, 8, 5, 0, 8]),
    )  # rows, positions: out of order, one twice
    again = (hidden + shift).detach().requires_grad_()
    picked = rest(again, places)
    torch.testing.assert_close(picked, theirs[places])
    (picked * direction[places]).sum().backward()
    shift.grad = None
    with shifted(decoder_blocks(model)[layer], shift):
        (model(**encoded).logits[places] * direction[places]).sum().backward()
    assert again.grad is not None and shift.grad is not None
    torch.testing.assert_close(again.grad[real], shift.grad[real])
    assert wiring(model) == before
    assert torch.equal(model(**encoded).logits, plain.logits)


def test_a_pass_taken_up_at_a_layer_runs_only_what_comes_after(
    model: Any, encoded: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(decoder_blocks(model)[0])
    forward, ran = kind.forward, list[nn.Module]()

    def noted(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        ran.append(self)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(kind, "forward", noted)
    hidden, rest = split_pass(model, encoded, 1)
    assert ran == list(decoder_blocks(model)[:2])
    rest(hidden)
    rest(hidden)
    assert ran[2:] == 2 * list(decoder_blocks(model)[2:])
    ran.clear()
    hidden_states(model, encoded, 0)
    assert ran == list(decoder_blocks(model)[:1])


def test_a_pass_that_fails_leaves_the_blocks_as_they_were(
    model: Any, encoded: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, logits = wiring(model), model(**encoded).logits
    hidden, rest = split_pass(model, encoded, 1)
    last = decoder_blocks(model)[2]
    with monkeypatch.context() as patch:
        patch.setattr(last, "forward", raising)
        for places in (None, (torch.tensor([0]), torch.tensor([1]))):
            with pytest.raises(ZeroDivisionError):
                rest(hidden, places)
        with pytest.raises(ZeroDivisionError):
            split_pass(model, encoded, 2)
    assert wiring(model) == before
    assert torch.equal(model(**encoded).logits, logits)


def test_a_block_keeps_a_forward_of_its_own(encoded: dict[str, Tensor]) -> None:
    model = llama().double().eval()
    class_forward = model.model.layers[0].forward
    calls: list[int] = []

    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return class_forward(*args, **kwargs)

    model.model.layers[0].forward = noted
    hidden, rest = split_pass(model, encoded, 1)
    rest(hidden)
    model(**encoded)
    assert len(calls) == 2


def test_hidden_states_are_those_that_the_model_gives_out(
    model: Any, encoded: dict[str, Tensor]
) -> None:
    """Reference: transformers' own ``output_hidden_states``; the last has passed the norm."""
    outputs = model(**encoded, output_hidden_states=True).hidden_states
    real = encoded["attention_mask"].bool()
    for layer in (0, 1):
        torch.testing.assert_close(
            hidden_states(model, encoded, layer)[real], outputs[layer + 1][real]
        )
    norm = model.transformer.ln_f if hasattr(model, "transformer") else model.model.norm
    torch.testing.assert_close(norm(hidden_states(model, encoded, 2))[real], outputs[3][real])
