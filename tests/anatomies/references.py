"""What blocks hold and what their matrices read, by plain passes; no code of interventions/.

A matrix is named ``<block>.<path in the block>``; expert e of fused experts has its number before
the parameter's name: ``0.mlp.experts.3.down_proj``. Weights and inputs are given as in the papers:
W (out, in) and X (tokens, in), in float64, however the module stores them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from tests.anatomies.zoo import Anatomy

_ROUTER = re.compile(r"(^|\.)(gate|router|shared_expert_gate)(\.|$)")


@dataclass(frozen=True)
class Matrix:
    """One weight matrix of a block.

    Attributes:
        parameter: which holds it.
        expert: its index in a parameter of three dimensions.
        transposed: whether it is stored (in, out).
    """

    parameter: nn.Parameter
    expert: int | None = None
    transposed: bool = False

    @property
    def view(self) -> Tensor:
        """Return the weights (out, in), sharing memory with the parameter."""
        stored = self.parameter.data
        if self.expert is not None:
            stored = stored[self.expert]
        return stored.T if self.transposed else stored


def decoder_blocks(model: nn.Module, anatomy: Anatomy) -> nn.ModuleList:
    """Return the decoder blocks, by the path that the anatomy names."""
    block_list = model.get_submodule(anatomy.blocks)
    assert isinstance(block_list, nn.ModuleList)
    return block_list


def matrices(model: nn.Module, anatomy: Anatomy) -> dict[str, Matrix]:
    """Return all weight matrices of the blocks by name: no embedding, head, norm or router."""
    named: dict[str, Matrix] = {}
    for index, block in enumerate(decoder_blocks(model, anatomy)):
        for path, parameter in block.named_parameters():
            leaf = path.rpartition(".")[2]
            if parameter.dim() < 2 or _ROUTER.search(path) or leaf.endswith("_bias"):
                continue
            name = f"{index}.{path.removesuffix('.weight')}"
            if parameter.dim() == 2:
                named[name] = Matrix(
                    parameter, None, anatomy.transposed and _is_conv1d(block, path)
                )
                continue
            for expert in range(len(parameter)):
                stem, _, key = name.rpartition(".")
                named[f"{stem}.{expert}.{key}"] = Matrix(parameter, expert, anatomy.transposed)
    return named


def _is_conv1d(block: nn.Module, path: str) -> bool:
    return isinstance(block.get_submodule(path.rpartition(".")[0]), Conv1D)


def is_router(path: str) -> bool:
    """Return whether a parameter's path in its block is that of a router."""
    return bool(_ROUTER.search(path))


def weights(model: nn.Module, anatomy: Anatomy) -> dict[str, Tensor]:
    """Return copies (out, in), float64, of all matrices of the blocks."""
    return {name: matrix.view.double().clone() for name, matrix in matrices(model, anatomy).items()}


def in_order(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int
) -> list[list[int]]:
    """Return the ids of texts, cut to ``most`` tokens, shortest first, ties in their alphabet."""
    pairs = [(tokenizer.encode(text)[:most], text) for text in texts]
    return [ids for ids, _ in sorted(pairs, key=lambda pair: (len(pair[0]), pair[1]))]


@torch.no_grad()
def inputs(
    model: PreTrainedModel,
    anatomy: Anatomy,
    rows: Sequence[Sequence[int]],
    block: int | None = None,
) -> dict[str, Tensor]:
    """Return the inputs (tokens, in) of every matrix in plain full passes, one text at a time.

    Nothing is padded, so that no mask can be wrong.

    Args:
        model: not changed.
        anatomy: of the model.
        rows: token ids of the texts.
        block: whose matrices; all by default.
    """
    collected: dict[str, list[Tensor]] = {}
    with recorded(model, anatomy, lambda name, x: collected.setdefault(name, []).append(x), block):
        for ids in rows:
            model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    return {name: torch.cat(parts) for name, parts in collected.items()}


@torch.no_grad()
def padded_inputs(
    model: PreTrainedModel, anatomy: Anatomy, rows: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """Return what ``inputs`` returns, from one ragged batch whose padding is taken out.

    Inputs of experts are left out: they are in the router's order, not the texts'.
    """
    longest = max(map(len, rows))
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in rows])
    padded = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in rows])
    real = mask.flatten().bool()
    collected: dict[str, Tensor] = {}

    def see(name: str, x: Tensor) -> None:
        if len(x) == len(real):
            collected[name] = x[real]

    with recorded(model, anatomy, see, None):
        model(input_ids=padded, attention_mask=mask, use_cache=False)
    return collected


@contextmanager
def recorded(
    model: nn.Module, anatomy: Anatomy, see: Callable[[str, Tensor], object], block: int | None
) -> Iterator[None]:
    """While open, call ``see(name, inputs)`` for every matrix that a pass uses."""
    with ExitStack() as opened:
        for index, decoder_block in enumerate(decoder_blocks(model, anatomy)):
            if block is not None and index != block:
                continue
            for path, module in decoder_block.named_modules():
                name = f"{index}.{path}"
                hook = _hook_of(module, name, see, anatomy)
                if hook is not None:
                    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
                    opened.callback(handle.remove)
        yield


