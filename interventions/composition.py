"""Composition: a sequence of interventions; how it is written, how its checkpoints are keyed, how it runs.

Spec strings (``lora | wanda(sparsity=0.25)``) are read with ``ast`` and ``literal_eval``: nothing in them runs.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch

from interventions.base import Intervention, make
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.options import PROFILES, Recompress

EMPTY = "none"


class Composition(tuple[Intervention, ...]):
    """Interventions in the order in which they are applied."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, profile: str = "testbed") -> Self:
        """Read ``"lora | wanda(sparsity=0.25)"``; ``"none"`` is the empty one.

        Raises:
            InvalidInput: unreadable text, unknown intervention or hyperparameter, ill-typed or out-of-range value.
        """
        return cls(make(name, profile, **given) for name, given in calls(text))

    def spec(self, profile: str = "testbed") -> str:
        """The text that ``parse`` reads back on the same profile."""
        return " | ".join(step.spec(profile) for step in self) or EMPTY

    def __str__(self) -> str:
        return self.spec()

    def keys(self, origin: str, data: Data) -> list[str]:
        """One key per checkpoint, the base model's first; equal prefixes have equal keys.

        A key hashes the key before it, the step's name, version and all fields, and the identity of the parts of
        the data that the step reads: so a compression is computed once for ten edit batches.
        """
        keys = [digest("origin", origin)]
        for step in self:
            parts = {part: data.identity(part) for part in sorted(step.reads)}
            keys.append(digest(keys[-1], step.name, step.version, step.params(), parts))
        return keys

    def recompression(self, lm: LM, mode: Recompress) -> Composition:
        """The compressions to apply again, so that the final weights have the property they are named for.

        ``auto``: those whose property the weights lost, measured; ``never``: none; ``paper``: as the paper's code
        did, every compression that an edit or unlearning came after, AWQ excepted.
        """
        if mode == "never":
            return Composition()
        compressions = [(i, step) for i, step in enumerate(self) if step.category == "compression"]
        if mode == "auto":
            return Composition(step for _, step in compressions if not step.holds(lm))
        return Composition(
            step
            for i, step in compressions
            if step.recompressed_in_paper
            and any(later.category != "compression" for later in self[i + 1 :])
        )


def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Read ``"lora | wanda(sparsity=0.25)"`` as names and what is given of each; nothing is made.

    Raises:
        InvalidInput: unreadable text, or a list for a value.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(
            f"cannot read {text!r}: write a spec such as 'lora | wanda(sparsity=0.25)'"
        ) from error
    steps = [_read_call(node, text) for node in _read_pipe(tree)]
    for name, given in steps:
        for key, value in given.items():
            if isinstance(value, list):
                raise InvalidInput(
                    f"{name}.{key}={value!r} is a list, which means a sweep: one run takes one value"
                    f" (a tuple is written with parentheses: {tuple(value)!r})"
                )
    return [(name, given) for name, given in steps if name != EMPTY]


def sweep(text: str, profile: str = "testbed") -> list[Intervention]:
    """Read ``"ft; wanda(sparsity=[0.25, 0.35])"``: a list of interventions, where a list of values means one of each.

    Raises:
        InvalidInput: as ``Composition.parse``; an empty list, or an intervention that is named twice.
    """
    try:
        statements = ast.parse(text.strip().strip(";")).body
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(
            f"cannot read {text!r}: write a list such as 'ft; wanda(sparsity=[0.25, 0.35])'"
        ) from error
    found: dict[Intervention, None] = {}
    for statement in statements:
        if not isinstance(statement, ast.Expr):
            raise InvalidInput(
                f"cannot read {ast.unparse(statement)!r} in {text!r}: write name or name(key=value)"
            )
        name, given = _read_call(statement.value, text)
        lists = {key: value for key, value in given.items() if isinstance(value, list)}
        for values in itertools.product(*lists.values()):
            step = make(name, profile, **{**given, **dict(zip(lists, values, strict=True))})
            if step in found:
                raise InvalidInput(f"{step.spec(profile)} is named twice in {text!r}")
            found[step] = None
        if any(not value for value in lists.values()):
            raise InvalidInput(
                f"{ast.unparse(statement)!r} in {text!r} has an empty list: nothing would run"
            )
    if not found:
        raise InvalidInput(
            f"no intervention is named in {text!r}: write a list such as 'ft; wanda(sparsity=[0.25])'"
        )
    return list(found)


def digest(*parts: Any) -> str:
    """A short stable hash of JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def apply(step: Intervention, lm: LM, data: Data, key: str) -> LM:
    """Apply one step, seeded from its own key: a cached prefix and a recomputed one lead to the same weights."""
    with seeded(key):
        changed = step.apply(lm, data)
    changed.model.eval()
    changed.model.requires_grad_(False)
    changed.model.zero_grad()
    return changed


@contextmanager
def seeded(key: str) -> Iterator[None]:
    """Seed torch and random from a key for the block; the state outside is left as it was."""
    before = random.getstate()
    with torch.random.fork_rng():
        torch.manual_seed(int(key[:15], 16))
        random.seed(key)
        try:
            yield
        finally:
            random.setstate(before)


def _read_pipe(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _read_pipe(node.left)
        yield from _read_pipe(node.right)
    else:
        yield node


def _read_call(node: ast.expr, text: str) -> tuple[str, dict[str, Any]]:
    if isinstance(node, ast.Constant) and node.value is None:
        return EMPTY, {}
    if isinstance(node, ast.Name):
        return node.id, {}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise InvalidInput(
            f"cannot read {ast.unparse(node)!r} in {text!r}: write name or name(key=value)"
        )
    name = node.func.id
    if node.args:
        raise InvalidInput(
            f"{name} takes key=value only, but got {ast.unparse(node.args[0])!r} in {text!r}"
        )
    given: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise InvalidInput(
                f"{name} takes key=value only, but got {ast.unparse(keyword)!r} in {text!r}"
            )
        try:
            value = ast.literal_eval(keyword.value)
        except ValueError as error:
            shown = ast.unparse(keyword.value)
            raise InvalidInput(
                f"{name}.{keyword.arg} must be a plain value, but got {shown!r} (quote text)"
            ) from error
        given[keyword.arg] = value
    return name, given


__all__ = [
    "EMPTY",
    "PROFILES",
    "Composition",
    "Recompress",
    "apply",
    "calls",
    "digest",
    "seeded",
    "sweep",
]
