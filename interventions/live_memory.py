"""Bytes of live tensors while a block of code runs: on a CPU, a GPU and the meta device alike."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# its input was made out of the dispatcher's sight, by torch.tensor
_FRESH = frozenset({torch.ops.aten.lift_fresh.default})


class LiveMemory:
    """The bytes that live tensors occupy, now and at most.

    Attributes:
        device: whose tensors count; None: those of every device.
        current_bytes: of the tensors that are alive.
        peak_bytes: the most that ``current_bytes`` has been since the start or ``reset_peak``.
    """

    def __init__(self, device: torch.device | str | None = None) -> None:
        self.device = None if device is None else torch.device(device)
        self.current_bytes = 0
        self.peak_bytes = 0
        self._storages: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}

    def register(self, *existing: Tensor | nn.Module) -> None:
        """Count tensors that were there before: a model's weights and buffers, their gradients.

        Args:
            existing: tensors, and modules.
        """
        for owner in existing:
            for tensor in _tensors_of(owner):
                self._add(tensor)
        self._note_peak()

    def reset_peak(self) -> None:
        """Let the peak start again from what is alive now."""
        self.peak_bytes = self.current_bytes

    def see(self, outputs: Sequence[Any], inputs: Sequence[Any], is_fresh: bool = False) -> None:
        """Count what an operator returned, but for views of tensors that do not count.

        Args:
            outputs: of the operator.
            inputs: of the operator.
            is_fresh: whether the operator hands on what nobody had before.
        """
        known = set() if is_fresh else set(map(_storage_key, _counted(inputs, None)))
        for output in _counted(outputs, self.device):
            key = _storage_key(output)
            # a storage that is tracked may have been resized
            if key in self._storages or key not in known:
                self._add(output)
        self._note_peak()

    def _add(self, tensor: Tensor) -> None:
        if not _is_counted(tensor, self.device):
            return
        storage, key = tensor.untyped_storage(), _storage_key(tensor)
        reference, counted_bytes = self._storages.get(key, (None, 0))
        self._storages[key] = (reference or self._watch(storage, key), storage.nbytes())
        self.current_bytes += storage.nbytes() - counted_bytes

    def _watch(self, storage: torch.UntypedStorage, key: int) -> weakref.ref[torch.UntypedStorage]:
        """Return a reference that does not keep the storage, and stops its count at its end."""

        def forget(reference: weakref.ref[torch.UntypedStorage]) -> None:
            _, counted_bytes = self._storages.pop(key)
            self.current_bytes -= counted_bytes

        return weakref.ref(storage, forget)

    def _note_peak(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self.current_bytes)


@contextmanager
def live_memory(
    *existing: Tensor | nn.Module, device: torch.device | str | None = None
) -> Iterator[LiveMemory]:
    """Count the bytes of live tensors, by their storages, while the block runs.

    Views count once, and a tensor counts until the last that holds its storage is gone: autograd's
    graph too. On the meta device nothing is allocated, and the count is what a real device would
    hold; attention is counted there as the fused kernels that real devices run. What an operator
    allocates and frees within itself is not seen, nor the allocator's rounding, nor what no
    operator of PyTorch made (``torch.from_numpy``).

    Args:
        existing: tensors and modules from before that count too; others from before do not.
        device: whose tensors count; None: those of every device.

    Example:
        >>> with live_memory() as memory:
        ...     numbers = torch.zeros(1000)
        ...     doubled = numbers * 2
        ...     del numbers, doubled
        >>> memory.peak_bytes, memory.current_bytes
        (8000, 0)
    """
    memory = LiveMemory(device)
    memory.register(*existing)
    del existing  # or they would be alive as long as the block
    with FusedAttention(), _Counter(memory):
        yield memory


class _Counter(TorchDispatchMode):
    """Shows a count every operator below autograd."""

    def __init__(self, memory: LiveMemory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if is_made_of_others(func):
            with self:
                return func.decompose(*args, **(kwargs or {}))
        outputs = func(*args, **(kwargs or {}))
        self._memory.see(tree_leaves(outputs), tree_leaves((args, kwargs)), func in _FRESH)
        return outputs


def is_made_of_others(func: Any) -> bool:
    """Tell whether an operator calls others, which are to be seen in its place.

    Autograd takes such operators apart before a mode sees them; in inference mode it is not there.
    """
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return torch.is_inference_mode_enabled() and func.has_kernel_for_dispatch_key(key)


class FusedAttention(TorchFunctionMode):
    """Computes attention of the meta device in one operator, not spelt out (tokens x tokens)."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if func is F.scaled_dot_product_attention and args and args[0].is_meta:
            return _fused_attention(*args, **keywords)
        return func(*args, **keywords)


def _fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return attention (batch, heads, tokens, size) by the fused kernel that has a meta form."""
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        attn_mask = attn_mask.to(query.dtype)
    output, _ = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )
    assert isinstance(output, Tensor)
    return output


def _tensors_of(owner: Tensor | nn.Module) -> Iterator[Tensor]:
    if isinstance(owner, nn.Module):
        for tensor in (*owner.parameters(), *owner.buffers()):
            yield from _tensors_of(tensor)
        return
    yield owner
    # of a tensor that is no leaf, PyTorch warns when it is asked for its gradient
    if owner.is_leaf and owner.grad is not None:
        yield owner.grad


def _counted(leaves: Sequence[Any], device: torch.device | None) -> Iterator[Tensor]:
    """Yield the tensors on the device that have a storage."""
    for leaf in leaves:
        if isinstance(leaf, Tensor) and _is_counted(leaf, device):
            yield leaf


def _is_counted(tensor: Tensor, device: torch.device | None) -> bool:
    if tensor.layout is not torch.strided:
        return False
    if device is None:
        return True
    same_index = device.index is None or device.index == tensor.device.index
    return tensor.device.type == device.type and same_index


def _storage_key(tensor: Tensor) -> int:
    """Return what tells a storage from the others that are alive: its address."""
    return int(tensor.untyped_storage()._cdata)