def _hook_of(
    module: nn.Module, name: str, see: Callable[[str, Tensor], object], anatomy: Anatomy
) -> Callable[[nn.Module, Any, Any], None] | None:
    if isinstance(module, nn.Linear | Conv1D) and not _ROUTER.search(name):

        def linear_hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            x = args[0] if args else next(iter(kwargs.values()))
            see(name, x.flatten(0, -2).double())

        return linear_hook
    parameter = getattr(module, "down_proj", None)
    if isinstance(parameter, nn.Parameter) and parameter.dim() == 3:

        def experts_hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            hidden, indices = (*args, *kwargs.values())[:2]
            _see_experts(module, name, hidden, indices, see, anatomy)

        return experts_hook
    return None


def _see_experts(
    module: Any,
    name: str,
    hidden: Tensor,
    indices: Tensor,
    see: Callable[[str, Tensor], object],
    anatomy: Anatomy,
) -> None:
    """Show every expert's tokens, one expert after the other; the second matrix's recomputed."""
    hidden = hidden.flatten(0, -2).double()
    indices = indices.reshape(len(hidden), -1)
    for expert in range(len(module.down_proj)):
        x = hidden[(indices == expert).any(1)]
        first = module.gate_up_proj[expert].double()
        see(f"{name}.{expert}.gate_up_proj", x)
        see(f"{name}.{expert}.down_proj", _inner(module, x, first, expert, anatomy))


def _inner(module: Any, x: Tensor, first: Tensor, expert: int, anatomy: Anatomy) -> Tensor:
    if anatomy.family == "GptOss":
        both = x @ first + module.gate_up_proj_bias[expert].double()
        gate, up = both[:, ::2].clamp(max=module.limit), both[:, 1::2]
        up = up.clamp(-module.limit, module.limit)
        return (up + 1) * gate * torch.sigmoid(gate * module.alpha)
    gate, up = F.linear(x, first).chunk(2, dim=-1)
    result: Tensor = module.act_fn(gate) * up
    return result


@dataclass(frozen=True)
class Count:
    """What saved files say of the blocks' weights.

    Attributes:
        weights: how many there are.
        zeros: how many of them are 0.
        bits: average per weight: of a matrix with at most 2^bits values in every group the bits
            and 32 / group; of others 16 for a weight that stayed and 1 for a removed one.
    """

    weights: int
    zeros: int
    bits: float

    @property
    def sparsity(self) -> float:
        """Return the share of zeros."""
        return self.zeros / self.weights


def count_saved(folder: Path, anatomy: Anatomy, bits: int = 0, group: int = 0) -> Count:
    """Count over the safetensors of a checkpoint, whatever classes will hold them.

    Args:
        folder: of the checkpoint.
        anatomy: of the model.
        bits: width of the grid that matrices may be on; 0: none is.
        group: inputs that share a scale.
    """
    total, zeros, bit_sum = 0, 0, 0.0
    for name, stored in _saved(folder, anatomy):
        removed = int((stored == 0).sum())
        total, zeros = total + stored.numel(), zeros + removed
        is_transposed = anatomy.transposed and ("experts" in name or stored.dim() == 2)
        if anatomy.family == "GptOss" and stored.dim() == 2:
            is_transposed = False
        oriented = stored.mT if is_transposed else stored
        if bits and on_a_grid(oriented, bits, group):
            bit_sum += stored.numel() * (bits + 32 / group)
        else:
            bit_sum += 16 * (stored.numel() - removed) + removed
    return Count(total, zeros, bit_sum / total)


def _saved(folder: Path, anatomy: Anatomy) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of every saved matrix of the decoder blocks."""
    path = anatomy.blocks.rpartition(".")[2]
    in_block = re.compile(rf"(^|\.){path}\.\d+\.(.+)$")
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in list(opened.keys()):
                matched = in_block.search(name)
                inside = matched[2] if matched else ""
                apart = "vision_tower" in name or _ROUTER.search(inside) or inside.endswith("bias")
                tensor = opened.get_tensor(name)
                if inside and not apart and tensor.dim() > 1:
                    yield name, tensor


def on_a_grid(weight: Tensor, bits: int, group: int) -> bool:
    """Return whether every group's values are multiples of a step, 2^bits of them in a row.

    Args:
        weight: (…, out, in), in the dtype in which it is stored.
        bits: width of the integers.
        group: consecutive inputs of a group.
    """
    if weight.shape[-1] % group:
        return False
    groups = weight.double().flatten(0, -2).unflatten(-1, (-1, group)).flatten(0, 1)
    width = groups.amax(1).clamp(min=0) - groups.amin(1).clamp(max=0)  # 0 is a value of every grid
    fits = width == 0
    for steps in range(1, 2**bits):
        multiples = groups / (width / steps).clamp(min=1e-30)[:, None]
        fits |= ((multiples - multiples.round()).abs() < 1e-3).all(1)
    return bool(fits.all())
