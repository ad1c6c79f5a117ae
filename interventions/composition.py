"""Composition: interventions in an order; how their checkpoints are keyed, and how a step runs."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Self

import torch

from interventions.arguments import checked
from interventions.base import Intervention, make
from interventions.branches import branch_models
from interventions.data.base import Data
from interventions.errors import InvalidInput, shown
from interventions.lm import LM
from interventions.options import EMPTY, Recompress
from interventions.specs import MOST_STEPS, calls


class Composition(tuple[Intervention, ...]):
    """Interventions in the order in which they are applied.

    Example:
        >>> composition = Composition.parse("lora | wanda(sparsity=0.25)")
        >>> [step.name for step in composition]
        ['lora', 'wanda']
        >>> str(composition)
        'lora | wanda(sparsity=0.25)'
    """

    __slots__ = ()

    def __new__(cls, steps: Iterable[Intervention] = ()) -> Self:
        """Take the steps, in order.

        Raises:
            InvalidInput: one is no intervention, or there are more than 100.
        """
        if isinstance(steps, str) or not isinstance(steps, Iterable):
            raise InvalidInput(
                f"a composition is made of interventions, but got {shown(steps)};"
                " Composition.parse reads text"
            )
        composition = super().__new__(cls, islice(steps, MOST_STEPS + 1))
        for step in composition:
            if not isinstance(step, Intervention):
                raise InvalidInput(
                    f"every step of a composition must be an intervention, but got {shown(step)}"
                )
        if len(composition) > MOST_STEPS:
            raise InvalidInput(f"a composition may have {MOST_STEPS} steps, but got more")
        return composition

    @classmethod
    @checked
    def parse(cls, text: str, profile: str = "testbed") -> Self:
        """Read ``"lora | wanda(sparsity=0.25)"``; ``"none"`` is the empty composition.

        Args:
            text: steps, joined by ``|``.
            profile: whose defaults the steps have: "testbed" or "paper".

        Raises:
            InvalidInput: unreadable text, unknown intervention or hyperparameter, ill-typed or
                out-of-range value.

        Example:
            >>> len(Composition.parse("none"))
            0
        """
        return cls(make(name, profile, **values) for name, values in calls(text))

    def spec(self, profile: str = "testbed") -> str:
        """Return the text that ``parse`` reads back on the same profile."""
        return " | ".join(step.spec(profile) for step in self) or EMPTY

    def __str__(self) -> str:
        return self.spec()

    def keys(self, origin: str, data: Data) -> list[str]:
        """Return one key per checkpoint, the base model's first; equal prefixes have equal keys.

        A key hashes the key before it, the step's name, version and all fields, and the identity
        of the parts of the data that the step reads: so a compression is computed once for ten
        edit batches.

        Args:
            origin: identity of the base model, its dtype and the run's seed.
            data: what the steps are applied with.
        """
        start = digest("origin", origin)
        return [start, *self.keys_after(start, data)]

    def keys_after(self, key: str, data: Data) -> list[str]:
        """Return one key per step, from a checkpoint on.

        A branch has the keys of a plain composition of the same steps, and its last one enters the
        key of the step that merges it.

        Args:
            key: of the checkpoint that the steps start from.
            data: what the steps are applied with.
        """
        keys = []
        for step in self:
            own_data = step.own_data(data)
            parts = {part: own_data.identity(part) for part in step.reads}
            branches = [branch.keys_after(key, data)[-1] for branch in step.compositions()]
            # steps without branches have the keys of before there were any
            merged = [branches] if branches else []
            key = digest(key, step.name, step.version, step.identity(), parts, *merged)
            keys.append(key)
        return keys

    def applications(self, keys: Sequence[str], data: Data) -> list[tuple[str, Intervention]]:
        """Return what is applied, branches' steps before the step that merges them, with its key.

        Args:
            keys: of the composition, the one that it starts from first.
            data: what the steps are applied with.
        """
        applied: list[tuple[str, Intervention]] = []
        for step, before, key in zip(self, keys, keys[1:], strict=False):
            for branch in step.compositions():
                inner_keys = [before, *branch.keys_after(before, data)]
                applied += branch.applications(inner_keys, data)
            applied.append((key, step))
        return applied

    def with_branches(self) -> Iterator[Intervention]:
        """Yield all steps in order, those of a step's branches before it.

        Example:
            >>> [step.name for step in Composition.parse("merge(ft | ga, rmu)").with_branches()]
            ['ft', 'ga', 'rmu', 'merge']
        """
        for step in self:
            for branch in step.compositions():
                yield from branch.with_branches()
            yield step

    def recompression(self, lm: LM, mode: Recompress) -> Composition:
        """Return the compressions to apply again, after the last step.

        Args:
            lm: the model after the last step.
            mode: "auto": those whose property the weights have lost, measured; "never": none;
                "paper": as the paper's code did, every compression that an edit or unlearning came
                after, AWQ excepted.
        """
        if mode == "never":
            return Composition()
        compressions = [
            (index, step) for index, step in enumerate(self) if step.category == "compression"
        ]
        if mode == "auto":
            return Composition(step for _, step in compressions if not step.holds(lm))
        return Composition(
            step
            for index, step in compressions
            if step.recompressed_in_paper
            and any(later.category != "compression" for later in self[index + 1 :])
        )


def digest(*parts: Any) -> str:
    """Return a short hash of JSON values, the same on every machine.

    Example:
        >>> digest({"a": 1, "b": 2.0}) == digest({"b": 2.0, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def apply(
    step: Intervention,
    lm: LM,
    data: Data,
    key: str,
    models: Callable[[int], LM] | None = None,
) -> LM:
    """Apply one step, seeded from its own key.

    So a cached prefix and a recomputed one lead to the same weights.

    Args:
        step: the intervention.
        lm: the model so far; must not be used again.
        data: what the step may read.
        key: of the checkpoint that the step makes (``Composition.keys``).
        models: gives the model of a branch of the step, by its number from 0. By default branches
            are computed here, seeded as if they started from ``key``; a run seeds them as the
            plain compositions that they are.

    Returns:
        The changed model, in evaluation mode, without gradients.
    """
    with seeded(key), branch_models(models or computed_branches(step, lm, data, key)):
        changed = step.apply(lm, step.own_data(data))
    changed.model.eval()
    changed.model.requires_grad_(False)
    changed.model.zero_grad()
    return changed


def computed_branches(step: Intervention, lm: LM, data: Data, key: str) -> Callable[[int], LM]:
    """Return what computes the model of a branch of a step, by its number from 0.

    Args:
        step: the intervention.
        lm: the model before it, of which copies are changed.
        data: what steps may read.
        key: of the checkpoint before it.
    """

    def compute(index: int) -> LM:
        branch = step.compositions()[index]
        changed = copied(lm)
        for inner, inner_key in zip(branch, branch.keys_after(key, data), strict=True):
            changed = apply(inner, changed, data, inner_key)
        return changed

    return compute


def copied(lm: LM) -> LM:
    """Return a copy of a model and all that it carries; the tokenizer, which stays, is shared."""
    return copy.deepcopy(lm, {id(lm.tokenizer): lm.tokenizer})


@contextmanager
def seeded(key: str) -> Iterator[None]:
    """Seed torch and random from a key for the block; leave the state outside as it was.

    Example:
        >>> with seeded("ab" * 16):
        ...     first_draw = random.random()
        >>> with seeded("ab" * 16):
        ...     random.random() == first_draw
        True
    """
    state_outside = random.getstate()
    with torch.random.fork_rng():
        torch.manual_seed(int(key[:15], 16))
        random.seed(key)
        try:
            yield
        finally:
            random.setstate(state_outside)
