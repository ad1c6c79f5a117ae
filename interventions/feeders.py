"""What feeds a block's matrices, and whether a scale can move from the matrices into it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interventions.anatomy import linears
from interventions.partial_pass import states_of
from interventions.weight_matrix import WeightMatrix, is_fused_experts, routers

_TOLERANCE = 1e-3  # relative change of a block's output that counts as none
_HALF_TOLERANCE = 2e-2  # where half precision rounds 1 + weight; a wrong guess moves it by half


@dataclass(frozen=True, eq=False)
class Feeder:
    """What gives matrices their inputs, and can be scaled in place of them: see ``scale``.

    Attributes:
        target: a norm, or the matrix before.
        rows: (in), which output of the target each input is; None: they are the same. One output
            may be several inputs: heads of values that several query heads read.
        added_one: whether the norm multiplies by 1 + weight, as Gemma's.
    """

    target: nn.Module | WeightMatrix
    rows: Tensor | None = None
    added_one: bool = False

    @torch.no_grad()
    def scale(self, factor: Tensor) -> None:
        """Scale what it gives by ``factor`` (in), equal where one output is several inputs."""
        weight, bias = self.target.weight, getattr(self.target, "bias", None)
        assert isinstance(weight, Tensor)
        if self.rows is not None:
            outputs = factor.new_ones(len(weight))
            outputs[self.rows] = factor
            factor = outputs
        if weight.dim() == 2:
            weight.mul_(factor[:, None])
        elif self.added_one:
            weight.copy_((weight.float() + 1) * factor.float() - 1)
        else:
            weight.mul_(factor)
        if isinstance(bias, Tensor):
            bias.mul_(factor)

    def shared(self, values: Tensor) -> Tensor:
        """Return (in) values, averaged over the inputs that are one output of the target.

        Example:
            >>> Feeder(nn.Linear(2, 2), torch.tensor([0, 0, 1])).shared(torch.tensor([1.0, 3, 5]))
            tensor([2., 2., 5.])
        """
        if self.rows is None:
            return values
        sums = values.new_zeros(int(self.rows.max()) + 1)
        counts = sums.clone().index_add(0, self.rows, torch.ones_like(values))
        return (sums.index_add(0, self.rows, values) / counts)[self.rows]


class BlockReaders:
    """The matrices that read each norm of a block, noted while the block runs; see ``feeders``.

    Attributes:
        norms: matrix's name -> the norm whose output, unchanged, is its input. Matrices of experts
            are in it too.
        routers: of each norm, the routers' weights (experts, hidden) that read its output.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.norms: dict[str, nn.Module] = {}
        self.routers: dict[nn.Module, list[Tensor]] = {}
        self._call: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @functools.cached_property
    def _first_output(self) -> Tensor:
        """The block's output on the first call, by the weights of when this is first asked."""
        return self._output()

    def _output(self) -> Tensor:
        assert self._call is not None, "the block has not run"
        args, kwargs = self._call
        return states_of(self.block(*args, **kwargs))

    def note_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Remember the block's first call: a hook."""
        self._call = self._call or (args, kwargs)

    def weights(self, feeder: Feeder, names: Sequence[str]) -> list[Tensor]:
        """Return the weights (out, in) that a scale moves out of: the matrices', and routers'."""
        weights = [matrix.weight for name, matrix in linears(self.block) if name in names]
        if isinstance(feeder.target, nn.Module):
            weights += self.routers.get(feeder.target, [])
        return weights

    @torch.no_grad()
    def scales(self, feeder: Feeder, names: Sequence[str]) -> bool:
        """Tell whether a scale can be moved from matrices' weights into their feeder.

        It can if scaling the feeder's outputs up and the weights down leaves the block's function
        as it was. Tried out on the block's first call: where a residual, an inner norm or an
        activation that is not proportional reads the outputs too, the block's output moves. It
        cannot where that call does not tell, as of an expert to which none of its tokens was sent.

        Args:
            feeder: of the matrices.
            names: matrices of the block that read its outputs.
        """
        output_before = self._first_output
        weights = self.weights(feeder, names)
        inputs = torch.arange(weights[0].shape[1], device=weights[0].device)
        if feeder.rows is not None:
            inputs = feeder.rows
        # powers of two are exact, so that scaling back restores the very same weights
        factor = 2.0 ** (inputs % 3).to(weights[0].dtype)
        before = feeder.target.weight
        assert isinstance(before, Tensor)
        unchanged = before.clone()
        feeder.scale(factor)
        effect = (self._output() - output_before).float().norm()
        for weight in weights:
            weight.div_(factor)
        change = (self._output() - output_before).float().norm()
        for weight in weights:
            weight.mul_(factor)
        feeder.scale(1 / factor)
        before.copy_(unchanged)  # 1 + weight is rounded on the way
        if not change <= effect / 10 or effect == 0:
            return False  # also where few tokens come that way: their share of the output is small
        rounds = feeder.added_one and before.dtype != torch.float32
        tolerance = _HALF_TOLERANCE if rounds else _TOLERANCE
        return bool(change <= tolerance * output_before.float().norm())


