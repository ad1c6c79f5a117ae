"""The shapes that operators return on the meta device, worked out once for each kind of call.

PyTorch works out most of them in Python, in up to a millisecond; a step calls the same operator
with the same shapes thousands of times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def tensors_in(arguments: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among arguments, those in lists too."""
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from tensors_in(argument)


@dataclass(frozen=True)
class _NewTensor:
    """A tensor with a storage of its own."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


class Outputs:
    """Calls operators, but those once more that were called alike."""

    def __init__(self) -> None:
        self._forms: dict[Any, list[_NewTensor | int] | _NewTensor | int] = {}

    def of(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return what an operator returns; new tensors are empty."""
        key = None if func.is_view else _key(func, args, kwargs)
        if key is None:
            return func(*args, **kwargs)
        arguments = [*args, *kwargs.values()]
        if key in self._forms:
            form = self._forms[key]
            if isinstance(form, list):
                return tuple(_made(each, arguments) for each in form)
            return _made(form, arguments)
        outputs = func(*args, **kwargs)
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        forms = [_form(part, arguments) for part in parts]
        if None not in forms:
            known = [form for form in forms if form is not None]
            self._forms[key] = known if isinstance(outputs, tuple) else known[0]
        return outputs


def _made(form: _NewTensor | int, arguments: Sequence[Any]) -> Any:
    if isinstance(form, int):
        return arguments[form]
    return torch.empty_strided(form.size, form.stride, dtype=form.dtype, device="meta")


def _form(output: Any, arguments: Sequence[Any]) -> _NewTensor | int | None:
    """Return an argument's index if the output is it, or a new tensor's form; None otherwise."""
    if not isinstance(output, Tensor) or not output.is_meta or output.layout != torch.strided:
        return None
    for index, argument in enumerate(arguments):
        if argument is output:
            return index
    storage = output.untyped_storage()._cdata
    if any(each.untyped_storage()._cdata == storage for each in tensors_in(arguments)):
        return None
    if storage_bytes(output) != output.numel() * output.element_size():
        return None
    return _NewTensor(tuple(output.size()), output.stride(), output.dtype)


def storage_bytes(tensor: Tensor) -> int:
    """Return the bytes of the storage that a tensor is in."""
    return int(tensor.untyped_storage().nbytes())


def _key(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what tells calls apart whose outputs may differ in form; None if nothing can."""
    key = (func, _hashable(args), tuple(kwargs), _hashable(kwargs.values()))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _hashable(arguments: Iterable[Any]) -> tuple[Any, ...]:
    parts: list[Any] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            parts.append((argument.shape, argument.stride(), argument.dtype, argument.device))
        elif isinstance(argument, list | tuple):
            parts.append(_hashable(argument))
        else:
            # 1, 1.0 and True are equal, but lead to other dtypes
            parts.append((type(argument), argument))
    return tuple(parts)
