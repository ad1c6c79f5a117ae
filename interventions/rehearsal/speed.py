"""How long a device takes for an operator: by its arithmetic, its bytes, or its start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


@dataclass(frozen=True)
class Speed:
    """What a device does in a second.

    Attributes:
        name: of the device.
        operations: dtype -> floating-point operations in matrix products.
        bytes: read and written, where that takes longer than the arithmetic.
        operator_seconds: that starting one operator takes.
        is_host: whether its memory is the CPU's, so that a copy to the CPU is none.
    """

    name: str
    operations: Mapping[torch.dtype, float]
    bytes: float
    operator_seconds: float
    is_host: bool = False

    def seconds(self, func: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> float:
        """Return how long an operator takes.

        Args:
            func: an operator of ATen.
            inputs: its tensors.
            outputs: what it returned.
        """
        if func.is_view:
            return 0.0
        dtype = next((each.dtype for each in inputs if each.is_floating_point()), torch.float32)
        rate = self.operations.get(dtype, self.operations[torch.float32])
        moved = sum(each.numel() * each.element_size() for each in (*inputs, *outputs))
        arithmetic = operations(func, inputs, outputs) / rate
        return max(arithmetic, moved / self.bytes) + self.operator_seconds


def operations(func: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> float:
    """Return the floating-point operations of an operator; 0 where its bytes are what counts.

    Args:
        func: an operator of ATen.
        inputs: its tensors, in their order.
        outputs: what it returned.

    Example:
        >>> square = torch.zeros(10, 10)
        >>> operations(torch.ops.aten.mm.default, [square, square], [square])
        2000.0
    """
    packet = func.overloadpacket
    if packet in _FACTORIZATIONS:
        size = inputs[0].shape[-1]
        return _FACTORIZATIONS[packet] * float(size) ** 3
    if packet in _ATTENTION:
        query, key = inputs[:2] if packet is not _BACKWARD else inputs[1:3]
        products = 2.0 * 2 * math.prod(query.shape) * key.shape[-2]
        return products * _ATTENTION[packet]
    if packet not in _PRODUCTS:
        return 0.0
    count = _PRODUCTS[packet]
    shapes = [tensor.shape for tensor in inputs[-2:]]
    rows, inner, columns = shapes[0][-2], shapes[0][-1], shapes[1][-1]
    return 2.0 * (math.prod(shapes[0][:-2]) if count else 1) * rows * inner * columns


_BACKWARD = _aten._scaled_dot_product_flash_attention_for_cpu_backward
_ATTENTION = {_aten._scaled_dot_product_flash_attention_for_cpu: 1.0, _BACKWARD: 2.5}
# whether there is a batch before the rows
_PRODUCTS = {_aten.mm: False, _aten.addmm: False, _aten.bmm: True, _aten.baddbmm: True}
# times the cube of the size
_FACTORIZATIONS = {
    _aten.linalg_cholesky_ex: 1 / 3,
    _aten.cholesky_inverse: 2 / 3,
    _aten._linalg_solve_ex: 2 / 3,
}

# rounded from what benchmarks/shapes.py measured; a CPU's are those of one core
_CPU = Speed(
    "this CPU",
    {torch.float32: 5e10, torch.float64: 2.5e10, torch.bfloat16: 1e9, torch.float16: 1e9},
    bytes=5e9,
    operator_seconds=1.5e-5,
    is_host=True,
)
H100 = Speed(
    "an NVIDIA H100",
    {torch.float32: 4e13, torch.float64: 3e13, torch.bfloat16: 4e14, torch.float16: 4e14},
    bytes=2e12,
    operator_seconds=1e-5,
)


def speed_of(device: str) -> Speed:
    """Return the speed of a device: of this machine's CPU, or of an H100 for every GPU.

    Args:
        device: "cpu", or "cuda" with or without an index.

    Example:
        >>> speed_of("cuda").name
        'an NVIDIA H100'
    """
    if device != "cpu":
        return H100
    threads = torch.get_num_threads()
    operations = {dtype: rate * threads for dtype, rate in _CPU.operations.items()}
    return replace(_CPU, operations=operations)
