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
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.cache_utils import Cache, DynamicCache

from interventions.errors import InvalidInput
from interventions.partial_pass import (
    _same,
    block_calls,
    check_order,
    hidden_states,
    split_pass,
)


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


def test_blocks_called_one_by_one_give_what_the_whole_pass_gives(
    model: Any, encoded: dict[str, Tensor]
) -> None:
    """Each with its own mask: in Qwen 2 some blocks see a window of 4 tokens only."""
    outputs = model(**encoded, output_hidden_states=True).hidden_states
    real, before = encoded["attention_mask"].bool(), wiring(model)
    ((hidden, calls),) = block_calls(model, [encoded])
    assert wiring(model) == before
    assert len(calls) == 3
    for index, (block, call) in enumerate(zip(decoder_blocks(model), calls, strict=True)):
        torch.testing.assert_close(hidden[real], outputs[index][real])
        assert not any(isinstance(value, Cache) for value in (*call.args, *call.kwargs.values()))
        hidden = call(block, hidden)
    norm = model.transformer.ln_f if hasattr(model, "transformer") else model.model.norm
    torch.testing.assert_close(norm(hidden)[real], outputs[3][real])


def test_blocks_that_return_a_list_are_called_like_others(encoded: dict[str, Tensor]) -> None:
    """As GPT-1's do."""
    model = OpenAIGPTLMHeadModel(OpenAIGPTConfig(n_layer=2, n_head=2, n_embd=16, vocab_size=50))
    model.eval()
    last_states: list[Tensor] = []
    handle = model.transformer.h[1].register_forward_hook(
        lambda module, args, output: last_states.append(output[0])
    )
    model(**encoded)
    handle.remove()
    ((hidden, calls),) = block_calls(model, [encoded])
    for block, call in zip(model.transformer.h, calls, strict=True):
        hidden = call(block, hidden)
    torch.testing.assert_close(hidden, last_states[0])
    assert torch.equal(hidden_states(model, encoded, 1), last_states[0])


class Block(nn.Module):
    """Adds a number times a factor."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(
        self, hidden_states: Tensor, scale: float = 1.0, cache: Cache | None = None
    ) -> Tensor:
        return hidden_states + self.number * scale


class Toy(nn.Module):
    """Calls its blocks in any order, with a factor between them, by position or by name."""

    def __init__(self, order: list[int], between: float = 1.0, by_name: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Block(1), Block(10), Block(100)])
        self.order, self.between, self.by_name = order, between, by_name

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> Tensor:
        hidden = input_ids[..., None].float()
        for step, index in enumerate(self.order):
            hidden = self.between * hidden if step else hidden
            if self.by_name:
                hidden = self.layers[index](
                    cache=DynamicCache(), hidden_states=hidden, scale=step + 1
                )
            else:
                hidden = self.layers[index](hidden, step + 1, DynamicCache())
        return hidden


@pytest.mark.parametrize("by_name", [False, True])
def test_hidden_states_are_given_as_the_model_gives_them(
    by_name: bool, encoded: dict[str, Tensor]
) -> None:
    model = Toy([0, 1, 2], by_name=by_name)
    ((hidden, calls),) = block_calls(model, [encoded])
    for block, call in zip(model.layers, calls, strict=True):
        hidden = call(block, hidden)
    assert torch.equal(hidden, encoded["input_ids"][..., None].float() + 1 + 20 + 300)
    assert [call.name for call in calls] == 3 * ["hidden_states" if by_name else None]
    assert [call.kwargs.get("cache", call.args[-1:]) for call in calls] == 3 * [
        None if by_name else (None,)
    ]


@pytest.mark.parametrize(
    ("order", "between", "reason"),
    [
        ([0, 1, 1, 2], 1.0, "it calls its 3 blocks in the order 0, 1, 1, 2"),
        ([0, 2, 1], 1.0, "it calls its 3 blocks in the order 0, 2, 1"),
        ([0, 1], 1.0, "it calls its 3 blocks in the order 0, 1"),
        ([0, 1, 2], 2.0, "block 1 does not read what the block before it wrote"),
    ],
    ids=str,
)
def test_blocks_that_cannot_be_run_one_by_one_are_refused(
    order: list[int], between: float, reason: str, encoded: dict[str, Tensor]
) -> None:
    model = Toy(order, between)
    before = wiring(model)
    message = f"^the blocks of Toy cannot be run one by one: {reason}$"
    with pytest.raises(InvalidInput, match=message):
        list(block_calls(model, [encoded]))
    assert wiring(model) == before


def test_a_block_computes_one_token_once_however_many_batches_there_are(
    encoded: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens: list[int] = []
    forward = Block.forward

    def noted(self: Block, hidden_states: Tensor, *rest: Any) -> Tensor:
        tokens.append(hidden_states[..., 0].numel())
        return forward(self, hidden_states, *rest)

    monkeypatch.setattr(Block, "forward", noted)
    model, second = Toy([0, 1, 2]), {key: value[:, :4] for key, value in encoded.items()}
    states = [hidden for hidden, _ in block_calls(model, [encoded, second])]
    assert tokens == [1, 1, 1]
    assert [hidden.shape for hidden in states] == [(3, 9, 1), (3, 4, 1)]


def test_no_pass_asks_the_model_for_a_cache(model: Any, encoded: dict[str, Tensor]) -> None:
    asked: list[bool] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: asked.append(kwargs["use_cache"]), with_kwargs=True
    )
    hidden, rest = split_pass(model, encoded, 1)
    rest(hidden)
    list(block_calls(model, [encoded]))
    assert len(asked) >= 4 and not any(asked)


def test_of_the_order_of_the_blocks_the_first_20_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"in the order 0, 1, 2(, 1){17}$"):
        check_order(Toy([]), [0, 1, 2] + [1] * 18)


def test_hidden_states_of_another_shape_are_others_though_in_the_same_memory() -> None:
    numbers = torch.zeros(6)
    assert not _same(numbers.view(2, 3), numbers.view(3, 2))
    assert _same(numbers.view(2, 3), numbers.view(2, 3)) and _same(numbers, numbers.clone())
    assert not _same(numbers, numbers + 1)
