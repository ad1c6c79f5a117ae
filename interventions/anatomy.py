"""A decoder's anatomy, asked only here: its blocks, their linear layers, their MLP down-projection, and taps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.errors import InvalidInput


def blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder blocks: the longest list of modules in the model."""
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m)]
    if not lists:
        raise InvalidInput(f"{type(model).__name__} has no list of decoder blocks")
    return max(lists, key=len)


def linears(block: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """(name within the block, layer) of every linear layer of one block."""
    for name, module in block.named_modules():
        if isinstance(module, nn.Linear):
            yield name, module


def block_linears(model: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer in the blocks, by ``<block index>.<name>``: what compression works on."""
    return {
        f"{i}.{name}": linear
        for i, block in enumerate(blocks(model))
        for name, linear in linears(block)
    }


def down_projection(block: nn.Module) -> nn.Linear:
    """The MLP's last linear layer (``down_proj``, ``fc2``, ``dense_4h_to_h``), which writes to the residual stream."""
    mlp = [
        linear for name, linear in linears(block) if "attn" not in name and "attention" not in name
    ]
    if not mlp:
        raise InvalidInput(f"{type(block).__name__} has no linear layer outside attention")
    return mlp[-1]


def check_layers(model: PreTrainedModel, layers: Sequence[int], what: str) -> None:
    """Raise InvalidInput if the model lacks a layer, or one is named twice."""
    have = len(blocks(model))
    for layer in layers:
        if list(layers).count(layer) > 1:
            raise InvalidInput(f"{what} names layer {layer} twice: {tuple(layers)!r}")
        if not 0 <= layer < have:
            raise InvalidInput(
                f"{what} names layer {layer}, but the model has layers 0 to {have - 1}"
            )


@contextmanager
def taps(modules: dict[str, nn.Linear], see: Callable[[str, Tensor], object]) -> Iterator[None]:
    """While open, call ``see(name, inputs)`` with the inputs of each module (…, in); closes itself."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            see(name, args[0].detach())  # a hook that returned something would change the input

        return look

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Rest(Protocol):
    """The pass after a layer; see ``split``."""

    def __call__(self, changed: Tensor, at: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Logits for the layer's output (n, tokens, hidden), at (rows, positions) or everywhere."""


class _Enough(Exception):
    """Ends a forward pass once what was wanted from it is known."""


def hidden_states(model: nn.Module, encoded: Mapping[str, Tensor], layer: int) -> Tensor:
    """The output (n, tokens, hidden) of block ``layer``, with its gradient; the pass ends there."""
    return _run_up_to(model, encoded, layer)[0]


def split(model: PreTrainedModel, encoded: Mapping[str, Tensor], layer: int) -> tuple[Tensor, Rest]:
    """(hidden, rest): block ``layer``'s output (n, tokens, hidden), and the pass from there on, to the logits.

    ``rest(hidden)`` runs the later blocks only, so that many variants of ``hidden`` share what comes before, and gives
    the logits (n, tokens, vocabulary); ``rest(hidden, (rows, positions))`` only those asked for: (asked, vocabulary).
    """
    hidden, wrap = _run_up_to(model, encoded, layer)

    def rest(changed: Tensor, at: tuple[Tensor, Tensor] | None = None) -> Tensor:
        with ExitStack() as opened:
            for block in blocks(model)[: layer + 1]:
                opened.enter_context(_skipped(block, wrap(changed)))
            if at is not None:
                head = model.get_output_embeddings()
                picked = head.register_forward_pre_hook(
                    lambda module, args: (args[0][at], *args[1:])
                )
                opened.callback(picked.remove)
            logits: Tensor = model(**encoded, use_cache=False).logits
        return logits

    return hidden, rest


@contextmanager
def _skipped(block: nn.Module, output: Any) -> Iterator[None]:
    """While open, the block returns ``output`` and computes nothing."""
    own = vars(block).get("forward")  # accelerate gives blocks one
    block.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        if own is None:
            del block.forward  # the class's again
        else:
            block.forward = own


def _run_up_to(
    model: nn.Module, encoded: Mapping[str, Tensor], layer: int
) -> tuple[Tensor, Callable[[Tensor], Any]]:
    seen: list[Any] = []

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(output)
        raise _Enough

    handle = blocks(model)[layer].register_forward_hook(hook)
    try:
        model(**encoded, use_cache=False)
    except _Enough:
        (output,) = seen  # some decoders' blocks return a tuple
        if isinstance(output, tuple):
            return output[0], lambda hidden: (hidden, *output[1:])
        return output, lambda hidden: hidden
    finally:
        handle.remove()
    raise RuntimeError(f"the model's forward pass never reached block {layer}")


def first_inputs(model: nn.Module, encoded: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
    """What the first block is called with: hidden states (n, tokens, hidden), and keyword arguments."""
    seen: list[tuple[Tensor, dict[str, Any]]] = []

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs.pop("hidden_states")
        seen.append((hidden, {k: v for k, v in kwargs.items() if k != "past_key_values"}))
        raise _Enough

    handle = blocks(model)[0].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        model(**encoded, use_cache=False)
    except _Enough:
        return seen[0]
    finally:
        handle.remove()
    raise RuntimeError("the model's forward pass never reached its first block")


class Feeders:
    """What is before the linear layers of one block, seen while the block runs; see ``feeders``.

    Attributes:
        norms: linear layer's name -> the norm whose output is its input, as it is.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.norms: dict[str, nn.Module] = {}
        self._call: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @functools.cached_property
    def _before(self) -> Tensor:
        """The block's output on the first call, while its weights are as they were then."""
        return self._output()

    def _output(self) -> Tensor:
        assert self._call is not None, "the block has not run"
        args, kwargs = self._call
        output = self.block(*args, **kwargs)
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        return hidden

    def _called(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._call = self._call or (args, kwargs)

    @torch.no_grad()
    def scales(self, feeder: nn.Module, names: Sequence[str]) -> bool:
        """Whether scaling the feeder's outputs up and the layers' weights down leaves the block's function as it was.

        Tried out on the first call that was seen, with powers of two, which are exact: where a residual, a router or
        an inner norm reads the outputs too, or the norm adds 1 to its weight, the block's output moves.
        """
        before = self._before
        weights = [linear.weight for name, linear in linears(self.block) if name in names]
        factor = 2.0 ** (torch.arange(weights[0].shape[1], device=weights[0].device) % 3).to(
            weights[0].dtype
        )
        _rescale(feeder, weights, factor)
        after = self._output()
        _rescale(feeder, weights, 1 / factor)
        return bool((after - before).float().norm() <= 1e-3 * before.float().norm())


def _rescale(feeder: nn.Module, weights: Sequence[Tensor], factor: Tensor) -> None:
    scale_output(feeder, factor)
    for weight in weights:
        weight.div_(factor)


@contextmanager
def feeders(block: nn.Module) -> Iterator[Feeders]:
    """While open, notes which norms the block's linear layers read."""
    norms = [
        m
        for m in block.modules()
        if not list(m.children()) and getattr(m, "weight", None) is not None
    ]
    norms = [m for m in norms if isinstance(m.weight, Tensor) and m.weight.dim() == 1]
    found = Feeders(block)
    outputs: dict[nn.Module, Tensor] = {}

    def normed(module: nn.Module, args: Any, output: Tensor) -> None:
        outputs[module] = output

    def fed(name: str, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        for norm, output in outputs.items():
            # a block that flattens its tokens gives its layers a view
            if args[0].data_ptr() == output.data_ptr() and args[0].numel() == output.numel():
                found.norms[name] = norm

    handles = [block.register_forward_pre_hook(found._called, with_kwargs=True)]
    handles += [norm.register_forward_hook(normed) for norm in norms]
    handles += [
        linear.register_forward_pre_hook(functools.partial(fed, name))
        for name, linear in linears(block)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def scale_output(module: nn.Module, factor: Tensor) -> None:
    """Multiply the outputs (…, out) of a norm or a linear layer by ``factor`` (out), in its own weights."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    weight.mul_(factor if weight.dim() == 1 else factor[:, None])
    if isinstance(bias := getattr(module, "bias", None), Tensor):
        bias.mul_(factor)


def gate_partner(block: nn.Module) -> tuple[str, str] | None:
    """(``up_proj``, ``down_proj``) of a gated MLP, down(act(gate(x)) * up(x)): up's outputs scale down's inputs."""
    named = {name.rpartition(".")[2]: name for name, _ in linears(block)}
    if {"gate_proj", "up_proj", "down_proj"} <= set(named):
        return named["up_proj"], named["down_proj"]
    return None