@contextmanager
def feeders(block: nn.Module) -> Iterator[BlockReaders]:
    """While open, note which norms the block's matrices read."""
    readers = BlockReaders(block)
    outputs: dict[nn.Module, Tensor] = {}

    def note_output(module: nn.Module, args: Any, output: Tensor) -> None:
        outputs[module] = output

    def norms_of(inputs: Tensor) -> Iterator[nn.Module]:
        for norm, output in outputs.items():
            # a block that flattens its tokens gives its matrices a view of the norm's output
            same_memory = inputs.data_ptr() == output.data_ptr()
            if same_memory and inputs.numel() == output.numel():
                yield norm

    def note_input(
        names: Sequence[str], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        inputs = args[0] if args else kwargs["hidden_states"]
        for norm in norms_of(inputs):
            readers.norms |= dict.fromkeys(names, norm)

    def note_router(module: nn.Module, args: tuple[Any, ...]) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        for norm in norms_of(args[0]):
            readers.routers.setdefault(norm, []).append(weight)

    handles = [block.register_forward_pre_hook(readers.note_call, with_kwargs=True)]
    handles += [norm.register_forward_hook(note_output) for norm in _norms(block)]
    for module, names in _names_by_module(block).items():
        hook = functools.partial(note_input, names)
        handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    handles += [
        router.register_forward_pre_hook(note_router)
        for router in routers(block)
        if isinstance(getattr(router, "weight", None), Tensor)
    ]
    try:
        yield readers
    finally:
        for handle in handles:
            handle.remove()


def _names_by_module(block: nn.Module) -> dict[nn.Module, list[str]]:
    """Return the matrices that read a module's input: an expert's second matrix does not."""
    names: dict[nn.Module, list[str]] = {}
    for name, matrix in linears(block):
        if not (is_fused_experts(matrix.module) and matrix.key == "down_proj"):
            names.setdefault(matrix.module, []).append(name)
    return names


def _norms(block: nn.Module) -> list[nn.Module]:
    """Return the modules without children that have a weight of one dimension."""
    leaves = [module for module in block.modules() if not list(module.children())]
    weights = [getattr(module, "weight", None) for module in leaves]
    return [
        module
        for module, weight in zip(leaves, weights, strict=True)
        if isinstance(weight, Tensor) and weight.dim() == 1
    ]


def matrix_feeders(
    block: nn.Module, heads: int
) -> Iterator[tuple[list[Feeder], tuple[str, ...], str]]:
    """Yield what may feed matrices from other matrices, by the names that models give them.

    Args:
        block: of a decoder.
        heads: of its attention.

    Yields:
        (feeders of which one may be right, names of the matrices that hold them, name of the matrix
        that is fed); whether one is right, ``BlockReaders.scales`` tells.
    """
    matrices = dict(linears(block))
    for name, matrix in matrices.items():
        parent, _, leaf = name.rpartition(".")
        for before, kinds in _BEFORE.get(leaf, {}).items():
            feeder_name = f"{parent}.{before}" if parent else before
            if feeder_name in matrices:
                fed_by = matrices[feeder_name]
                rows = [
                    candidate
                    for kind in kinds
                    for candidate in _rows(kind, fed_by.out_features, matrix.in_features, heads)
                ]
                device = matrix.weight.device
                yield [Feeder(fed_by, row.to(device)) for row in rows], (feeder_name,), name


# matrix -> the matrix that gives it its inputs -> which of the outputs they may be
_BEFORE: dict[str, dict[str, tuple[str, ...]]] = {
    "down_proj": {"up_proj": ("all",), "gate_up_proj": ("last", "odd")},
    "fc2": {"fc1": ("all",)},
    "fc_out": {"fc_in": ("all",)},
    "dense_4h_to_h": {"dense_h_to_4h": ("all",)},
    "c_proj": {"c_fc": ("all",), "c_attn": ("last",)},
    "o_proj": {"v_proj": ("all", "grouped"), "qkv_proj": ("last", "grouped-last")},
    "out_proj": {"v_proj": ("all", "grouped"), "Wqkv": ("last", "grouped-last")},
    "dense": {"v_proj": ("all", "grouped"), "query_key_value": ("last", "by-head")},
}


def _rows(kind: str, outputs: int, inputs: int, heads: int) -> Iterator[Tensor]:
    """Yield (in), which output each input may be; nothing where the sizes speak against it."""
    if kind == "all" and outputs == inputs:
        yield torch.arange(inputs)
    elif kind == "last" and outputs > inputs:
        yield torch.arange(outputs - inputs, outputs)
    elif kind == "odd" and outputs == 2 * inputs:
        yield torch.arange(1, outputs, 2)
    elif kind == "by-head" and outputs == 3 * inputs:
        # each head's query, key and value stand together
        yield torch.arange(outputs).view(heads, 3, -1)[:, 2].flatten()
    elif kind.startswith("grouped") and inputs % heads == 0:
        size = inputs // heads
        values = outputs if kind == "grouped" else (outputs - inputs) // 2
        if values % size == 0 and 0 < values < inputs and heads % (values // size) == 0:
            readers = heads // (values // size)  # query heads of a head of values
            head_rows = torch.arange(outputs - values, outputs).view(-1, size)
            yield head_rows.repeat_interleave(readers, 0).flatten()
