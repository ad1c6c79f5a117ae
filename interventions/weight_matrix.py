"""A block's weight matrices, whatever holds them: linear layers, Conv1D, experts fused into one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

# what transformers' decorator ``use_experts_implementation`` tells about a module of fused experts
_EXPERTS_FACTS = ("has_gate", "has_bias", "is_transposed", "is_concatenated", "_apply_gate")
_ROUTER_NAMES = ("gate", "router", "shared_expert_gate")


@dataclass(unsafe_hash=True)
class WeightMatrix:
    """One weight matrix of a block: a linear layer's, a Conv1D's, or one of a fused expert's.

    Attributes:
        module: what holds it: a linear layer, a Conv1D, or all experts of a block.
        key: the name of its parameter in the module.
        expert: which of the experts it is of; None outside fused experts.
        transposed: whether the parameter is stored as (in, out).

    Example:
        >>> matrix = WeightMatrix(Conv1D(nf=3, nx=2), "weight", transposed=True)
        >>> matrix.weight.shape, matrix.in_features, matrix.out_features
        (torch.Size([3, 2]), 2, 3)
        >>> with torch.no_grad():
        ...     _ = matrix.weight.fill_(1.0)
        >>> matrix.module.weight.sum().item()
        6.0
    """

    module: nn.Module
    key: str = "weight"
    expert: int | None = None
    transposed: bool = False

    @property
    def parameter(self) -> nn.Parameter:
        """Return the parameter that holds it, with the other experts' where they are fused."""
        parameter = getattr(self.module, self.key)
        assert isinstance(parameter, Tensor)
        return parameter  # type: ignore[return-value]

    @property
    def weight(self) -> Tensor:
        """Return the matrix (out, in): a view, so that a change in place is one of the model.

        A linear layer's is the parameter itself.
        """
        matrix: Tensor = self.parameter
        if self.expert is not None:
            matrix = matrix[self.expert]
        return matrix.T if self.transposed else matrix

    @weight.setter
    def weight(self, values: Tensor) -> None:
        # ``matrix.weight += change`` ends here, with the view that was changed already
        with torch.no_grad():
            self.weight.copy_(values)

    @property
    def bias(self) -> Tensor | None:
        """Return the bias (out) that is added to the matrix's outputs: a view; None without one."""
        if self.expert is None:
            bias = getattr(self.module, "bias", None)
            return bias if isinstance(bias, Tensor) else None
        biases = getattr(self.module, f"{self.key}_bias", None)
        return biases[self.expert] if isinstance(biases, Tensor) else None

    @property
    def in_features(self) -> int:
        """Return the number of inputs."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Return the number of outputs."""
        return self.weight.shape[0]


def is_fused_experts(module: nn.Module) -> bool:
    """Tell whether a module holds all experts of a block in parameters of three dimensions.

    Only such experts as transformers describes by itself are known, with their layout.
    """
    return all(hasattr(module, fact) for fact in _EXPERTS_FACTS)


def weight_matrices(block: nn.Module) -> Iterator[tuple[str, WeightMatrix]]:
    """Yield (name within the block, matrix) of every weight matrix of one block.

    Routers, norms and an adapter's matrices are left out. An expert's have its number in their
    names: ``mlp.experts.3.down_proj``.
    """
    left_out = routers(block)
    for name, module in block.named_modules():
        if module in left_out or _is_adapter(name):
            continue
        # an adapted layer holds the one that it adapts
        layer_name = name.removesuffix(".base_layer")
        if isinstance(module, nn.Linear):
            yield layer_name, WeightMatrix(module)
        elif isinstance(module, Conv1D):
            yield layer_name, WeightMatrix(module, transposed=True)
        elif is_fused_experts(module):
            yield from _expert_matrices(name, module)


def first_matrix(module: nn.Module) -> str:
    """Return the key of the first of fused experts' two parameters; the second is down_proj."""
    return "gate_up_proj" if module.has_gate else "up_proj"


def _expert_matrices(name: str, module: nn.Module) -> Iterator[tuple[str, WeightMatrix]]:
    keys = (first_matrix(module), "down_proj")
    prefix = f"{name}." if name else ""
    for expert in range(len(getattr(module, keys[0]))):
        for key in keys:
            matrix = WeightMatrix(module, key, expert, bool(module.is_transposed))
            yield f"{prefix}{expert}.{key}", matrix


def unknown_matrices(block: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield (name within the block, parameter) of what may be a weight matrix of no known kind.

    That is every parameter of two dimensions or more that is no matrix of ``weight_matrices``, and
    no router's, norm's, expert's bias or adapter's either.

    Example:
        >>> [name for name, _ in unknown_matrices(nn.Sequential(nn.Conv1d(2, 3, 1)))]
        ['0.weight']
    """
    parameters = {id(matrix.parameter) for _, matrix in weight_matrices(block)}
    for router in routers(block):
        parameters |= {id(parameter) for parameter in router.parameters()}
    for name, module in block.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            # norms per head have a weight (heads, head size)
            is_norm = "norm" in type(module).__name__.lower()
            is_expert_bias = is_fused_experts(module) and key.endswith("_bias")
            known = id(parameter) in parameters or is_norm or is_expert_bias or _is_adapter(name)
            if parameter.dim() > 1 and not known:
                yield f"{name}.{key}" if name else key, parameter


def _is_adapter(name: str) -> bool:
    """Tell whether a module's name is that of a part of an adapter of peft's."""
    return any(part.startswith("lora_") for part in name.split("."))


def routers(block: nn.Module) -> set[nn.Module]:
    """Return what chooses or weighs experts: small modules beside the experts of a block."""
    routers: set[nn.Module] = set()
    for parent in block.modules():
        children = dict(parent.named_children())
        experts = [child for key, child in children.items() if _holds_experts(key, child)]
        for key, child in children.items():
            if experts and child not in experts and _is_router(key, child):
                routers |= set(child.modules())
    return routers


def _holds_experts(key: str, module: nn.Module) -> bool:
    is_list = isinstance(module, nn.ModuleList) and key.endswith("experts")
    return is_list or is_fused_experts(module)


def _is_router(key: str, module: nn.Module) -> bool:
    class_name = type(module).__name__.lower()
    return key in _ROUTER_NAMES or "router" in class_name or "gating" in class_name
