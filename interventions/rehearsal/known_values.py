"""Values that are known though tensors are on the meta device: ids, masks, labels.

What a model reads is known before it is run; what it computes is not. A code that asks a mask
whether there is padding gets the true answer, and one that asks for a loss a made-up one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from interventions.rehearsal.outputs import Outputs, tensors_in

_MOST_NUMBERS = 2**22  # of a tensor whose values are kept
_UNKNOWN_NUMBER = 1e30  # no loss is below any bound
# a model that generates is taken to choose one token again and again, and not to end
_CHOICES = frozenset({"argmax", "multinomial"})
_TOKEN = 10  # special ones come before it
_OF_NUMBERS = frozenset({torch.tensor, torch.as_tensor})
_INTEGERS = frozenset({torch.int64, torch.int32, torch.bool})
_aten = torch.ops.aten


class KnownValues:
    """The values of tensors on the meta device, as far as they follow from those on the CPU.

    Args:
        is_host: whether the meta device stands for the CPU: what is moved there stays in memory,
            and moved back it is the same tensor.

    Attributes:
        made_up: how often a number was asked for that is not known.
    """

    def __init__(self, is_host: bool = False) -> None:
        self._values = WeakTensorKeyDictionary()
        self._is_host = is_host
        self._moved = WeakTensorKeyDictionary()  # on the CPU -> what it was on the meta device
        self.made_up = 0
        self._outputs = Outputs()
        self._storages: set[int] = set()  # addresses; some may be gone

    def call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return what an operator returns on the meta device, and keep the values if they follow.

        Args:
            func: an operator of ATen.
            args: its arguments.
            kwargs: those by name.
        """
        if func is _aten._local_scalar_dense.default and args[0].is_meta:
            return self._number(args[0])
        if func is _aten._to_copy.default and args[0].is_meta and _device(kwargs) == "cpu":
            return self._copied(func, args[0], kwargs)
        if func is _aten._to_copy.default and args[0] in self._moved and _is_moved_only(kwargs):
            return self._moved[args[0]].detach()
        known = self._known_result(func, args, kwargs)
        if known is not None and not isinstance(known, Tensor | tuple | list):
            return known  # as torch.equal, which returns no tensor
        if func is _aten.index.Tensor:
            positions = [place for index in args[1] for place in self._positions(index)]
            args = (args[0], positions, *args[2:])
        if _depends_on_values(func):
            outputs = self._sized(func, args, known)
        else:
            outputs = self._outputs.of(func, args, kwargs)
        if known is None and func._opname in _CHOICES and outputs.numel() <= _MOST_NUMBERS:
            known = torch.full(outputs.shape, _TOKEN, dtype=outputs.dtype)
        if known is None:
            if func._schema.is_mutable:
                self._forget(outputs)
        else:
            self._keep(outputs, known)
        return outputs

    def _number(self, tensor: Tensor) -> Any:
        """Return the value of a tensor of one number; where it is not known, no or a large one."""
        value = self._values.get(tensor)
        if value is not None:
            return value.item()
        self.made_up += 1
        if tensor.dtype is torch.bool:
            return False
        return _UNKNOWN_NUMBER if tensor.is_floating_point() else 1

    def _copied(self, func: Any, tensor: Tensor, kwargs: Mapping[str, Any]) -> Tensor:
        """Return a copy on the CPU; where nothing is known, one number that is as large as all."""
        value = self._values.get(tensor)
        if value is None:
            self.made_up += 1
            number = 0 if tensor.dtype is torch.bool else 1
            value = torch.full((), number, dtype=tensor.dtype).expand(tensor.shape)
        dtype = kwargs.get("dtype")
        copied = value.detach() if dtype is None else value.to(dtype)
        if self._is_host and copied.dtype is tensor.dtype:
            self._moved[copied] = tensor  # alive as long as the copy is
        return copied

    def _known_result(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any | None:
        """Return what an operator gives on the CPU; None if an input's values are not known."""
        tensors = list(tensors_in((*args, *kwargs.values())))
        makes_numbers = kwargs.get("dtype") in _INTEGERS or func._opname == "arange"
        if not tensors and not (makes_numbers and _device(kwargs) == "meta"):
            return None
        values = [self._values.get(tensor) if tensor.is_meta else tensor for tensor in tensors]
        if any(value is None or value.numel() > _MOST_NUMBERS for value in values):
            return None
        on_cpu = self._on_cpu(args), dict(self._on_cpu(kwargs))
        if "device" in kwargs:
            on_cpu[1]["device"] = torch.device("cpu")
        return func(*on_cpu[0], **on_cpu[1])

    def _on_cpu(self, arguments: Any) -> Any:
        def value(leaf: Any) -> Any:
            return self._values[leaf] if isinstance(leaf, Tensor) and leaf.is_meta else leaf

        return tree_map(value, arguments)

    def _positions(self, index: Tensor | None) -> list[Tensor | None]:
        """Return a mask as the positions in it, as many as there are, or as there may be."""
        if index is None or index.dtype is not torch.bool:
            return [index]
        value = self._values.get(index) if index.is_meta else index
        count = index.numel() if value is None else int(value.sum())
        return [torch.empty(count, dtype=torch.int64, device="meta") for _ in index.shape]

    def _sized(self, func: Any, args: Sequence[Any], known: Any | None) -> Any:
        """Return the outputs of an operator whose sizes depend on values."""
        if known is not None:
            return tree_map(lambda value: torch.empty_like(value, device="meta"), known)
        if func is _aten.equal.default:
            self.made_up += 1
            return False
        if func is _aten.nonzero.default:
            shape = (args[0].numel(), args[0].dim())
            return torch.empty(shape, dtype=torch.int64, device="meta")
        raise NotImplementedError(f"{func._opname} of values that are not known")

    def _keep(self, outputs: Any, known: Any) -> None:
        for output, value in zip(tree_leaves(outputs), tree_leaves(known), strict=True):
            if isinstance(output, Tensor) and output.is_meta and value.numel() <= _MOST_NUMBERS:
                self._values[output] = value
                self._storages.add(output.untyped_storage()._cdata)

    def _forget(self, outputs: Any) -> None:
        """Forget the values of tensors that were written to, and of their views."""
        written = {
            tensor.untyped_storage()._cdata for tensor in tensors_in([outputs]) if tensor.is_meta
        }
        if not written & self._storages:
            return
        for tensor in list(self._values.keys()):
            if tensor.untyped_storage()._cdata in written:
                del self._values[tensor]
        self._storages -= written


def _is_moved_only(kwargs: Mapping[str, Any]) -> bool:
    return _device(kwargs) == "meta" and kwargs.get("dtype") is None


def _depends_on_values(func: Any) -> bool:
    """Tell whether what an operator returns has a size, or is a number, that depends on values."""
    if func is _aten.index.Tensor:
        return False
    tags = (torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output)
    return any(tag in func.tags for tag in tags)


class NewTensors(TorchFunctionMode):
    """Makes tensors of given numbers on the CPU first, so that these are known."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if func in _OF_NUMBERS and _device(keywords) == "meta":
            return func(*args, **{**keywords, "device": "cpu"}).to("meta")
        return func(*args, **keywords)


def _device(kwargs: Mapping[str, Any]) -> str:
    """Return the type of the device that arguments name; "" if they name none."""
    device = kwargs.get("device")
    return "" if device is None else torch.device(device).type
